"""Days at one bay, faster than time: a trace of weights and the truth beside it. Pure: the seed decides everything.

What `edge infer` and `bench infer` are judged on. The bay is that of ``shelf_physics``, so the cell creeps and swings;
shoppers come one after the other, with bags, hands and second thoughts.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from random import Random
from typing import Final, NamedTuple

from contracts.frames import EventKind
from simulators.shelf_physics import Bay, CellTraits, Foreign, Thermometer

PERIOD_S: Final = 0.2
HOUR_S: Final = 3_600.0
OPENING_S: Final = 12.0
ENDING_S: Final = 40.0
SPIKE_G: Final = 60_000.0
BAG: Final = "bag"
NEIGHBOUR: Final = "neighbour"
OWN: Final = "own"


@dataclass(frozen=True, slots=True)
class Scene:
    """What a day is like. Ranges are (lowest, highest), drawn evenly; shares are of the shoppers."""

    unit_g: float = 330.0
    unit_sd_g: float = 3.0
    true_unit_g: float | None = None
    """What a unit weighs in truth, when the master data are wrong."""
    neighbour_g: float = 250.0
    capacity: int = 24
    noise_g: float = 10.0
    drift_g_per_h: float = 0.5
    shoppers_per_h: float = 50.0
    picks: tuple[float, ...] = (0.8, 0.15, 0.05)
    """Weights of 1, 2, … units."""
    mixed: float = 0.02
    put_back: float = 0.04
    just_looking: float = 0.1
    bags_per_h: float = 0.0
    bag_g: tuple[float, float] = (100.0, 3_000.0)
    bag_s: tuple[float, float] = (5.0, 60.0)
    hand_s: tuple[float, float] = (0.3, 3.0)
    hand_g: tuple[float, float] = (-150.0, 600.0)
    restock_below: int = 5
    restock_units: tuple[int, int] = (8, 16)
    unit_by_unit: bool = False
    temperature_c: float = 21.0
    warmer_c: float = 0.0
    """How far the room warms and cools again within two hours."""
    slope_g_per_c: float = 0.0
    quantum_g: float = 0.1
    missing: float = 0.0
    """Share of samples that the scale does not give."""
    spikes_per_h: float = 0.0


class Happened(NamedTuple):
    """Something that was done at the bay; ``t_ms`` when the hand was gone. ``units`` of the bay's own article."""

    t_ms: int
    kind: EventKind
    units: int


class Sample(NamedTuple):
    """What the controller says."""

    t_ms: int
    weight_g: float
    temp_c: float


@dataclass(slots=True)
class Day:
    """A trace and its truth."""

    scene: Scene
    opening: int
    samples: list[Sample] = field(default_factory=list)
    truth: list[Happened] = field(default_factory=list)


def simulate_day(scene: Scene, seed: int, hours: float) -> Day:
    """One day of ``hours`` at a bay."""
    return _Player(scene, seed).play(hours)


class _Player:
    """Plays a day: time goes on only by sampling."""

    def __init__(self, scene: Scene, seed: int) -> None:
        self._scene = scene
        self._rng = Random(seed)
        self._step = 0
        traits = CellTraits(scene.noise_g, scene.drift_g_per_h * self._rng.choice((-1, 1)))
        unit_g = scene.unit_g if scene.true_unit_g is None else scene.true_unit_g
        self._bay = Bay(
            unit_weight_g=unit_g, unit_weight_sd_g=scene.unit_sd_g, traits=traits, rng=Random(seed + 1), at_s=0.0
        )
        self._thermometer = Thermometer(scene.temperature_c, Random(seed + 2), 0.0)
        opening = self._rng.randint(scene.capacity // 2, scene.capacity)
        self._bay.put(opening, -OPENING_S)
        self._day = Day(scene, opening)
        self._bag_until_s = math.inf
        self._bag_from_s = self._wait_s(scene.bags_per_h)

    @property
    def _now_s(self) -> float:
        return self._step * PERIOD_S

    def play(self, hours: float) -> Day:
        scene, rng = self._scene, self._rng
        self._rest(OPENING_S)
        warm = itertools.cycle((scene.temperature_c + scene.warmer_c, scene.temperature_c))
        turn_s = 0.0
        while self._now_s < hours * HOUR_S:
            if self._now_s >= turn_s:
                self._thermometer.head_for(next(warm), self._now_s, HOUR_S)
                turn_s += HOUR_S
            self._rest(4.0 + rng.expovariate(scene.shoppers_per_h / HOUR_S))
            if self._bay.count <= scene.restock_below:
                self._restock()
            else:
                self._shop()
        self._rest(ENDING_S)
        return self._day

    def _shop(self) -> None:
        scene, rng, bay = self._scene, self._rng, self._bay
        fate = rng.random()
        if fate < scene.just_looking:
            self._hand()
            return
        fate -= scene.just_looking
        if fate < scene.mixed:
            self._mix()
            return
        units = min(bay.count, 1 + rng.choices(range(len(scene.picks)), scene.picks)[0])
        self._hand()
        taken = bay.take(units, self._now_s)
        self._note(EventKind.SALE, -units)
        if fate - scene.mixed < scene.put_back:
            self._rest(rng.uniform(4.0, 17.0))
            self._hand()
            bay.put_back(taken[:1], self._now_s)
            self._note(EventKind.PUT_BACK, 1)

    def _mix(self) -> None:
        """An article of the neighbour's is laid here, with or without one of ours taken, or is taken away again."""
        bay, strayed = self._bay, [each for each in self._bay.foreign if each.sku == NEIGHBOUR]
        self._hand()
        if strayed:
            for bag in [each for each in bay.clear_foreign(self._now_s) if each.sku == BAG]:
                bay.lay(bag, self._now_s)
            self._note(EventKind.ADJUST, 0)
            return
        bay.lay(Foreign(NEIGHBOUR, self._rng.gauss(self._scene.neighbour_g, 3.0)), self._now_s)
        swaps = self._rng.random() < 0.5  # noqa: PLR2004 - as often as not
        if swaps:
            bay.take(1, self._now_s)
        self._note(EventKind.SALE if swaps else EventKind.ADJUST, -1 if swaps else 0)

    def _restock(self) -> None:
        scene, rng = self._scene, self._rng
        units = min(rng.randint(*scene.restock_units), scene.capacity - self._bay.count)
        for lot in [1] * units if scene.unit_by_unit else [units]:
            self._hand()
            self._bay.put(lot, self._now_s)
            if scene.unit_by_unit:
                self._rest(rng.uniform(0.4, 1.6))
        self._note(EventKind.RESTOCK, units)

    def _note(self, kind: EventKind, units: int) -> None:
        self._day.truth.append(Happened(round(self._now_s * 1000), kind, units))

    def _hand(self) -> None:
        """Reach in, with a few pushes and lifts."""
        scene, rng = self._scene, self._rng
        until_s = self._now_s + rng.uniform(*scene.hand_s)
        while self._now_s < until_s:
            long_s = rng.uniform(0.2, 0.8)
            self._bay.touch(self._now_s, min(until_s, self._now_s + long_s), rng.uniform(*scene.hand_g))
            self._rest(min(long_s, until_s - self._now_s))

    def _rest(self, seconds: float) -> None:
        """Let time pass, and bags come and go in it."""
        for _ in range(max(1, round(seconds / PERIOD_S))):
            now_s = self._now_s
            if now_s >= self._bag_from_s:
                self._bay.lay(Foreign(BAG, self._rng.uniform(*self._scene.bag_g)), now_s)
                self._bag_from_s, self._bag_until_s = math.inf, now_s + self._rng.uniform(*self._scene.bag_s)
            elif now_s >= self._bag_until_s:
                for strayed in [each for each in self._bay.clear_foreign(now_s) if each.sku != BAG]:
                    self._bay.lay(strayed, now_s)
                self._bag_from_s, self._bag_until_s = now_s + self._wait_s(self._scene.bags_per_h), math.inf
            self._sample()

    def _sample(self) -> None:
        scene, rng, now_s = self._scene, self._rng, self._now_s
        self._step += 1
        temp_c = self._thermometer.reading_c(now_s)
        weight_g = self._bay.reading_g(now_s)
        weight_g += scene.slope_g_per_c * (self._thermometer.level_c(now_s) - scene.temperature_c)
        if rng.random() < scene.spikes_per_h * PERIOD_S / HOUR_S:
            weight_g = rng.choice((-SPIKE_G, SPIKE_G))
        if rng.random() >= scene.missing:
            quantised_g = round(weight_g / scene.quantum_g) * scene.quantum_g
            self._day.samples.append(Sample(round(now_s * 1000), quantised_g, round(temp_c, 2)))

    def _wait_s(self, per_h: float) -> float:
        return self._rng.expovariate(per_h / HOUR_S) if per_h else math.inf


_SEALED = Scene(bags_per_h=1.0)
SCENES: Final[dict[str, Scene]] = {
    "sealed test": _SEALED,
    "no bags": Scene(),
    "three bags an hour": replace(_SEALED, bags_per_h=3.0),
    "long bags": replace(_SEALED, bags_per_h=1.5, bag_s=(60.0, 600.0)),
    "refilled unit by unit": replace(_SEALED, unit_by_unit=True),
    "quiet": replace(_SEALED, noise_g=3.0),
    "noisy": replace(_SEALED, noise_g=20.0),
    "light units": replace(_SEALED, unit_g=88.0, unit_sd_g=1.3, neighbour_g=130.0, noise_g=5.0),
    "heavy units": replace(_SEALED, unit_g=2_000.0, unit_sd_g=20.0, neighbour_g=1_500.0, capacity=12),
    "uneven units": replace(_SEALED, unit_sd_g=8.0, neighbour_g=240.0),
    "wrong master data": replace(_SEALED, true_unit_g=335.0),
    "warming and cooling": replace(_SEALED, warmer_c=12.0, slope_g_per_c=2.0, temperature_c=5.0),
    "coarse and gappy": replace(_SEALED, quantum_g=10.0, missing=0.05, spikes_per_h=20.0),
}
"""Scenes of the self test: the description of the sealed one first, then each turned one way."""


def rows(day: Day, slot: str) -> Iterator[tuple[object, ...]]:
    """Lines of trace.csv: t_ms, slot, weight_g, temp_c."""
    return ((each.t_ms, slot, f"{each.weight_g:.1f}", f"{each.temp_c:.2f}") for each in day.samples)
