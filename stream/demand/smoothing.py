"""Exponential smoothing of many series at once: level with its spread, and TSB for intermittent demand. Pure."""

from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


class ExponentialLevel:
    """Exponentially weighted mean of demand a period, and variance of its one-step errors; arrays over series.

    ``weight`` of the newest period, in (0, 1]; ``mean`` and ``variance`` before the first one. Variance after Finch
    (2009), "Incremental calculation of weighted mean and variance", eq. 143.
    """

    def __init__(self, weight: float, mean: Floats, variance: Floats) -> None:
        assert 0 < weight <= 1
        self._weight = weight
        self.mean = mean.copy()
        self.variance = variance.copy()

    def learn(self, units: Floats, known: Bools) -> None:
        """Learn the demand of one period where it is ``known``."""
        error = np.where(known, units - self.mean, 0.0)
        spread = (1 - self._weight) * (self.variance + self._weight * error**2)
        self.variance = np.where(known, spread, self.variance)
        self.mean = self.mean + self._weight * error


class IntermittentLevel:
    """TSB: probability of a demand and its size, each smoothed by itself (Teunter, Syntetos and Babai 2011).

    Unlike Croston's method it forgets an article that nobody asks for: the probability falls in every period without.
    """

    def __init__(self, weight: float, mean: Floats) -> None:
        assert 0 < weight <= 1
        self._weight = weight
        self.probability = np.where(mean > 0, np.minimum(mean, 1.0), 0.0)
        self.size = np.maximum(mean, 1.0)

    @property
    def mean(self) -> Floats:
        """Expected units a period."""
        product: Floats = self.probability * self.size
        return product

    def learn(self, units: Floats, known: Bools) -> None:
        """Learn the demand of one period where it is ``known``."""
        asked = known & (units > 0)
        self.size = np.where(asked, self.size + self._weight * (units - self.size), self.size)
        step = self._weight * (asked.astype(np.float64) - self.probability)
        self.probability = np.where(known, self.probability + step, self.probability)


class PromotedLevel:
    """Demand of usual and of promoted periods apart: a mean and a variance of each; arrays over series.

    Logarithms hide how far a busy week can go, these do not. A series whose promotions are not known yet expects of
    them what the others sold: their ratio to the usual, weighed with what it showed itself (empirical Bayes).
    """

    POOLED: Final = 2.0
    """Promoted periods of its own that count as much as what the others showed."""
    PROMOTED_WEIGHT_MIN: Final = 0.15
    FIRST_RATIO: Final = 2.0

    def __init__(self, weight: float, mean: Floats, variance: Floats) -> None:
        self._usual = ExponentialLevel(weight, mean, variance)
        self._seen = np.zeros(len(mean))
        self._ratio = np.zeros(len(mean))
        self._square = np.zeros(len(mean))

    def expect(self, on: Bools) -> tuple[Floats, Floats]:
        """Mean and variance of the demand of a period, promoted where ``on``."""
        usual, variance = self._usual.mean, self._usual.variance
        ratio, square = self._uplift()
        mean = np.where(on, ratio * usual, usual)
        spread = np.where(on, np.maximum(square - ratio**2, 0.0) * usual**2 + variance, variance)
        return mean, spread

    def learn(self, units: Floats, known: Bools, on: Bools) -> None:
        """Learn the demand of one period where it is ``known``."""
        self._usual.learn(units, known & ~on)
        told = known & on
        ratio = np.where(told, units / np.maximum(self._usual.mean, 0.5), 0.0)
        self._seen += told
        rate = np.where(told, np.maximum(1.0 / np.maximum(self._seen, 1.0), self.PROMOTED_WEIGHT_MIN), 0.0)
        self._ratio += rate * (ratio - self._ratio)
        self._square += rate * (ratio**2 - self._square)

    def _uplift(self) -> tuple[Floats, Floats]:
        """Mean of what a promotion multiplies usual demand by, and of its square."""
        weight = np.minimum(self._seen, 1.0 / self.PROMOTED_WEIGHT_MIN)
        total = weight.sum()
        pooled = (weight @ self._ratio) / total if total else self.FIRST_RATIO
        pooled_square = (weight @ self._square) / total if total else 2.0 * self.FIRST_RATIO**2
        share = weight / (weight + self.POOLED)
        return share * self._ratio + (1 - share) * pooled, share * self._square + (1 - share) * pooled_square
