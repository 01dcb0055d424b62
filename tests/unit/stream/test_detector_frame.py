"""The vectorised detector: the same scores as one detector a series, to the last bit."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.detector import SeriesDetector
from stream.detector_frame import FrameDetector

SERIES = 6
VALUES = st.one_of(
    st.floats(-1e6, 1e6),
    st.sampled_from([0.0, 1.0, 20.0, 20.5, math.nan, math.inf, 1e9]),
    st.integers(-5, 5).map(float),
)


def assert_equal(rows: list[tuple[list[float], list[float], list[int]]], series: int) -> None:
    frame, single = FrameDetector(series), [SeriesDetector() for _ in range(series)]
    for times, values, of in rows:
        found = frame.step(np.array(times), np.array(values), np.array(of))
        expected = [single[row].step(at, value) for at, value, row in zip(times, values, of, strict=True)]
        assert found.tolist() == expected
        assert frame.alarm.tolist() == [detector.alarm for detector in single]


@settings(max_examples=40, deadline=None)
@given(st.data(), st.integers(60, 120), st.floats(0.5, 4_000.0))
def test_scores_and_alarms_equal_those_of_single_detectors(data: st.DataObject, steps: int, interval_s: float) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 1_000)))
    rows = []
    for step in range(steps):
        of = sorted(data.draw(st.sets(st.integers(0, SERIES - 1), min_size=1)))
        odd = data.draw(st.dictionaries(st.sampled_from(of), VALUES, max_size=2))
        values = [odd.get(row, float(rng.normal(row, 1.0))) for row in of]
        rows.append(([1.7e9 + interval_s * step + row for row in of], values, of))
    assert_equal(rows, SERIES)


@pytest.mark.parametrize("interval_s", [1.0, 300.0, 3_600.0])
def test_they_stay_equal_over_weeks_with_seasons_shifts_and_spikes(interval_s: float) -> None:
    rng = np.random.default_rng(7)
    rows = []
    for step in range(2_500):
        at_s = 1.7e9 + interval_s * step
        season = 20.0 * math.sin(at_s / 86_400 * 2 * math.pi) + (50.0 if step > 1_500 else 0.0)
        values = (rng.normal(season, [1.0, 3.0, 0.1]) + (200.0 if step % 700 == 699 else 0.0)).tolist()
        rows.append(([at_s] * 3, values, [0, 1, 2]))
    assert_equal(rows, 3)


def test_halved_memories_stay_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream.detector.MEMORY_ROWS", 100)
    rng = np.random.default_rng(3)
    assert_equal([([60.0 * n], [float(rng.normal())], [0]) for n in range(400)], 1)


def test_what_is_no_number_scores_nothing_and_leaves_its_series_alone() -> None:
    frame = FrameDetector(2)
    found = frame.step(np.array([1.0, 1.0]), np.array([math.nan, 3.0]))
    assert found.tolist() == [0.0, 0.0]
    assert frame._count.tolist() == [0, 1]


def test_a_frame_wider_than_a_block_is_scored_whole() -> None:
    frame, rng = FrameDetector(2_500), np.random.default_rng(1)
    for step in range(80):
        frame.step(np.full(2_500, 60.0 * step), rng.normal(size=2_500))
    values = np.zeros(2_500)
    values[[3, 1_700, 2_499]] = 90.0
    frame.step(np.full(2_500, 4_800.0), values)
    assert np.flatnonzero(frame.alarm).tolist() == [3, 1_700, 2_499]


def test_a_series_takes_less_than_a_kibibyte() -> None:
    assert FrameDetector(10).bytes_per_series <= 1_024
