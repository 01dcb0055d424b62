"""One period: how much to have before demand is known. Pure.

Stock at the critical ratio penalty / (penalty + holding) of demand; Arrow, Harris and Marschak (1951).
"""

from statistics import NormalDist
from typing import NamedTuple

from stream.policy.demand_law import DemandLaw


class Best(NamedTuple):
    """A stock in units and its expected cost a period, money."""

    stock: float
    cost: float


def newsvendor_normal(mean: float, sd: float, holding: float, penalty: float) -> Best:
    """Best stock for normal demand of ``mean`` and ``sd`` units; ``holding`` and ``penalty`` money a unit, above 0."""
    assert holding > 0
    assert penalty > 0
    factor = NormalDist().inv_cdf(penalty / (penalty + holding))
    return Best(mean + factor * sd, (holding + penalty) * NormalDist().pdf(factor) * sd)


def newsvendor_discrete(demand: DemandLaw, holding: float, penalty: float) -> Best:
    """Best whole stock for a table of demand; ``holding`` and ``penalty`` money a unit, above 0."""
    assert holding > 0
    assert penalty > 0
    stock = demand.quantile(penalty / (penalty + holding))
    return Best(stock, demand.cost(stock, holding, penalty))
