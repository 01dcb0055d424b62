"""How demand follows the number of series that are promoted in the same period. Pure.

Shoppers share their attention and money: a promotion sells more where few others run beside it, and what is not
promoted sells less beside many. The number is known in advance, as the plan is. One slope for promoted series and one
for the others, since all series of a period have one number in common: a Kalman filter of one state each, which learns
their mean error of the period.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

SERIES_MIN: Final = 5
"""Fewer series say nothing about a period."""
SLOPE_VARIANCE: Final = 0.1
PERIOD_VARIANCE: Final = 0.3
"""Of the mean error of a period, a logarithm: what happens to all promoted series of a chain alike."""
ERROR_MAX: Final = 2.0


@dataclass
class _Slope:
    mean: float = 0.0
    variance: float = SLOPE_VARIANCE

    def learn(self, crowd: float, error: float) -> None:
        gain = self.variance * crowd / (crowd**2 * self.variance + PERIOD_VARIANCE)
        self.mean += gain * (error - crowd * self.mean)
        self.variance *= 1 - gain * crowd


class CrowdEffect:
    """Slopes of the logarithm of demand on that of the share of promoted series (over its usual, see Plan)."""

    def __init__(self) -> None:
        self._promoted, self._others = _Slope(), _Slope()

    def effect(self, on: Bools, crowd: float) -> Floats:
        """What the logarithm of demand is expected to change by, a series, promoted where ``on``."""
        return np.where(on, self._promoted.mean * crowd, self._others.mean * crowd)

    def learn(self, on: Bools, crowd: float, error: Floats, known: Bools) -> None:
        """Learn the errors of a period that leave the crowd out, logarithms, where ``known``."""
        for slope, chosen in ((self._promoted, known & on), (self._others, known & ~on)):
            if chosen.sum() >= SERIES_MIN:
                slope.learn(crowd, float(np.clip(error[chosen], -ERROR_MAX, ERROR_MAX).mean()))
