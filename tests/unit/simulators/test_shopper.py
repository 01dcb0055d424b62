import math
from itertools import pairwise
from random import Random

import pytest

from simulators import shopper
from simulators.plan import FLAT_DAY, RETAIL_DAY, Habits

DAY_S = 86_400.0


def arrivals(seed: int, per_hour: float, hourly: tuple[float, ...], days: int) -> list[float]:
    rng, at_s, found = Random(seed), 0.0, []
    while (at_s := shopper.next_arrival(rng, at_s, per_hour, hourly, 0.0, horizon_s=2 * DAY_S)) < days * DAY_S:
        found.append(at_s)
    return found


def test_shoppers_come_at_the_rate_that_was_asked_for() -> None:
    assert len(arrivals(1, 30.0, FLAT_DAY, 30)) == pytest.approx(30 * 24 * 30, rel=0.03)


def test_the_hours_of_the_day_shape_the_arrivals() -> None:
    hours = [int(at_s // 3600 % 24) for at_s in arrivals(1, 30.0, RETAIL_DAY, 60)]
    by_hour = [hours.count(hour) / 60 for hour in range(24)]
    assert by_hour[18] == pytest.approx(30 * RETAIL_DAY[18], rel=0.15)
    assert by_hour[3] < 3


def test_gaps_between_shoppers_are_exponential() -> None:
    found = arrivals(2, 60.0, FLAT_DAY, 10)
    gaps = [later - earlier for earlier, later in pairwise(found)]
    mean_s = sum(gaps) / len(gaps)
    assert mean_s == pytest.approx(60, rel=0.03)
    assert sum(gap > mean_s for gap in gaps) / len(gaps) == pytest.approx(math.exp(-1), abs=0.02)


def test_the_same_seed_gives_the_same_shoppers() -> None:
    assert arrivals(7, 20.0, RETAIL_DAY, 2) == arrivals(7, 20.0, RETAIL_DAY, 2)
    assert arrivals(7, 20.0, RETAIL_DAY, 2) != arrivals(8, 20.0, RETAIL_DAY, 2)


def test_nobody_comes_to_a_closed_store() -> None:
    assert shopper.next_arrival(Random(1), 0.0, 100.0, (0.0,) * 24, 0.0, horizon_s=DAY_S) == math.inf
    assert shopper.next_arrival(Random(1), 0.0, 0.0, FLAT_DAY, 0.0, horizon_s=DAY_S) == math.inf


def test_the_local_hour_counts() -> None:
    hourly = tuple(float(hour) for hour in range(24))
    assert shopper.hour_factor(hourly, 0.0, 8.0) == 8.0
    assert shopper.hour_factor(hourly, 3600.0 * 20, 8.0) == 4.0
    assert shopper.hour_factor(hourly, 0.0, -5.0) == 19.0


def test_wishes_follow_the_habits() -> None:
    habits = Habits(picks=(0.5, 0.3, 0.2), put_back=0.2, put_back_within_s=20.0, mixed=0.1)
    rng = Random(3)
    wishes = [shopper.wish(rng, habits) for _ in range(5_000)]
    shares = [sum(wish.units == units for wish in wishes) / 5_000 for units in (1, 2, 3)]
    assert shares == pytest.approx([0.5, 0.3, 0.2], abs=0.02)
    assert sum(wish.put_back > 0 for wish in wishes) / 5_000 == pytest.approx(0.2, abs=0.02)
    assert sum(wish.stray for wish in wishes) / 5_000 == pytest.approx(0.1, abs=0.02)
    assert all(0 < wish.put_back_after_s <= 20 for wish in wishes if wish.put_back)
    assert all(wish.put_back <= wish.units for wish in wishes)
