"""Base stock, its safety stock, and its capped form for lost sales. Pure."""

import math
from statistics import NormalDist
from typing import NamedTuple

from stream.policy.demand_law import DemandLaw

_NORMAL = NormalDist()


class LeadTime(NamedTuple):
    """Mean and standard deviation of a lead time, periods."""

    mean: float
    sd: float = 0.0


def protection_sd(mean: float, sd: float, lead_time: LeadTime, review: int) -> float:
    """Standard deviation of demand over lead time + review, units.

    ``mean`` and ``sd`` of demand a period: sqrt((L + R) sd^2 + mean^2 sd_L^2), Silver, Pyke and Thomas (2017), ch. 6.
    """
    return math.sqrt((lead_time.mean + review) * sd**2 + mean**2 * lead_time.sd**2)


def safety_for_cycle_service(service: float, spread: float) -> float:
    """Safety stock with which a share ``service`` of the cycles sees no lack; ``spread`` from ``protection_sd``."""
    return _NORMAL.inv_cdf(service) * spread


def safety_for_fill_rate(fill_rate: float, spread: float, cycle_units: float) -> float:
    """Safety stock with which a share ``fill_rate`` of the units is sold from stock, ``cycle_units`` sold a cycle.

    Solves spread * G(k) = (1 - fill_rate) * cycle_units for the standard normal loss G; 0 where no stock is needed.
    """
    assert 0 < fill_rate < 1
    if spread <= 0:
        return 0.0
    allowed = (1 - fill_rate) * cycle_units / spread
    low, high = 0.0, 10.0
    if normal_loss(low) <= allowed:
        return 0.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if normal_loss(middle) > allowed else (low, middle)
    return high * spread


def normal_loss(factor: float) -> float:
    """Expected excess of a standard normal variable over ``factor``."""
    return _NORMAL.pdf(factor) - factor * (1 - _NORMAL.cdf(factor))


class CappedBaseStock(NamedTuple):
    """Order up to ``level``, at most ``cap`` units at once."""

    level: int
    cap: int


def capped_base_stock(demand: DemandLaw, protection: DemandLaw, holding: float, penalty: float) -> CappedBaseStock:
    """A capped base stock for lost sales: the newsvendor's level, and the best constant order as its cap.

    Xin (2021), "Understanding the performance of capped base-stock policies in lost-sales inventory models": for long
    lead times a constant order r is best, that which balances holding the stock of a queue fed with r against losing
    mean - r. Here r is from the queue's mean stock var / (2 (mean - r)) (Kingman's bound).
    """
    mean = demand.mean
    second = float((demand.probability * [unit**2 for unit in range(len(demand.probability))]).sum())
    variance = max(second - mean**2, 1e-9)
    # Minimise holding * variance / (2 slack) + penalty * slack over slack = mean - r.
    slack = min(math.sqrt(holding * variance / (2 * penalty)), mean)
    level = protection.quantile(penalty / (penalty + holding))
    return CappedBaseStock(level, max(math.ceil(mean - slack), 1))
