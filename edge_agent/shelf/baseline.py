"""The weight that the next one is compared with: it follows creep, noise, temperature and the empty scale. Pure."""

import math
from typing import Final

from edge_agent.shelf.plateau import MEAN_SD, WINDOW, Resolution
from edge_agent.shelf.slot import SlotMemory
from edge_agent.shelf.temperature import PERIOD_MS, QuietStretch

BASELINE_MAX: Final = 60
NOISE_MEMORY: Final = 100
NOISE_GROWTH: Final = 1.02
_CLAMP_SD: Final = 3.0
_AWAY_MS: Final = 60_000
"""How long the thermometer is thought to have been silent before a start, or over a gap: it may be anywhere."""


class Baseline:
    """Follows one scale while it rests. Its numbers live in ``memory``, whose baseline is set from ``rebase`` on."""

    def __init__(self, memory: SlotMemory) -> None:
        self._memory = memory
        self.resolution = Resolution()
        self.samples = WINDOW
        self._steps = 0
        self._warm_ms: int | None = None
        self._stretch: QuietStretch | None = None

    @property
    def grams(self) -> float:
        """The baseline itself."""
        assert self._memory.baseline_g is not None
        return self._memory.baseline_g

    @property
    def is_settled(self) -> bool:
        """Whether it has rested so long that what moves now is creep."""
        return self.samples >= BASELINE_MAX

    def compensate(self, t_ms: int, weight_g: float, temp_c: float | None) -> float:
        """The weight as it would be at one temperature."""
        drift = self._memory.temperature
        if temp_c is not None and (self._warm_ms is None or t_ms - self._warm_ms >= PERIOD_MS):
            drift.warm(temp_c, _AWAY_MS if self._warm_ms is None else t_ms - self._warm_ms)
            self._warm_ms = t_ms
        return weight_g - drift.correction_g

    def follow(self, oldest_g: float, second_g: float, t_ms: int) -> None:
        """Zero tracking, while nothing moves: a sample that left the window joins the baseline."""
        memory = self._memory
        settled = self.is_settled
        self.samples = min(BASELINE_MAX, self.samples + 1)
        limit_g = _CLAMP_SD * memory.noise_g
        step_g = max(-limit_g, min(limit_g, oldest_g - self.grams)) / self.samples
        memory.baseline_g = self.grams + step_g
        self._steps = min(NOISE_MEMORY, self._steps + 1)
        square = min((second_g - oldest_g) ** 2 / 2, (4 * memory.noise_g) ** 2)
        variance = memory.noise_g**2 + (square - memory.noise_g**2) / (self._steps + WINDOW)
        memory.noise_g = max(self.resolution.noise_min_g, math.sqrt(variance))
        if settled:
            self._creep(step_g, t_ms)

    def _creep(self, step_g: float, t_ms: int) -> None:
        """The scale moved by itself: so did its zero, and perhaps the temperature tells why."""
        memory = self._memory
        if memory.is_bare:
            memory.zero_g = self.grams
        elif memory.zero_g is not None:
            memory.zero_g += step_g
        if memory.temperature.celsius is None:
            return
        if self._stretch is None:
            self._stretch = QuietStretch(memory.temperature, t_ms)
        if self._stretch.creep(step_g, t_ms):
            self._end_stretch()

    def rebase(self, grams: float, samples: int) -> None:
        """The baseline is elsewhere from now on."""
        self._end_stretch()
        self._memory.baseline_g = grams
        self.samples = samples

    def shift(self, grams: float) -> None:
        """Something came or went under a load that still lies there."""
        self._end_stretch()
        self._memory.baseline_g = self.grams + grams

    def tare(self, grams: float, samples: int) -> None:
        """The scale was made to read ``grams`` for what lies there."""
        memory = self._memory
        if memory.zero_g is not None:
            memory.zero_g += grams - self.grams
        self.rebase(grams, samples)

    def lose_sight(self) -> None:
        """No samples came for a while: the temperature may have changed meanwhile, the stretch is no use."""
        self._stretch = None
        self._warm_ms = None

    def grow_noise(self) -> None:
        """The noise was perhaps thought too small."""
        self._memory.noise_g *= NOISE_GROWTH

    def difference_sd(self, samples: int, others: int | None = None) -> float:
        """Standard deviation of a plateau's mean against the baseline's, or against another plateau's."""
        noise_g = self._memory.noise_g
        of_others = WINDOW / (self.samples if others is None else others)
        variance = (MEAN_SD * noise_g) ** 2 * (WINDOW / samples + of_others)
        return math.sqrt(variance + self.resolution.variance_g2(noise_g))

    def _end_stretch(self) -> None:
        if self._stretch is not None:
            self._stretch.end()
            self._stretch = None
