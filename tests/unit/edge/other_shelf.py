"""A second simulator of a bay, made otherwise than ``simulators.shelf_day`` so that nothing is tuned to one of them.

A day is first written down as a list of steps and forces over time, whoever causes them; the trace is then drawn from
that list at jittered times. Hands rest with a steady force and tremble, cells ring not at all, noise has heavier
tails, timestamps come late or twice. What a day is like is drawn from its seed over the widest plausible ranges.
"""

import bisect
import math
from random import Random
from typing import Final, NamedTuple

from contracts.frames import EventKind
from simulators.shelf_day import Happened

PERIOD_MS: Final = 200
EPOCH_MS: Final = 1_790_000_000_000


class World(NamedTuple):
    """What a day is like."""

    unit_g: float
    unit_sd_g: float
    neighbour_g: float
    capacity: int
    noise_g: float
    drift_g_per_h: float
    bags_per_h: float
    bag_g: tuple[float, float]
    bag_s: tuple[float, float]
    slope_g_per_c: float
    swing_c: float
    quantum_g: float
    missing: float
    begin_ms: int
    pace_s: tuple[float, float]
    zero_g: float


class OtherDay(NamedTuple):
    """Rows of t_ms, weight_g, temp_c, with what was done."""

    world: World
    opening: int
    samples: list[tuple[int, float, float]]
    truth: list[Happened]


class Force(NamedTuple):
    """A hand that presses or lifts for a while."""

    from_s: float
    to_s: float
    grams: float


SEALED: Final = World(
    330.0, 3.0, 250.0, 20, 10.0, 0.5, 1.5, (100.0, 3_000.0), (5.0, 60.0), 0.0, 0.0, 0.0, 0.0, 0, (10.0, 90.0), 0.0
)


def draw_world(seed: int) -> World:
    """A day somewhere in the plausible ranges; light units lie on scales that are good enough for them."""
    rng = Random(seed)
    unit_g = math.exp(rng.uniform(math.log(50.0), math.log(2_000.0)))
    return World(
        unit_g=unit_g,
        unit_sd_g=unit_g * rng.uniform(0.005, 0.015),
        neighbour_g=unit_g * rng.choice((0.6, 0.72, 1.3, 1.45)),
        capacity=rng.randint(10, 24),
        noise_g=min(rng.uniform(3.0, 20.0), unit_g / 12),
        drift_g_per_h=rng.uniform(-2.0, 2.0),
        bags_per_h=rng.uniform(0.0, 2.0),
        bag_g=(100.0, 3_000.0),
        bag_s=rng.choice(((5.0, 30.0), (10.0, 120.0), (60.0, 600.0))),
        slope_g_per_c=rng.uniform(-2.0, 2.0),
        swing_c=rng.uniform(0.0, 8.0),
        quantum_g=rng.choice((0.0, 0.1, 1.0, unit_g / 50)),
        missing=rng.choice((0.0, 0.02)),
        begin_ms=rng.choice((0, EPOCH_MS)),
        pace_s=(5.0, rng.uniform(40.0, 120.0)),
        zero_g=rng.choice((0.0, -40.0, 15.0)),
    )


def play(world: World, seed: int, hours: float = 2.0) -> OtherDay:
    """Write a day down, then draw its trace."""
    script = _Script(world, Random(seed))
    script.write(hours * 3_600)
    return OtherDay(
        world,
        script.opening,
        _draw(script, Random(seed + 7), max(at_s for at_s, _ in script.steps) + 60.0),
        script.truth,
    )


class _Script:
    """Steps of the load (time -> grams added) and forces, in order of time."""

    def __init__(self, world: World, rng: Random) -> None:
        self.world = world
        self._rng = rng
        self.steps: list[tuple[float, float]] = []
        self.forces: list[Force] = []
        self.truth: list[Happened] = []
        self.opening = rng.randint(world.capacity // 2, world.capacity)
        self._shelf = [self._unit() for _ in range(self.opening)]
        self.steps.append((-1.0, sum(self._shelf)))
        self._stray_g = 0.0

    def write(self, until_s: float) -> None:
        rng, world = self._rng, self.world
        at_s = 12.0
        while at_s < until_s:
            at_s += rng.uniform(*world.pace_s)
            dice = rng.random()
            if len(self._shelf) <= world.capacity // 5:
                at_s = self._refill(at_s)
            elif dice < 0.08:
                at_s = self._hand(at_s)
            elif dice < 0.10:
                at_s = self._stray(at_s)
            else:
                at_s = self._sell(at_s, second_thoughts=dice > 0.96, in_a_row=0.92 < dice < 0.95)
        at_s = 30.0
        while world.bags_per_h and (at_s := at_s + rng.expovariate(world.bags_per_h / 3_600)) < until_s - 30.0:
            bag_g, stay_s = rng.uniform(*world.bag_g), rng.uniform(*world.bag_s)
            self.steps += [(at_s, bag_g), (at_s + stay_s, -bag_g)]
            at_s += stay_s
        self.steps.sort()

    def _sell(self, at_s: float, *, second_thoughts: bool, in_a_row: bool) -> float:
        rng = self._rng
        for _ in range(2 if in_a_row else 1):
            at_s = self._hand(at_s, 0.3 if in_a_row else None)
            units = 1 if in_a_row else min(len(self._shelf), rng.choices((1, 2, 3, 4), (70, 20, 7, 3))[0])
            taken = [self._shelf.pop(rng.randrange(len(self._shelf))) for _ in range(units)]
            self._step(at_s, -sum(taken), EventKind.SALE, -units)
            at_s += 1.0 if in_a_row else 0.0
        if second_thoughts:
            at_s = self._hand(at_s + rng.uniform(3.0, 14.0))
            self._shelf.append(taken[0])
            self._step(at_s, taken[0], EventKind.PUT_BACK, 1)
        return at_s

    def _stray(self, at_s: float) -> float:
        at_s = self._hand(at_s)
        grams = -self._stray_g or self._rng.gauss(self.world.neighbour_g, self.world.unit_sd_g)
        self._stray_g += grams
        self._step(at_s, grams, EventKind.ADJUST, 0)
        return at_s

    def _refill(self, at_s: float) -> float:
        fresh = [self._unit() for _ in range(self._rng.randint(3, self.world.capacity - len(self._shelf)))]
        at_s = self._hand(at_s, self._rng.uniform(2.0, 6.0))
        self._shelf += fresh
        self._step(at_s, sum(fresh), EventKind.RESTOCK, len(fresh))
        return at_s

    def _step(self, at_s: float, grams: float, kind: EventKind, units: int) -> None:
        self.steps.append((at_s, grams))
        self.truth.append(Happened(self.world.begin_ms + round(at_s * 1000), kind, units))

    def _hand(self, at_s: float, long_s: float | None = None) -> float:
        long_s = self._rng.uniform(0.3, 3.0) if long_s is None else long_s
        self.forces.append(Force(at_s, at_s + long_s, self._rng.uniform(-100.0, 800.0)))
        return at_s + long_s

    def _unit(self) -> float:
        return self._rng.gauss(self.world.unit_g, self.world.unit_sd_g)


def _draw(script: _Script, rng: Random, until_s: float) -> list[tuple[int, float, float]]:
    world = script.world
    times = [at_s for at_s, _ in script.steps]
    loads = [0.0]
    for _, grams in script.steps:
        loads.append(loads[-1] + grams)
    samples = []
    force = 0
    for row in range(round(until_s * 1000 / PERIOD_MS)):
        if rng.random() < world.missing:
            continue
        at_s = row * PERIOD_MS / 1000 + (rng.uniform(0.0, 0.04) if world.missing else 0.0)
        while force < len(script.forces) and script.forces[force].to_s <= at_s:
            force += 1
        hand_g = 0.0
        if force < len(script.forces) and script.forces[force].from_s <= at_s:
            hand_g = script.forces[force].grams * rng.uniform(0.6, 1.2)
        temp_c = 20.0 + world.swing_c * math.sin(2 * math.pi * at_s / 7_200.0)
        weight_g = (
            world.zero_g + loads[bisect.bisect_right(times, at_s)] + hand_g + world.drift_g_per_h * at_s / 3_600
            + world.slope_g_per_c * (temp_c - 20.0) + _noise(rng, world.noise_g)
        )  # fmt: skip
        if world.quantum_g:
            weight_g = round(weight_g / world.quantum_g) * world.quantum_g
        row_out = (world.begin_ms + round(at_s * 1000), weight_g, temp_c + rng.gauss(0.0, 0.05))
        samples += [row_out] * (2 if rng.random() < world.missing else 1)
    return samples


def _noise(rng: Random, sd_g: float) -> float:
    """Mostly normal, one sample in fifty three times as loud."""
    return rng.gauss(0.0, sd_g * (3.0 if rng.random() < 0.02 else 1.0))
