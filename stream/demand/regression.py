"""Dynamic regression of log demand on the promotion plan, one Kalman filter a series, all at once. Pure.

log(units + ½) = level + b0 x[t] + b1 x[t-1] + b2 x[t] on[t-1] (+ season) + noise: a promotion multiplies, demand dips
after it, and its second week differs from its first. The level is a random walk, the effects hardly move. A series
without promotions of its own yet starts with what the others have shown (pooled by precision). After West and Harrison
(1997), "Bayesian forecasting and dynamic models", chapter 4; innovations are clipped (Huber) so that one wild week is
no new level. Promotion weeks have a noise variance of their own. What the plan says of all series together counts too:
a promotion among many others sells less (``stream.demand.crowd``).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from stream.demand.crowd import CrowdEffect

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

TERMS: Final = 4
OFFSET: Final = 0.5
CLIP_SD: Final = 3.0
VARIANCE_MIN: Final = 0.01
VARIANCE_MAX: Final = 4.0
VARIANCE_FIRST: Final = 0.25
EFFECT_VARIANCE: Final = 0.25
EFFECT_DRIFT: Final = 0.0005
FORGET: Final = 0.05
POOL_EVERY: Final = 4
GROWTH_MAX: Final = 2.0
"""A forecast is at most so many times the most that the series ever sold in a period."""


@dataclass(frozen=True)
class Plan:
    """Promotion of one period and the one before, scaled to about one; arrays over series. ``on``: there is one.

    ``crowd``: logarithm of the share of all series that are promoted in the period, over the usual share.
    """

    now: Floats
    before: Floats
    on: Bools
    on_before: Bools
    crowd: float = 0.0

    def terms(self, power: float) -> Floats:
        """The regressors, shape (series, TERMS), of sizes raised to a power."""
        now, before = (np.sign(size) * np.abs(size) ** power for size in (self.now, self.before))
        return np.stack([np.ones_like(now), now, before, now * self.on_before], axis=1)


@dataclass(frozen=True)
class Forecast:
    """Median of one period's demand in units, and the variance of its logarithm; arrays over series."""

    median: Floats
    log_variance: Floats


class PromotionRegression:
    """Filters of many series. ``drift``: variance of a step of the level, in variances of the noise.

    ``mean``: units a period at the start; ``season``: periods of a season, 0 without, learnt with ``SEASON_GAIN``.
    ``power`` below 1: small promotions sell nearly as much as large ones; flags do not mind.
    """

    SEASON_GAIN: Final = 0.2

    def __init__(self, drift: float, mean: Floats, season: int = 0, power: float = 1.0) -> None:
        count = len(mean)
        self._power = power
        self._drift = drift
        self._state = np.zeros((count, TERMS))
        self._state[:, 0] = np.log(mean + OFFSET) - 0.1
        self._cov = np.zeros((count, TERMS, TERMS))
        self._cov[:, 0, 0] = 0.3
        for term in range(1, TERMS):
            self._cov[:, term, term] = EFFECT_VARIANCE
        self._noise = np.full((2, count), VARIANCE_FIRST)
        self._crowd = CrowdEffect()
        self._highest = mean * 2 + 1
        self._season = np.zeros((season, count))
        self._seen = np.zeros(count, dtype=np.int64)
        self._step = 0

    def forecast(self, plan: Plan, period: int) -> Forecast:
        """Demand of ``period`` under its plan."""
        terms = plan.terms(self._power)
        center = (self._state * terms).sum(axis=1) + self._seasonal(period) + self._crowd.effect(plan.on, plan.crowd)
        spread = np.matmul(self._cov, terms[:, :, None])[:, :, 0]
        variance = np.where(plan.on, self._noise[1], self._noise[0]) + (terms * spread).sum(axis=1)
        median = np.maximum(np.exp(np.minimum(center, 30.0)) - OFFSET, 0.0)
        return Forecast(np.minimum(median, GROWTH_MAX * self._highest), variance)

    def learn(self, plan: Plan, period: int, units: Floats, known: Bools) -> None:
        """Learn the demand of ``period`` where it is ``known``."""
        terms = plan.terms(self._power)
        noise = np.where(plan.on, self._noise[1], self._noise[0])
        spread = np.matmul(self._cov, terms[:, :, None])[:, :, 0]
        total = (terms * spread).sum(axis=1) + noise
        seen = np.log(np.where(known, units, 0.0) + OFFSET)
        error = seen - (self._state * terms).sum(axis=1) - self._seasonal(period)
        self._crowd.learn(plan.on, plan.crowd, error, known)
        error = error - self._crowd.effect(plan.on, plan.crowd)
        error = np.where(known, error, 0.0)
        limit = CLIP_SD * np.sqrt(total)
        clipped = np.clip(error, -limit, limit)
        gain = spread / total[:, None]
        self._state += gain * clipped[:, None]
        self._cov -= np.where(known, 1.0, 0.0)[:, None, None] * gain[:, :, None] * spread[:, None, :]
        self._cov[:, 0, 0] += self._drift * self._noise[0]
        for term in range(1, TERMS):
            self._cov[:, term, term] += EFFECT_DRIFT * noise
        self._learn_noise(plan.on, known, noise, clipped**2 * noise / total)
        if len(self._season):
            self._season[period % len(self._season)] += self.SEASON_GAIN * clipped
        self._highest = np.maximum(self._highest, np.where(known, units, 0.0))
        self._seen += known
        self._step += 1
        if self._step % POOL_EVERY == 0:
            self._pool()

    def _seasonal(self, period: int) -> Floats:
        if not len(self._season):
            return np.zeros(len(self._state))
        seasonal: Floats = self._season[period % len(self._season)]
        return seasonal

    def _learn_noise(self, on: Bools, known: Bools, noise: Floats, square: Floats) -> None:
        limited = np.clip((1 - FORGET) * noise + FORGET * square, VARIANCE_MIN, VARIANCE_MAX)
        for row, chosen in ((0, known & ~on), (1, known & on)):
            self._noise[row] = np.where(chosen, limited, self._noise[row])

    def _pool(self) -> None:
        """Give effects that a series has not shown yet the mean of all, by precision."""
        active = self._seen > 0
        if not active.any():
            return
        for term in range(1, TERMS):
            variance = self._cov[:, term, term]
            weight = active / (variance + 0.05)
            mean = float((weight * self._state[:, term]).sum() / weight.sum())
            self._state[:, term] = np.where(variance >= 0.8 * EFFECT_VARIANCE, mean, self._state[:, term])
