"""The detector for any series: calibrated by rows, calm on what is usual."""

import math
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.anomaly import ALARM_SCORE, SeriesDetector

ROWS = 30_000
Make = Callable[[Random, int], float]

QUIET: dict[str, Make] = {
    "noise": lambda rng, _: rng.gauss(100.0, 3.0),
    "heavy tails": lambda rng, _: rng.expovariate(1.0) - rng.expovariate(1.0),
    "daily": lambda rng, n: 50.0 + 20.0 * math.sin(n / 1440 * 2 * math.pi) + rng.gauss(0.0, 1.0),
    "counts": lambda rng, _: float(sum(rng.random() < 0.1 for _ in range(20))),
}


def scores(make: Make, rows: int = ROWS, seed: int = 3) -> list[float]:
    detector, rng = SeriesDetector(), Random(seed)
    return [detector.step(60.0 * n, make(rng, n)) for n in range(rows)]


@pytest.mark.parametrize("name", QUIET)
def test_scores_are_shares_of_rows_on_a_quiet_series(name: str) -> None:
    found = scores(QUIET[name])
    for score, most, least in ((0.9, 0.11, 0.08), (0.99, 0.013, 0.005), (0.999, 0.0022, 0.0002)):
        share = sum(each >= score for each in found) / ROWS
        assert least <= share <= most, f"{share:.5f} of the rows have {score} or more"


def test_a_constant_series_never_scores() -> None:
    assert set(scores(lambda _rng, _n: 7.25, 1_000)) == {0.0}


def test_a_value_that_is_rarely_taken_is_usual_once_known() -> None:
    found = scores(lambda rng, _: float(rng.random() < 0.02))
    assert sum(each >= ALARM_SCORE for each in found[1_000:]) <= 3


def test_a_spike_alarms_and_the_alarm_ends_when_it_is_gone() -> None:
    detector, rng = SeriesDetector(), Random(1)
    for n in range(500):
        detector.step(60.0 * n, rng.gauss(100.0, 3.0))
    assert detector.step(30_000.0, 200.0) >= ALARM_SCORE
    states = [detector.alarm]
    after = [detector.step(30_060.0 + 60 * n, rng.gauss(100.0, 3.0)) for n in range(20)]
    states.append(detector.alarm)
    assert states == [True, False]
    assert max(after) < ALARM_SCORE


def test_a_level_shift_is_one_alarm_and_becomes_the_new_usual() -> None:
    detector, rng = SeriesDetector(), Random(1)
    opened = 0
    for n in range(3_000):
        was_open = detector.alarm
        detector.step(60.0 * n, rng.gauss(100.0 if n < 1_000 else 160.0, 3.0))
        opened += detector.alarm and not was_open and 1_000 <= n < 2_000
    assert opened == 1
    assert not detector.alarm


def test_worse_while_open_scores_again() -> None:
    detector, rng = SeriesDetector(), Random(1)
    for n in range(500):
        detector.step(60.0 * n, rng.gauss(100.0, 3.0))
    detector.step(30_000.0, 200.0)
    assert detector.step(30_060.0, 190.0) <= 0.5
    assert detector.step(30_120.0, 900.0) >= ALARM_SCORE


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_scores_nothing_and_is_not_learnt(value: float) -> None:
    plain, broken, rng = SeriesDetector(), SeriesDetector(), Random(1)
    for n in range(300):
        x = rng.gauss(0.0, 1.0)
        assert broken.step(60.0 * n + 1, value) == 0.0
        assert broken.step(60.0 * n, x) == plain.step(60.0 * n, x)


def test_nothing_scores_before_fifty_rows() -> None:
    rng = Random(1)
    detector = SeriesDetector()
    assert all(detector.step(60.0 * n, rng.gauss(0.0, 1.0)) == 0.0 for n in range(50))


def test_times_are_datetimes_or_seconds() -> None:
    start = datetime(2026, 1, 3, 7, tzinfo=UTC)
    first, second, rng = SeriesDetector(), SeriesDetector(), Random(1)
    for n in range(200):
        x = rng.gauss(0.0, 1.0)
        at = start + timedelta(minutes=n)
        assert first.step(at, x) == second.step(at.timestamp(), x)


def test_it_fits_into_a_kibibyte() -> None:
    detector = SeriesDetector()
    detector.step(0.0, 1.5)
    parts = sum(sys.getsizeof(getattr(detector, name)) for name in detector.__slots__)
    assert sys.getsizeof(detector) + parts <= 1_024


@settings(max_examples=50)
@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=200))
def test_any_values_score_between_zero_and_one(values: list[float]) -> None:
    detector = SeriesDetector()
    for n, value in enumerate(values):
        assert 0.0 <= detector.step(float(n), value) <= 1.0
