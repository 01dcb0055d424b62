"""What a unit weighs on this slot, learnt from accepted events and never far from the master data. Pure.

The mean is a scalar Kalman filter that starts at the master data; the spread an inverse-gamma-like average of squared
residuals that starts with the weight of ``SPREAD_PRIOR`` events. Both are shifts against the master data, which are
arguments: new master data take effect at once. Whatever is fed, the mean stays within ``SHIFT_MAX`` of a unit and the
spread within a factor of ``SPREAD_MAX``, so that a wrong event can mislead a little, and never for good.
"""

import math
from dataclasses import dataclass
from typing import Final

MEAN_SD: Final = 0.005
"""How wrong master data are, in units' weights (one standard deviation)."""
SHIFT_MAX: Final = 0.05
SD_MIN: Final = 0.002
"""No two units weigh the same to less than this, whatever the master data say."""
WALK: Final = 0.05
"""An event later the mean may have moved by this share of ``MEAN_SD``: another batch."""
OUTLIER_SD: Final = 3.5
SPREAD_PRIOR: Final = 20.0
SPREAD_MEMORY: Final = 200.0
SPREAD_MAX: Final = 2.0
SPREAD_MIN: Final = 0.5


@dataclass(slots=True)
class UnitWeight:
    """Shares of the master weight (``shift``, ``variance``), and the spread as a ratio of variances."""

    shift: float = 0.0
    variance: float = MEAN_SD**2
    spread_sum: float = 0.0
    spread_events: float = 0.0

    def unit_g(self, master_g: float) -> float:
        """What a unit weighs."""
        return master_g * (1 + self.shift)

    def mean_sd_g(self, master_g: float) -> float:
        """How uncertain that is."""
        return master_g * math.sqrt(self.variance)

    def sd_g(self, master_g: float, master_sd_g: float) -> float:
        """How units differ."""
        ratio = (SPREAD_PRIOR + self.spread_sum) / (SPREAD_PRIOR + self.spread_events)
        bounded = max(SPREAD_MIN**2, min(SPREAD_MAX**2, ratio))
        return max(master_sd_g, SD_MIN * master_g) * math.sqrt(bounded)

    def learn(self, units: int, grams: float, noise_sd_g: float, master_g: float, master_sd_g: float) -> None:
        """An event changed the weight by ``grams``; ``units`` of this article and nothing else. Signs agree."""
        assert units != 0
        sd = max(master_sd_g, SD_MIN * master_g) / master_g
        now_sd = self.sd_g(master_g, master_sd_g) / master_g
        n = abs(units)
        noise = (noise_sd_g / master_g / n) ** 2
        error = grams / units / master_g - 1 - self.shift
        variance = min(MEAN_SD**2, self.variance + (WALK * MEAN_SD) ** 2)
        expected = variance + now_sd**2 / n + noise
        if error**2 > OUTLIER_SD**2 * expected:
            return
        gain = variance / expected
        self.shift = max(-SHIFT_MAX, min(SHIFT_MAX, self.shift + gain * error))
        self.variance = (1 - gain) * variance
        # An event tells of the spread only as far as the noise leaves it to be seen.
        told = (now_sd**2 / n / expected) ** 2
        self.spread_sum += told * n * (error**2 - variance - noise) / sd**2
        self.spread_events += told
        if self.spread_events > SPREAD_MEMORY:
            self.spread_sum *= SPREAD_MEMORY / self.spread_events
            self.spread_events = SPREAD_MEMORY
        self.spread_sum = max(-SPREAD_PRIOR / 2, self.spread_sum)
