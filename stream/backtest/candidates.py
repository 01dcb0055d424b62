"""Order-up-to levels that a policy may choose from: several forecasts, each with several safety factors. Pure.

Each has a cap of one order as well (capped base stock for lost sales, Xin 2021): what the periods that the order is to
last for need alone, even if nothing is left by then. What a promotion sells before the order arrives is lost or not,
whatever is ordered.
"""

from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np
import numpy.typing as npt

from stream.backtest.simulation import Terms
from stream.demand.regression import Forecast, Plan, PromotionRegression
from stream.demand.smoothing import ExponentialLevel, IntermittentLevel
from stream.policy.leftover import LumpyDemand, levels

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

DRIFTS: Final = (0.0002, 0.001, 0.005)
ROOT_DRIFT: Final = 0.001
SEASON_DRIFT: Final = 0.001
WEIGHTS: Final = (0.01, 0.02, 0.05, 0.1, 0.2)
USUAL_WEIGHT: Final = 0.05
INTERMITTENT_WEIGHTS: Final = (0.03, 0.1)
FACTORS: Final = (-0.4, 0.0, 0.4)
"""Safety factors of smoothed levels beside that of the newsvendor."""
PRICES: Final = (0.6, 1.0, 1.6, 2.5, 4.0)
"""Prices of a lost unit that a regression's levels are made for, in penalties."""
EXPONENT_MAX: Final = 3.0
MEAN_MIN: Final = 1e-9
BATCHES: Final = (0.0, 0.7, 1.2)
"""With a cost of ordering: lots in units of the economic order quantity."""


def first_variance(mean: Floats) -> Floats:
    """Variance of demand a period before any is seen: Poisson, and a third of the mean as its own uncertainty."""
    variance: Floats = mean + (0.3 * mean) ** 2
    return variance


@dataclass(frozen=True)
class Levels:
    """Order-up-to levels, and the most that one order may be; units, shape (series, variants)."""

    up_to: Floats
    cap: Floats


class Candidates:
    """Forecasters of all series and the levels that they lead to; ``count`` variants.

    ``mean``: units a period that the opening stock lets expect; ``seasons``: lengths to try, in periods.
    """

    def __init__(self, terms: Terms, mean: Floats, *, seasons: tuple[int, ...]) -> None:
        self._terms = terms
        self._factor = NormalDist().inv_cdf(terms.critical_ratio)
        variance = first_variance(mean)
        self._regressions = [PromotionRegression(drift, mean) for drift in DRIFTS]
        self._regressions += [PromotionRegression(ROOT_DRIFT, mean, power=0.5)]
        self._regressions += [PromotionRegression(SEASON_DRIFT, mean, season) for season in seasons]
        self._levels = [ExponentialLevel(weight, mean, variance) for weight in WEIGHTS]
        self._intermittent = [IntermittentLevel(weight, mean) for weight in INTERMITTENT_WEIGHTS]
        first = len(self._regressions) * len(PRICES)
        smooth = len(FACTORS) * (len(self._levels) + len(self._intermittent))
        middle = FACTORS.index(0.0)
        self.textbook = [first + index * len(FACTORS) + middle for index in range(len(self._levels))]
        """Variants that are textbook base stock, one a weight."""
        self.count = first + smooth

    @property
    def usual(self) -> Floats:
        """Mean demand of a review interval, units a series; it moves slowly."""
        mean: Floats = self._levels[WEIGHTS.index(USUAL_WEIGHT)].mean * self._terms.review
        return mean

    def levels(self, plans: list[Plan], period: int) -> Levels:
        """Levels in ``period``: for the protection interval, and caps for the review periods at its end."""
        none = np.zeros(len(self.usual))
        quiet = [(period, Plan(none, none, none > 0, none > 0))] * self._terms.protection
        slacks = [self._slack(law) for law in self._laws(quiet)]
        ahead = list(enumerate(plans, period))
        return Levels(self._up_to(ahead, slacks), self._up_to(ahead[-self._terms.review :], slacks))

    def _up_to(self, ahead: list[tuple[int, Plan]], slacks: list[Floats]) -> Floats:
        """Units that cover the demand of the periods ``ahead``, shape (series, count)."""
        usual = self.usual / self._terms.review
        ratios = np.array(PRICES) * self._terms.penalty / self._terms.holding
        found = [levels(LumpyDemand(law.median, np.sqrt(law.log_variance), usual, slack), ratios)
                 for law, slack in zip(self._laws(ahead), slacks, strict=True)]  # fmt: skip
        factors = self._factor + np.array(FACTORS)
        length = len(ahead)
        for level in self._levels:
            safety = np.sqrt(level.variance * length)[:, None] * factors
            found.append(level.mean[:, None] * length + safety)
        for sparse in self._intermittent:
            # A compound of arrivals and sizes: about Poisson times the size.
            spread = np.sqrt(sparse.mean * sparse.size * length)[:, None]
            found.append(sparse.mean[:, None] * length + spread * factors)
        return np.maximum(np.concatenate(found, axis=1), 0.0)

    def learn(self, plan: Plan, period: int, units: Floats, known: Bools) -> None:
        """Learn the demand of ``period`` where it is ``known``."""
        for regression in self._regressions:
            regression.learn(plan, period, units, known)
        for level in self._levels:
            level.learn(units, known)
        for sparse in self._intermittent:
            sparse.learn(units, known)

    def _laws(self, ahead: list[tuple[int, Plan]]) -> list[Forecast]:
        """Demand of the periods ``ahead`` together, a law a regression."""
        return [_together([regression.forecast(plan, period) for period, plan in ahead])
                for regression in self._regressions]  # fmt: skip

    def _slack(self, quiet: Forecast) -> Floats:
        """Safety stock of a protection interval without a promotion, units."""
        exponent = self._factor * np.sqrt(quiet.log_variance)
        slack: Floats = quiet.median * np.maximum(np.exp(np.minimum(exponent, EXPONENT_MAX)) - 1, 0.0)
        return slack


def _together(forecasts: list[Forecast]) -> Forecast:
    """Demand of all periods together: sum of the medians, and the variance of its logarithm (delta method)."""
    total = np.sum([forecast.median for forecast in forecasts], axis=0)
    variance = np.sum([forecast.log_variance * forecast.median**2 for forecast in forecasts], axis=0)
    return Forecast(total, variance / np.maximum(total, MEAN_MIN) ** 2)
