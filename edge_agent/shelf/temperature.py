"""How a load cell's zero moves with temperature: a slope in g/°C, learnt only while nothing else moves. Pure.

A regression through the origin of zero movement on temperature change over quiet stretches, shrunk to no slope at all
by ``PRIOR_C2``. The correction is summed up step by step, so that a slope that was learnt anew makes no jump, and a
thermometer that errs for a while does no more than its rate limit allows.
"""

from dataclasses import dataclass
from typing import Final

SLOPE_MAX_G_PER_C: Final = 5.0
PRIOR_C2: Final = 4.0
"""Squared °C that must have been seen to believe half of the slope: a zero is read to 2 g, slopes are about 1 g/°C."""
FADE: Final = 0.998
STRETCH_C: Final = 1.0
STRETCH_MIN_C: Final = 0.1
STRETCH_MAX_MS: Final = 3_600_000
PERIOD_MS: Final = 1_000
RATE_MAX_C: Final = 0.1
"""What a second can change: an open door does less."""
SMOOTHING: Final = 0.2


@dataclass(slots=True)
class TemperatureDrift:
    """Kept over restarts; ``celsius`` is the smoothed temperature that ``correction_g`` belongs to."""

    squares_c2: float = 0.0
    products_gc: float = 0.0
    celsius: float | None = None
    correction_g: float = 0.0

    @property
    def slope_g_per_c(self) -> float:
        """Grams that the zero rises with each °C."""
        slope = self.products_gc / (self.squares_c2 + PRIOR_C2)
        return max(-SLOPE_MAX_G_PER_C, min(SLOPE_MAX_G_PER_C, slope))

    def warm(self, celsius: float, passed_ms: int) -> None:
        """The thermometer says ``celsius``, so long after it was last heard."""
        if self.celsius is None:
            self.celsius = celsius
            return
        periods = passed_ms / PERIOD_MS
        step = min(1.0, SMOOTHING * periods) * (celsius - self.celsius)
        step = max(-RATE_MAX_C * periods, min(RATE_MAX_C * periods, step))
        self.celsius += step
        self.correction_g += self.slope_g_per_c * step

    def learn(self, risen_g: float, warmer_c: float) -> None:
        """Over a quiet stretch the zero, uncorrected, rose by ``risen_g`` while it got warmer by ``warmer_c``."""
        limit_g = SLOPE_MAX_G_PER_C * abs(warmer_c)
        self.squares_c2 = FADE * self.squares_c2 + warmer_c**2
        self.products_gc = FADE * self.products_gc + warmer_c * max(-limit_g, min(limit_g, risen_g))


class QuietStretch:
    """A time without events, over which zero and temperature are compared."""

    def __init__(self, drift: TemperatureDrift, t_ms: int) -> None:
        assert drift.celsius is not None
        self._drift = drift
        self._from_ms = t_ms
        self._from_c = drift.celsius
        self._from_correction_g = drift.correction_g
        self._crept_g = 0.0

    def creep(self, grams: float, t_ms: int) -> bool:
        """The corrected zero moved; True when the stretch is long enough to end."""
        self._crept_g += grams
        assert self._drift.celsius is not None
        return abs(self._drift.celsius - self._from_c) >= STRETCH_C or t_ms - self._from_ms >= STRETCH_MAX_MS

    def end(self) -> None:
        """Learn from it, when the temperature moved enough to tell anything."""
        drift = self._drift
        assert drift.celsius is not None
        warmer_c = drift.celsius - self._from_c
        if abs(warmer_c) >= STRETCH_MIN_C:
            drift.learn(self._crept_g + drift.correction_g - self._from_correction_g, warmer_c)
