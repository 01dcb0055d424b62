"""Order-up-to levels that a policy may choose from: several forecasts, each with several safety factors. Pure."""

from statistics import NormalDist
from typing import Final

import numpy as np
import numpy.typing as npt

from stream.backtest.simulation import Terms
from stream.demand.regression import Forecast, Plan, PromotionRegression
from stream.demand.smoothing import ExponentialLevel, IntermittentLevel, PromotedLevel

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

DRIFTS: Final = (0.0002, 0.001, 0.005)
SEASON_DRIFT: Final = 0.001
WEIGHTS: Final = (0.01, 0.02, 0.05, 0.1, 0.2)
USUAL_WEIGHT: Final = 0.05
INTERMITTENT_WEIGHTS: Final = (0.03, 0.1)
PROMOTED_WEIGHTS: Final = (0.03,)
FACTORS_QUIET: Final = (-0.8, -0.3, 0.2, 0.7)
"""Safety factors beside that of the newsvendor, where no promotion is planned in the protection interval …"""
FACTORS_PROMOTED: Final = (-1.2, -0.7, -0.2, 0.3)
"""… and where one is."""
FACTORS_ALONE: Final = (-0.8, -0.4, 0.0, 0.4, 0.8)
EXPONENT_MAX: Final = 3.0
BATCHES: Final = (0.0, 0.7, 1.2)
"""With a cost of ordering: lots in units of the economic order quantity."""


def first_variance(mean: Floats) -> Floats:
    """Variance of demand a period before any is seen: Poisson, and a third of the mean as its own uncertainty."""
    variance: Floats = mean + (0.3 * mean) ** 2
    return variance


class Candidates:
    """Forecasters of all series and the levels that they lead to; ``count`` variants.

    ``mean``: units a period that the opening stock lets expect; ``seasons``: lengths to try, in periods.
    """

    def __init__(self, terms: Terms, mean: Floats, *, promoted: bool, seasons: tuple[int, ...]) -> None:
        self._terms = terms
        self._promoted = promoted
        self._factor = NormalDist().inv_cdf(terms.critical_ratio)
        variance = first_variance(mean)
        self._regressions = [PromotionRegression(drift, mean) for drift in DRIFTS]
        self._regressions += [PromotionRegression(SEASON_DRIFT, mean, season) for season in seasons]
        self._levels = [ExponentialLevel(weight, mean, variance) for weight in WEIGHTS]
        self._intermittent = [IntermittentLevel(weight, mean) for weight in INTERMITTENT_WEIGHTS]
        self._promoted_levels = [PromotedLevel(each, mean, variance) for each in PROMOTED_WEIGHTS] if promoted else []
        one = len(FACTORS_QUIET) * len(FACTORS_PROMOTED) if promoted else len(FACTORS_ALONE)
        smooth = len(FACTORS_ALONE) * (len(self._levels) + len(self._intermittent)) + one * len(self._promoted_levels)
        first = len(self._regressions) * one
        middle = FACTORS_ALONE.index(0.0)
        self.textbook = [first + index * len(FACTORS_ALONE) + middle for index in range(len(self._levels))]
        """Variants that are textbook base stock, one a weight."""
        self.count = first + smooth

    @property
    def usual(self) -> Floats:
        """Mean demand of a review interval, units a series; it moves slowly."""
        mean: Floats = self._levels[WEIGHTS.index(USUAL_WEIGHT)].mean * self._terms.review
        return mean

    def up_to(self, plans: list[Plan], period: int) -> Floats:
        """Order-up-to levels in ``period``, shape (series, count)."""
        promoted = np.stack([plan.on for plan in plans]).any(axis=0)
        found = [self._regressed(regression, plans, period, promoted) for regression in self._regressions]
        factors = self._factor + np.array(FACTORS_ALONE)
        length = self._terms.protection
        for level in self._levels:
            safety = np.sqrt(level.variance * length)[:, None] * factors
            found.append(level.mean[:, None] * length + safety)
        for sparse in self._intermittent:
            # A compound of arrivals and sizes: about Poisson times the size.
            spread = np.sqrt(sparse.mean * sparse.size * length)[:, None]
            found.append(sparse.mean[:, None] * length + spread * factors)
        found += [self._dual(level, plans, promoted) for level in self._promoted_levels]
        return np.maximum(np.concatenate(found, axis=1), 0.0)

    def learn(self, plan: Plan, period: int, units: Floats, known: Bools) -> None:
        """Learn the demand of ``period`` where it is ``known``."""
        for regression in self._regressions:
            regression.learn(plan, period, units, known)
        for level in self._levels:
            level.learn(units, known)
        for sparse in self._intermittent:
            sparse.learn(units, known)
        for dual in self._promoted_levels:
            dual.learn(units, known, plan.on)

    def _dual(self, level: PromotedLevel, plans: list[Plan], promoted: Bools) -> Floats:
        expected = [level.expect(plan.on) for plan in plans]
        mean = np.sum([each for each, _ in expected], axis=0)
        spread = np.sqrt(np.sum([each for _, each in expected], axis=0))
        quiet = mean[:, None] + spread[:, None] * (self._factor + np.array(FACTORS_QUIET))
        busy = mean[:, None] + spread[:, None] * (self._factor + np.array(FACTORS_PROMOTED))
        return _crossed(quiet, busy, promoted)

    def _regressed(self, regression: PromotionRegression, plans: list[Plan], period: int, promoted: Bools) -> Floats:
        forecasts = [regression.forecast(plan, period + ahead) for ahead, plan in enumerate(plans)]
        total, spread = protection_demand(forecasts)
        if not self._promoted:
            factors = self._factor + np.array(FACTORS_ALONE)
            return _level(total, spread, factors)
        quiet = _level(total, spread, self._factor + np.array(FACTORS_QUIET))
        busy = _level(total, spread, self._factor + np.array(FACTORS_PROMOTED))
        return _crossed(quiet, busy, promoted)


def _crossed(quiet: Floats, busy: Floats, promoted: Bools) -> Floats:
    """Each level of quiet times with each of busy ones: the one where nothing is promoted, the other where it is."""
    shape = (len(quiet), quiet.shape[1], busy.shape[1])
    chosen = np.where(
        promoted[:, None, None], np.broadcast_to(busy[:, None, :], shape), np.broadcast_to(quiet[:, :, None], shape)
    )
    return chosen.reshape(len(quiet), -1)


def protection_demand(forecasts: list[Forecast]) -> tuple[Floats, Floats]:
    """Median of the demand of all periods together, and the standard deviation of its logarithm (delta method)."""
    total = np.sum([forecast.median for forecast in forecasts], axis=0)
    variance = np.sum([forecast.log_variance * forecast.median**2 for forecast in forecasts], axis=0)
    return total, np.sqrt(variance) / np.maximum(total, 1e-9)


def _level(total: Floats, spread: Floats, factors: Floats) -> Floats:
    exponent = np.clip(spread[:, None] * factors, -1.0, EXPONENT_MAX)
    level: Floats = total[:, None] * np.exp(exponent)
    return level
