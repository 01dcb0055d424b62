"""Exponential smoothing of many series at once: level with its spread, and TSB for intermittent demand. Pure."""

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
