"""The last samples of one slot: the window that may be a plateau, and the trail that led there. Pure."""

import math
from collections import deque
from typing import Final

from edge_agent.shelf.plateau import WINDOW, Order, Sample, first_noise, order_of, resting_levels
from edge_agent.shelf.slot import Article

TRAIL_SAMPLES: Final = 75
CLEAR_STEP_SD: Final = 8.0
"""A unit that is not so many standard deviations above the noise leaves no rest that could be told from none."""


class Samples:
    """``window`` holds the last ``WINDOW`` samples in order; nothing in it spans a gap."""

    def __init__(self) -> None:
        self.window: deque[Sample] = deque(maxlen=WINDOW)
        self._trail: deque[Sample] = deque(maxlen=TRAIL_SAMPLES)
        self._last_ms: int | None = None
        self._period_ms = 0

    @property
    def start_ms(self) -> int:
        """When the window began."""
        return self.window[0].t_ms

    def arrive(self, t_ms: int) -> Order:
        """How a sample at ``t_ms`` follows the last; after a gap, and when the clock began anew, all is forgotten."""
        order = order_of(self._last_ms, t_ms, self._period_ms)
        if order is Order.LATE:
            return order
        # After an outage the next sample comes soon, and the period is short again.
        self._period_ms = t_ms - self._last_ms if self._last_ms is not None and order is not Order.ANEW else 0
        self._last_ms = t_ms
        if order is not Order.NEXT:
            self.window.clear()
            self._trail.clear()
        return order

    def add(self, sample: Sample) -> bool:
        """Take a sample that arrived; whether the window is full."""
        self.window.append(sample)
        self._trail.append(sample)
        return len(self.window) == WINDOW

    def first_noise(self, least_g: float) -> float:
        """Standard deviation of a sample, in grams, from the window alone."""
        return first_noise([weight_g for _, weight_g in self.window], least_g)

    def rests(self, units: int, article: Article, noise_g: float, before_ms: int, before_g: float) -> list[int | None]:
        """When the weight rested at 1, 2, … of ``units`` on its way from ``before_g`` until ``before_ms``."""
        sd = math.sqrt(noise_g**2 + article.variance_g2(units))
        if article.unit_g < CLEAR_STEP_SD * sd:
            return []
        step_g = math.copysign(article.unit_g, units)
        levels = [before_g + n * step_g for n in range(1, abs(units))]
        return resting_levels(self._trail, before_ms, before_g, levels, sd)
