"""What a night computes from the days so far: forecasts, how good they were, and stock policies. Pure."""

import math
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from stream.demand import accuracy, pooled
from stream.demand.days import DailyDemand, weekday_of
from stream.demand.methods import QUANTILES, Walk, walk
from stream.demand.regression import Plan
from stream.policy.demand_law import negative_binomial

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

HORIZON_DAYS: Final = 14
SCORED_DAYS: Final = 28
POOLED: Final = "pooled"
POLICY_DAYS_MIN: Final = 28
"""Days of history below which a policy is left as it is."""
LEAD_TIME_DAYS: Final = 1
REVIEW_DAYS: Final = 1
COVER_DAYS: Final = 2
"""A refill lasts at least so many days, so that a shelf is not walked to for one unit."""
SERVICE: Final = 0.95
NORMAL_95: Final = 1.645


class Score(NamedTuple):
    """Accuracy of one method for one series over the newest days; NaN where it is not defined."""

    method: str
    chosen: bool
    days: int
    rmsse: float
    bias: float
    pinball: float


@dataclass(frozen=True)
class Night:
    """Results, in the order of the series. ``ahead``: (series, HORIZON_DAYS, 1 + len(QUANTILES)), the mean first."""

    methods: tuple[str, ...]
    ahead: Floats
    scores: tuple[tuple[Score, ...], ...]


class StockPolicy(NamedTuple):
    """Reorder at or below ``reorder_point``, up to ``target``; units."""

    reorder_point: int
    target: int


def forecast_night(demand: DailyDemand, promo: Floats | None = None) -> Night:
    """Forecast every series for the next days with the method that served it best.

    ``promo``: depth of promotions, 0 without, shape (series, days + HORIZON_DAYS); None: nothing is planned.
    """
    planned = np.zeros((len(demand.keys), demand.units.shape[1] + HORIZON_DAYS)) if promo is None else scaled(promo)
    walked = walk(demand.units, demand.known, demand.censored, plans_of(planned))
    fair = demand.known & ~demand.censored
    boosted = pooled.forecast(demand.units, fair, planned, weekday_of(demand.first_day), HORIZON_DAYS)
    chosen = [walked.names[index] for index in walked.chosen]
    ahead = np.stack([walked.ahead[name][series] for series, name in enumerate(chosen)])
    if boosted is not None:
        past, future = boosted
        for series in np.flatnonzero(_pooled_wins(demand, fair, walked, past)):
            chosen[series] = POOLED
            ahead[series, :, 1:] = future[series]
            # The boosted model has no mean of its own; that of three quantiles is close (Pearson and Tukey 1965).
            ahead[series, :, 0] = future[series] @ np.array([0.63, 0.25, 0.12])
    return Night(tuple(chosen), ahead, _scores(demand, fair, walked, chosen, boosted))


def scaled(promo: Floats) -> Floats:
    """Depths in units of the typical one, so that any scale will do."""
    present = promo[promo > 0]
    return promo / float(present.mean()) if present.size else promo


def plans_of(promo: Floats) -> list[Plan]:
    """A plan a day of depths of shape (series, days)."""
    before = np.concatenate([np.zeros((len(promo), 1)), promo[:, :-1]], axis=1)
    return [Plan(now, past, now > 0, past > 0) for now, past in zip(promo.T, before.T, strict=True)]


def stock_policy(ahead: Floats, capacity: int, pack_units: int) -> StockPolicy | None:
    """The policy that a forecast asks for on a shelf of ``capacity`` units; None for a shelf without room for one.

    ``ahead``: (days, 1 + len(QUANTILES)) of one series. The reorder point covers lead time + review with ``SERVICE``
    (negative binomial with the forecast's mean and spread); the target is at least a pack and ``COVER_DAYS`` above.
    """
    days = LEAD_TIME_DAYS + REVIEW_DAYS
    mean = float(ahead[:days, 0].sum())
    spread = np.maximum(ahead[:days, 1 + QUANTILES.index(SERVICE)] - ahead[:days, 0], 0.0) / NORMAL_95
    law = negative_binomial(max(mean, 0.01), max(float((spread**2).sum()), mean))
    reorder_point = min(law.quantile(SERVICE), capacity - 1)
    cover = max(math.ceil(float(ahead[days : days + COVER_DAYS, 0].sum())), pack_units, 1)
    target = min(reorder_point + cover, capacity)
    if target <= reorder_point or reorder_point < 0:
        return None
    return StockPolicy(reorder_point, target)


def _pooled_wins(demand: DailyDemand, fair: Bools, walked: Walk, past: Floats) -> Bools:
    """Series whose newest days the pooled model told better than the method of their choice."""
    days = slice(-pooled.TRIAL_DAYS, None)
    units, known = demand.units[:, days], fair[:, days]
    online = np.stack([walked.past[walked.names[i]][s, days, 1:] for s, i in enumerate(walked.chosen)])
    return np.asarray(_loss(units, past, known) < _loss(units, online, known))


def _loss(units: Floats, quantiles: Floats, known: Bools) -> Floats:
    """Pinball loss summed over the quantiles, a series."""
    parts = [accuracy.pinball(units, quantiles[:, :, i], share, known) for i, share in enumerate(QUANTILES)]
    return np.asarray(np.sum(parts, axis=0))


def _scores(
    demand: DailyDemand, fair: Bools, walked: Walk, chosen: list[str], boosted: tuple[Floats, Floats] | None
) -> tuple[tuple[Score, ...], ...]:
    rows: list[list[Score]] = [[] for _ in demand.keys]
    tables = {name: (past[:, -SCORED_DAYS:, 0], past[:, -SCORED_DAYS:, 1:]) for name, past in walked.past.items()}
    if boosted is not None:
        tables[POOLED] = (boosted[0] @ np.array([0.63, 0.25, 0.12]), boosted[0])
    for name, (mean, quantiles) in tables.items():
        length = mean.shape[1]
        units, known = demand.units[:, -length:], fair[:, -length:]
        figures = (accuracy.rmsse(units, mean, known), accuracy.bias(units, mean, known))
        loss = _loss(units, quantiles, known) / len(QUANTILES)
        for series, days in enumerate(known.sum(axis=1)):
            values = (float(figures[0][series]), float(figures[1][series]), float(loss[series]))
            rows[series].append(Score(name, chosen[series] == name, int(days), *values))
    return tuple(tuple(row) for row in rows)
