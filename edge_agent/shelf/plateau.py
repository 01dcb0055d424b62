"""The scale's own noise, and stretches in which a weight does not change. Pure."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, NamedTuple

from edge_agent.shelf.slot import NOISE_FIRST_G

WINDOW: Final = 7
NOISE_MIN_G: Final = 0.5
MEAN_SD: Final = 0.42
"""Standard deviation of the trimmed mean of 7, in those of a sample."""
SPREAD_SD: Final = 2.9
"""Second largest minus second smallest of 7 normal samples: 1.51 on average, over 2.9 in about 1 of 200."""
LEAN_SD: Final = 2.3
_QUANTUM_NOISE: Final = 0.36
"""A scale that says multiples of a quantum is never less noisy than this share of it: it must not seem to move."""
_QUANTUM_MIN_G: Final = 0.01
_RUN_MIN: Final = 3
_RUN_SD: Final = 2.5


GAP_MS: Final = 5_000
GAP_PERIODS: Final = 3
"""A shelf that is read seldom has no gap after every sample: only what is this many times its usual distance is one."""
CLOCK_SLIP_MS: Final = 60_000
"""A sample that is older than the last by less came late, by more: the clock began anew."""


class Order(Enum):
    """How a sample follows the one before."""

    NEXT = auto()
    AFTER_GAP = auto()
    LATE = auto()
    """It is not newer: it came twice, or too late to be of use."""
    ANEW = auto()


def order_of(last_ms: int | None, t_ms: int, period_ms: int = 0) -> Order:
    """How a sample at ``t_ms`` follows the one at ``last_ms``, which came ``period_ms`` after the one before it."""
    if last_ms is None or 0 < t_ms - last_ms <= max(GAP_MS, GAP_PERIODS * period_ms):
        return Order.NEXT
    if t_ms > last_ms:
        return Order.AFTER_GAP
    return Order.LATE if last_ms - t_ms < CLOCK_SLIP_MS else Order.ANEW


class Sample(NamedTuple):
    """A weight at a time."""

    t_ms: int
    weight_g: float


@dataclass(slots=True)
class Plateau:
    """A plateau that is not the baseline, not decided yet. ``stairs``: it followed a lower one that was not either."""

    start_ms: int
    mean_g: float
    samples: int
    stairs: bool = False

    def join(self, before: "Plateau") -> None:
        """The same load as ``before``: a hand came between, or shifted it a little."""
        samples = before.samples + self.samples
        self.mean_g = (before.mean_g * before.samples + self.mean_g * self.samples) / samples
        self.samples = samples
        self.start_ms = before.start_ms
        self.stairs = before.stairs


class Resolution:
    """The scale's quantum, as the least difference ever seen between two samples."""

    def __init__(self) -> None:
        self._last_g: float | None = None
        self.quantum_g = 0.0
        self.noise_min_g = NOISE_MIN_G

    def see(self, weight_g: float) -> None:
        """Take a raw sample."""
        if self._last_g is not None and weight_g != self._last_g:
            step_g = abs(weight_g - self._last_g)
            if step_g >= _QUANTUM_MIN_G and (step_g < self.quantum_g or not self.quantum_g):
                self.quantum_g = step_g
                self.noise_min_g = max(NOISE_MIN_G, _QUANTUM_NOISE * step_g)
        self._last_g = weight_g

    def variance_g2(self, noise_g: float) -> float:
        """What rounding adds to the difference of two means when the noise is too small to average it out."""
        return self.quantum_g**2 / 6 if self.quantum_g > noise_g else 0.0


def shape(window: Sequence[Sample]) -> tuple[float, float, float]:
    """Trimmed mean, trimmed spread, and lean (late minus early mean, absolute) of a full window."""
    weights = [weight for _, weight in window]
    early = (weights[0] + weights[1] + weights[2]) / 3
    late = (weights[-1] + weights[-2] + weights[-3]) / 3
    weights.sort()
    inner = weights[1:-1]
    return sum(inner) / len(inner), inner[-1] - inner[0], abs(late - early)


def first_noise(weights: Sequence[float], least_g: float) -> float:
    """Standard deviation of a sample from successive differences (insensitive to a slow drift), and experience."""
    squares = sorted((b - a) ** 2 / 2 for a, b in itertools.pairwise(weights))[:-1]
    estimate = math.sqrt(sum(squares) / len(squares)) * 1.2
    return max(least_g, math.sqrt((WINDOW * estimate**2 + 3 * NOISE_FIRST_G**2) / (WINDOW + 3)))


def resting_levels(
    trail: Sequence[Sample], before_ms: int, before_g: float, levels_g: Sequence[float], sd_g: float
) -> list[int | None]:
    """When the weight first rested at each of the levels on its way from ``before_g``; None where it did not.

    ``trail`` ends at ``before_ms``. A rest is ``_RUN_MIN`` samples in a row, each within ``_RUN_SD`` standard
    deviations ``sd_g`` of a sample.
    """
    within_g = _RUN_SD * sd_g
    samples = [sample for sample in trail if sample.t_ms < before_ms]
    at = 0
    while (start := _first_run(samples, at, before_g, within_g)) is not None:
        at = start + 1
    found: list[int | None] = []
    for level_g in levels_g:
        start = _first_run(samples, at, level_g, within_g)
        found.append(None if start is None else samples[start].t_ms)
        at = at if start is None else start + _RUN_MIN
    return found


def _first_run(samples: Sequence[Sample], at: int, level_g: float, within_g: float) -> int | None:
    run = 0
    for place in range(at, len(samples)):
        run = run + 1 if abs(samples[place].weight_g - level_g) <= within_g else 0
        if run == _RUN_MIN:
            return place - _RUN_MIN + 1
    return None


def lots_of(units: int, rests: Sequence[int | None], end_ms: int) -> list[tuple[int, int]]:
    """When and how many of ``units`` went (negative) up to ``end_ms``: several lots when the weight rested between."""
    lots, gone = [], 0
    for n, at_ms in enumerate(rests, 1):
        if at_ms is not None:
            lots.append((at_ms, gone - n))
            gone = n
    return [*lots, (end_ms, gone + units)]
