"""Spikes in frames: found at once, and never in what people do to a shelf."""

from random import Random

import numpy as np
import pytest

from stream.anomaly import Spike, SpikeFinder
from stream.facts import Columns

NAMES = {1: "b1.weight_g", 2: "c1.temp_c", 3: "c1.custom", 4: "c1.door_count"}


def name_of(series: int) -> tuple[str, str, str]:
    return "acme", "g1", NAMES[series]


def columns(values: list[float], series: int = 1, start_s: int = 0, quality: list[int] | None = None) -> Columns:
    n = len(values)
    return Columns(
        (start_s + np.arange(n, dtype=np.int64)) * 1_000_000,
        np.full(n, series, np.int32),
        np.array(values, np.float64),
        np.array(quality or [0] * n, np.int16),
    )


def find(values: list[float], series: int = 1, chunk: int = 50) -> list[Spike]:
    finder, found = SpikeFinder(), []
    for start in range(0, len(values), chunk):
        found += finder.step(columns(values[start : start + chunk], series, start), name_of)
    return found


def shelf(rows: int, seed: int = 1) -> list[float]:
    """A load cell at 1 Hz: noise, picks, put-backs after some seconds, restocks, and hands of some hundred grams."""
    rng, grams = Random(seed), 6_600.0
    values: list[float] = []
    while len(values) < rows:
        action = rng.random()
        if action < 0.5 and grams > 660:
            grams -= 330.0 * rng.choice((1, 1, 1, 2))
        elif action < 0.6 and grams < 6_000:
            back = grams
            values += [back - 330.0 + rng.gauss(0, 10) for _ in range(rng.randint(1, 9))]
        elif action < 0.7:
            values += [grams + rng.uniform(200, 900) + rng.gauss(0, 10) for _ in range(rng.randint(1, 2))]
        elif grams < 1_000:
            grams = 6_600.0
        values += [grams + rng.gauss(0, 10) for _ in range(rng.randint(5, 40))]
    return values[:rows]


@pytest.mark.parametrize("seed", range(5))
def test_a_busy_shelf_is_not_an_anomaly(seed: int) -> None:
    assert find(shelf(20_000, seed)) == []


@pytest.mark.parametrize("width", [1, 2])
@pytest.mark.parametrize("chunk", [1, 7, 50, 1_000])
def test_an_impossible_jump_that_returns_is_a_spike(width: int, chunk: int) -> None:
    values = shelf(2_000)
    for k in range(width):
        values[1_500 + k] = 88_000.0
    found = find(values, chunk=chunk)
    assert [(spike.series, spike.start_us, spike.detected_us) for spike in found] == [
        (1, 1_500_000_000, (1_500 + width) * 1_000_000)
    ]
    evidence = found[0].evidence
    assert evidence["peak"] == 88_000.0
    assert [reading["value"] for reading in evidence["readings"]].count(88_000.0) == width
    assert 0.5 < found[0].score <= 1.0
    assert 0.0 < found[0].severity <= 1.0


def test_a_level_that_stays_is_no_spike() -> None:
    assert find([2_000.0 + n % 7 for n in range(500)] + [30_000.0 + n % 7 for n in range(500)]) == []


def test_outside_the_physical_range_alarms_at_once_and_then_rests() -> None:
    values = [20.0 + n % 3 for n in range(20)]
    found = find([*values, 200.0, 200.0, 200.0, *values, 200.0], series=2)
    assert [(spike.start_us, spike.detected_us, spike.severity) for spike in found] == [(20_000_000, 20_000_000, 1.0)]


def test_a_temperature_over_its_believable_step_needs_no_learning() -> None:
    assert len(find([4.0, 4.1, 71.0, 4.1, 4.0], series=2)) == 1


@pytest.mark.parametrize("series", NAMES)
def test_a_constant_series_never_alarms(series: int) -> None:
    assert find([5.0] * 2_000, series) == []


def test_an_unknown_metric_must_have_moved_before_it_can_move_too_far() -> None:
    assert find([0.0] * 500 + [1.0] + [0.0] * 50, series=3) == []


def test_after_an_alarm_the_series_rests() -> None:
    values = [4_000.0 + n % 9 for n in range(200)]
    for at in (100, 120, 140):
        values[at] = 90_000.0
    assert len(find(values)) == 1


def test_bad_readings_and_late_ones_are_left_out() -> None:
    finder = SpikeFinder()
    values = [4_000.0 + n % 9 for n in range(100)]
    quality = [0] * 100
    values[60], quality[60] = 90_000.0, 2
    assert finder.step(columns(values, quality=quality), name_of) == []
    assert finder.step(columns([90_000.0, 4_000.0], start_s=10), name_of) == []
    assert finder.step(columns([4_001.0, 4_002.0], start_s=200), name_of) == []


def test_a_restored_finder_goes_on_where_it_was() -> None:
    values = shelf(1_000)
    values[600] = 88_000.0
    whole = find(values)
    first = SpikeFinder()
    first.step(columns(values[:600]), name_of)
    first.step(columns(values[600:601], start_s=600), name_of)
    second = SpikeFinder.restore(first.snapshot())
    found = second.step(columns(values[601:], start_s=601), name_of)
    assert [spike.start_us for spike in found] == [spike.start_us for spike in whole]


def test_a_restored_finder_knows_each_of_many_series() -> None:
    first = SpikeFinder()
    for series in range(100):
        part = columns([4_000.0 + n % 9 for n in range(60)], series)
        first.step(part, lambda series: ("acme", "g1", f"b{series}.weight_g"))
    second = SpikeFinder.restore(first.snapshot())
    assert second.series.tolist() == list(range(100))
    assert second.snapshot() == first.snapshot()
