"""Online methods of forecasting, each with quantiles, and the choice among them for each series. Pure.

Every method forecasts each day before it learns it; a series takes the method with the lowest discounted pinball loss.
A day out of stock is censored: only when more was sold than expected is it learnt, as no less than that.
"""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
from scipy import stats

from stream.demand.regression import Plan, PromotionRegression
from stream.demand.smoothing import ExponentialLevel, IntermittentLevel

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.intp]

QUANTILES: Final = (0.5, 0.8, 0.95)
KEEP: Final = 0.98
WEEK: Final = 7


@dataclass(frozen=True)
class Expected:
    """Demand of one day: ``mean`` of shape (series,), ``quantiles`` of shape (series, len(QUANTILES)); units."""

    mean: Floats
    quantiles: Floats


class Method(Protocol):
    """A way to forecast, of all series at once."""

    def expect(self, day: int, plan: Plan) -> Expected:
        """Demand of a day that is not learnt yet."""
        ...

    def learn(self, day: int, plan: Plan, units: Floats, known: Bools) -> None:
        """Learn a day."""
        ...


class SmoothMethod:
    """Exponential smoothing of the level."""

    def __init__(self, mean: Floats) -> None:
        self._level = ExponentialLevel(0.1, mean, mean + (0.3 * mean) ** 2)

    def expect(self, day: int, plan: Plan) -> Expected:  # noqa: ARG002 - knows neither
        """See Method."""
        return _counts(self._level.mean, self._level.variance)

    def learn(self, day: int, plan: Plan, units: Floats, known: Bools) -> None:  # noqa: ARG002
        """See Method."""
        self._level.learn(units, known)


class IntermittentMethod:
    """TSB, for articles that few ask for."""

    def __init__(self, mean: Floats) -> None:
        self._level = IntermittentLevel(0.1, mean)

    def expect(self, day: int, plan: Plan) -> Expected:  # noqa: ARG002 - knows neither
        """See Method."""
        return _counts(self._level.mean, self._level.mean * self._level.size)

    def learn(self, day: int, plan: Plan, units: Floats, known: Bools) -> None:  # noqa: ARG002
        """See Method."""
        self._level.learn(units, known)


class SeasonalMethod:
    """Dynamic regression of the logarithm with days of the week and promotions."""

    def __init__(self, mean: Floats) -> None:
        self._regression = PromotionRegression(0.01, mean, WEEK)

    def expect(self, day: int, plan: Plan) -> Expected:
        """See Method."""
        forecast = self._regression.forecast(plan, day)
        sd = np.sqrt(forecast.log_variance)
        factors = np.array([NormalDist().inv_cdf(quantile) for quantile in QUANTILES])
        quantiles = forecast.median[:, None] * np.exp(np.minimum(sd[:, None] * factors, 3.0))
        return Expected(forecast.median * np.exp(np.minimum(forecast.log_variance / 2, 1.0)), quantiles)

    def learn(self, day: int, plan: Plan, units: Floats, known: Bools) -> None:
        """See Method."""
        self._regression.learn(plan, day, units, known)


ONLINE: Final[dict[str, Callable[[Floats], Method]]] = {
    "smooth": SmoothMethod,
    "intermittent": IntermittentMethod,
    "seasonal": SeasonalMethod,
}


@dataclass(frozen=True)
class Walk:
    """One-step forecasts of the past by every method, and forecasts of the days to come by the chosen one.

    ``past``: method -> (series, days, 1 + len(QUANTILES)), the mean first. ``ahead``: the same shape for the days to
    come. ``chosen``: index into ``names`` a series.
    """

    names: tuple[str, ...]
    past: dict[str, Floats]
    ahead: dict[str, Floats]
    chosen: Indices


def walk(units: Floats, known: Bools, censored: Bools, plans: list[Plan]) -> Walk:
    """Forecast every day before learning it, and then the days for which there is a plan but no demand yet.

    ``units``, ``known``, ``censored``: shape (series, days); ``plans``: one a day, those to come included.
    """
    days = units.shape[1]
    early = known[:, : 2 * WEEK]
    mean = np.where(early, units[:, : 2 * WEEK], 0.0).sum(axis=1) / np.maximum(early.sum(axis=1), 1)
    methods = {name: make(mean) for name, make in ONLINE.items()}
    past = {name: np.zeros((*units.shape, 1 + len(QUANTILES))) for name in methods}
    loss = np.zeros((len(units), len(methods)))
    for day in range(days):
        for index, (name, method) in enumerate(methods.items()):
            expected = method.expect(day, plans[day])
            past[name][:, day] = _stacked(expected)
            fair = known[:, day] & ~censored[:, day]
            loss[:, index] = KEEP * loss[:, index] + np.where(fair, _loss(units[:, day], expected), 0.0)
            more = known[:, day] & (units[:, day] > expected.mean)
            method.learn(day, plans[day], units[:, day], fair | more)
    ahead = {
        name: np.stack([_stacked(method.expect(day, plans[day])) for day in range(days, len(plans))], axis=1)
        for name, method in methods.items()
    }
    return Walk(tuple(methods), past, ahead, np.asarray(loss.argmin(axis=1)))


def _stacked(expected: Expected) -> Floats:
    return np.concatenate([expected.mean[:, None], expected.quantiles], axis=1)


def _loss(units: Floats, expected: Expected) -> Floats:
    error = units[:, None] - expected.quantiles
    share = np.array(QUANTILES)
    total: Floats = np.maximum(share * error, (share - 1) * error).sum(axis=1)
    return total


def _counts(mean: Floats, variance: Floats) -> Expected:
    """Quantiles of a negative binomial (Poisson where the variance is no more than the mean)."""
    safe = np.maximum(mean, 1e-6)
    spread = np.maximum(variance, safe * (1 + 1e-3))
    chance = safe / spread
    count = safe * chance / (1 - chance)
    quantiles = np.stack([stats.nbinom.ppf(quantile, count, chance) for quantile in QUANTILES], axis=1)
    return Expected(mean, quantiles)
