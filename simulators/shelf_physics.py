"""What a shelf controller measures: load cells under bays, a thermometer, a door counter. Pure.

Nothing here reads a clock: ``at_s`` is a time in seconds since any origin, and never goes back for one object.
Readings are computed when asked for, so that an idle shelf costs nothing; noise comes from the bay's own generator
and therefore depends on how often it is read, while what lies on the bay does not.
"""

import math
from dataclasses import dataclass
from random import Random
from typing import Final

HOUR_S: Final = 3_600.0
SETTLE_S: Final = 1.0
"""How long a cell swings after a change of load."""
SWING_TAU_S: Final = 0.15
SWING_HZ: Final = 4.0
TOUCHES_MAX: Final = 64
"""Hands and swings that one bay remembers; the oldest goes first."""
THERMOMETER_SD_C: Final = 0.04
WANDER_C: Final = 0.3
WANDER_PERIOD_S: Final = 1_200.0
"""A room or cooler is never quite steady: a slow wave around its temperature."""
RISE_TAUS: Final = 3.0
"""An exponential has gone 95 % of its way after three time constants."""


@dataclass(frozen=True, slots=True)
class CellTraits:
    """How good a load cell is: ``noise_sd_g`` of one reading, ``drift_g_per_hour`` of its zero."""

    noise_sd_g: float = 10.0
    drift_g_per_hour: float = 0.5
    overload_g: float = 50_000.0


@dataclass(frozen=True, slots=True)
class Touch:
    """A force that comes and goes: a hand that rests or bumps (``swing`` False), or the swing after a step."""

    start_s: float
    end_s: float
    force_g: float
    swing: bool = False

    def at(self, at_s: float) -> float:
        """Force in grams at a time, 0 outside of start … end."""
        if not self.start_s <= at_s < self.end_s:
            return 0.0
        since_s = at_s - self.start_s
        if self.swing:
            return self.force_g * math.exp(-since_s / SWING_TAU_S) * math.cos(2 * math.pi * SWING_HZ * since_s)
        return self.force_g * math.sin(math.pi * since_s / (self.end_s - self.start_s))


@dataclass(frozen=True, slots=True)
class Foreign:
    """An article that belongs on another bay."""

    sku: str
    weight_g: float


class Bay:
    """Units of one SKU (and strayed ones) on a load cell.

    ``rng`` gives unit weights and noise. The cell is tared empty at ``at_s``; use ``put`` for the opening stock.
    """

    def __init__(
        self, *, unit_weight_g: float, unit_weight_sd_g: float, traits: CellTraits, rng: Random, at_s: float
    ) -> None:
        self._unit_weight_g = unit_weight_g
        self._unit_weight_sd_g = unit_weight_sd_g
        self._traits = traits
        self._rng = rng
        # Apart, so that reading a bay does not change what the next unit weighs.
        self._noise = Random(rng.random())
        self._units_g: list[float] = []
        self._foreign: list[Foreign] = []
        self._weight_g = 0.0
        self._zero_g = 0.0
        self._crept_g = 0.0
        self._creep_g_per_hour = traits.drift_g_per_hour
        self._creep_since_s = at_s
        self._touches: list[Touch] = []
        self._spike_g: float | None = None
        self._stuck_g = 0.0
        self._stuck_until_s = -math.inf

    @property
    def count(self) -> int:
        """Units of the bay's own SKU."""
        return len(self._units_g)

    @property
    def foreign(self) -> tuple[Foreign, ...]:
        """Articles that belong elsewhere, in the order in which they were laid down."""
        return tuple(self._foreign)

    @property
    def weight_g(self) -> float:
        """What lies on the bay in truth, in grams."""
        return self._weight_g

    def put(self, units: int, at_s: float) -> None:
        """Lay fresh units of the own SKU down; each has its own weight."""
        fresh = [max(1.0, self._rng.gauss(self._unit_weight_g, self._unit_weight_sd_g)) for _ in range(units)]
        self.put_back(fresh, at_s)

    def put_back(self, units_g: list[float], at_s: float) -> None:
        """Lay down units that were taken before, of these weights in grams."""
        self._units_g.extend(units_g)
        self._load_changed(at_s)

    def take(self, units: int, at_s: float) -> list[float]:
        """Take at most ``units`` of the own SKU from the front; their weights in grams."""
        units = min(units, len(self._units_g))
        taken = self._units_g[len(self._units_g) - units :]
        del self._units_g[len(self._units_g) - units :]
        self._load_changed(at_s)
        return taken

    def lay(self, article: Foreign, at_s: float) -> None:
        """Lay an article of another bay down here."""
        self._foreign.append(article)
        self._load_changed(at_s)

    def clear_foreign(self, at_s: float) -> tuple[Foreign, ...]:
        """Take all strayed articles away."""
        strayed = tuple(self._foreign)
        self._foreign.clear()
        self._load_changed(at_s)
        return strayed

    def touch(self, start_s: float, end_s: float, force_g: float) -> None:
        """A hand rests on the bay (positive) or lifts it (negative); half a sine over start … end."""
        self._remember(Touch(start_s, end_s, force_g))

    def creep(self, at_s: float, extra_g_per_hour: float) -> None:
        """From now on the cell's zero creeps at its usual rate and this; what crept so far stays."""
        self._crept_g = self._creep_at(at_s)
        self._creep_since_s = at_s
        self._creep_g_per_hour = self._traits.drift_g_per_hour + extra_g_per_hour

    def tare(self, at_s: float) -> None:
        """Make the present load read 0, as the controller does on command."""
        self._zero_g = self._weight_g + self._creep_at(at_s)

    def spike(self, value_g: float) -> None:
        """The next reading, and only that, is ``value_g``."""
        self._spike_g = value_g

    def stick(self, at_s: float, until_s: float) -> None:
        """The reading of now stays, whatever happens, until ``until_s``."""
        self._stuck_g = self.reading_g(at_s)
        self._stuck_until_s = until_s

    def reading_g(self, at_s: float) -> float:
        """What the cell says: load, zero, creep, hands, swing and noise, in grams."""
        if self._spike_g is not None:
            value, self._spike_g = self._spike_g, None
            return value
        if at_s < self._stuck_until_s:
            return self._stuck_g
        force_g = 0.0
        if self._touches:
            force_g = sum(touch.at(at_s) for touch in self._touches)
            if all(touch.end_s <= at_s for touch in self._touches):
                self._touches.clear()
        noise_g = self._noise.gauss(0.0, self._traits.noise_sd_g)
        return self._weight_g + self._creep_at(at_s) - self._zero_g + force_g + noise_g

    def overloaded(self, at_s: float) -> bool:
        """Whether the load, hands included, is beyond what the cell can bear."""
        force_g = sum(touch.at(at_s) for touch in self._touches)
        return self._weight_g + force_g > self._traits.overload_g

    def _creep_at(self, at_s: float) -> float:
        return self._crept_g + self._creep_g_per_hour * (at_s - self._creep_since_s) / HOUR_S

    def _load_changed(self, at_s: float) -> None:
        # Summed anew each time: adding and subtracting differences for months would drift by itself.
        weight_g = math.fsum(self._units_g) + math.fsum(article.weight_g for article in self._foreign)
        step_g = weight_g - self._weight_g
        self._weight_g = weight_g
        if step_g:
            self._remember(Touch(at_s, at_s + SETTLE_S, -step_g, swing=True))

    def _remember(self, touch: Touch) -> None:
        self._touches.append(touch)
        del self._touches[:-TOUCHES_MAX]


class Thermometer:
    """Temperature of a controller in °C: a level that it nears exponentially, a slow wave, and noise."""

    def __init__(self, level_c: float, rng: Random, at_s: float) -> None:
        self._rng = rng
        self._wave = rng.uniform(0, 2 * math.pi)
        self._from_c = level_c
        self._level_c = level_c
        self._since_s = at_s
        self._tau_s = 1.0
        self._spike_c: float | None = None
        self._stuck_c = 0.0
        self._stuck_until_s = -math.inf

    def head_for(self, level_c: float, at_s: float, rise_s: float) -> None:
        """Move to another level, 95 % of the way within ``rise_s``."""
        self._from_c = self.level_c(at_s)
        self._level_c = level_c
        self._since_s = at_s
        self._tau_s = rise_s / RISE_TAUS

    def level_c(self, at_s: float) -> float:
        """Temperature without wave and noise."""
        return self._level_c + (self._from_c - self._level_c) * math.exp(-(at_s - self._since_s) / self._tau_s)

    def spike(self, value_c: float) -> None:
        """The next reading, and only that, is ``value_c``."""
        self._spike_c = value_c

    def stick(self, at_s: float, until_s: float) -> None:
        """The reading of now stays until ``until_s``."""
        self._stuck_c = self.reading_c(at_s)
        self._stuck_until_s = until_s

    def reading_c(self, at_s: float) -> float:
        """What the thermometer says."""
        if self._spike_c is not None:
            value, self._spike_c = self._spike_c, None
            return value
        if at_s < self._stuck_until_s:
            return self._stuck_c
        wave_c = WANDER_C * math.sin(2 * math.pi * at_s / WANDER_PERIOD_S + self._wave)
        return self.level_c(at_s) + wave_c + self._rng.gauss(0.0, THERMOMETER_SD_C)
