"""When shoppers come, and what they do at a shelf. Pure: randomness is an argument."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from simulators.plan import Habits

HOUR_S: Final = 3_600.0
REACH_S: Final = (0.5, 1.2)
"""How long a hand is at the bay before the units leave it."""
HAND_G: Final = (20.0, 250.0)
"""Force of a resting hand; a bump is up to three times as hard."""
MIXED_AFTER_S: Final = (2.0, 8.0)
PUT_BACK_AFTER_S: Final = 4.0
"""Nobody changes their mind faster than this."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a shopper is going to do at one bay.

    ``units`` are picked ``reach_s`` after the hand came (pressing with ``hand_g``); ``put_back`` of them return
    ``put_back_after_s`` later; ``stray`` of them (0 or 1) are laid on another bay of the shelf ``stray_after_s`` later.
    """

    units: int
    reach_s: float
    hand_g: float
    put_back: int = 0
    put_back_after_s: float = 0.0
    stray: int = 0
    stray_after_s: float = 0.0


def hour_factor(hourly: Sequence[float], at_s: float, utc_offset_h: float) -> float:
    """Factor of the local hour at ``at_s``, seconds since 1970 UTC. ``hourly`` has shape (24,)."""
    return hourly[int((at_s / HOUR_S + utc_offset_h) % 24)]


def next_arrival(
    rng: Random, at_s: float, per_hour: float, hourly: Sequence[float], utc_offset_h: float, *, horizon_s: float
) -> float:
    """Time of the next shopper after ``at_s``, or ``inf`` when none comes within ``horizon_s``.

    A Poisson process of rate ``per_hour`` times the local hour's factor, by thinning (Lewis and Shedler, 1979).
    """
    peak = per_hour * max(hourly)
    if peak <= 0:
        return math.inf
    end_s = at_s + horizon_s
    while True:
        at_s += rng.expovariate(peak / HOUR_S)
        if at_s > end_s:
            return math.inf
        if rng.random() * max(hourly) < hour_factor(hourly, at_s, utc_offset_h):
            return at_s


def choose(rng: Random, weights: Sequence[float]) -> int:
    """Index drawn in proportion to ``weights``, which must not all be 0."""
    return rng.choices(range(len(weights)), weights)[0]


def wish(rng: Random, habits: Habits) -> Wish:
    """What the next shopper does at the bay that they chose."""
    units = 1 + choose(rng, habits.picks)
    reach_s = rng.uniform(*REACH_S)
    hand_g = rng.uniform(*HAND_G) * (rng.uniform(1, 3) if rng.random() < habits.bump else 1)
    fate = rng.random()
    if fate < habits.put_back:
        earliest_s = min(PUT_BACK_AFTER_S, habits.put_back_within_s)
        return Wish(units, reach_s, hand_g, rng.randint(1, units), rng.uniform(earliest_s, habits.put_back_within_s))
    if fate < habits.put_back + habits.mixed:
        return Wish(units, reach_s, hand_g, stray=1, stray_after_s=rng.uniform(*MIXED_AFTER_S))
    return Wish(units, reach_s, hand_g)
