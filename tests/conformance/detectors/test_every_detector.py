"""What every detector promises, whatever it looks for: run over all of them."""

import copy
import math
import pickle
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pytest

from contracts.frames import Quality
from stream.detector import SeriesDetector
from stream.detector_frame import FrameDetector
from stream.facts import Columns
from stream.spike import SpikeFinder
from stream.watch.finding import Place, Profile
from stream.watch.ledger import Ledger, Move, Sale, SlotKey
from stream.watch.watch import Watch

START_US = 1_767_600_000_000_000
PROFILE = Profile("acme", "store1", "gw1", "bay01.weight_g", "scale", 60.0, None, 0.0, "bay01", "cola", 330.0, 24)
COLD = Profile("acme", "store1", "gw1", "c1.temp_c", "cooler", 60.0, 8.0, 1_800.0)
SERIES = 3


@dataclass(frozen=True)
class Subject:
    """A detector behind one way to feed it: ``take(detector, times in s, values)`` returns what it said."""

    make: Callable[[], Any]
    take: Callable[[Any, np.ndarray, np.ndarray], list[Any]]


def one(detector: SeriesDetector, times: np.ndarray, values: np.ndarray) -> list[Any]:
    return [(detector.step(t, v), detector.alarm) for t, v in zip(times.tolist(), values[:, 0].tolist(), strict=True)]


def frame(detector: FrameDetector, times: np.ndarray, values: np.ndarray) -> list[Any]:
    return [detector.step(np.full(SERIES, t), row).tolist() for t, row in zip(times, values, strict=True)]


def chunk(times: np.ndarray, values: np.ndarray) -> Columns:
    finite = np.isfinite(values).ravel()
    return Columns(
        np.repeat((times * 1e6).astype(np.int64), SERIES)[finite],
        np.tile(np.arange(SERIES, dtype=np.int32), len(times))[finite],
        values.ravel()[finite], np.zeros(int(finite.sum()), np.int16),
    )  # fmt: skip


def spikes(detector: SpikeFinder, times: np.ndarray, values: np.ndarray) -> list[Any]:
    return detector.step(chunk(times, values), lambda series: ("acme", "gw1", f"bay{series}.weight_g"))


def watch(detector: Watch, times: np.ndarray, values: np.ndarray) -> list[Any]:
    said: list[Any] = []
    for at in range(0, len(times), 5):
        said += detector.step(chunk(times[at : at + 5], values[at : at + 5]), profile_of)
    return said


def profile_of(series: int) -> Profile:
    return COLD if series == SERIES - 1 else PROFILE


def ledger(detector: Ledger, times: np.ndarray, values: np.ndarray) -> list[Any]:
    key = SlotKey("gw1", "bay01")
    detector.know(key, Place("acme", "store1", "gw1", "slot", "gw1/bay01"), "cola", "bay01.weight_g")
    said: list[Any] = []
    for t, row in zip(times, values, strict=True):
        t_us = int(t * 1e6)
        units = 0 if math.isnan(row[0]) else int(row[0]) % 4
        said += detector.step([Move(t_us, key, -units)], [Sale(t_us, "cola", units)], t_us)
    return said


SUBJECTS = {
    "SeriesDetector": Subject(SeriesDetector, one),
    "FrameDetector": Subject(partial(FrameDetector, SERIES), frame),
    "SpikeFinder": Subject(SpikeFinder, spikes),
    "Watch": Subject(Watch, watch),
    "Ledger": Subject(Ledger, ledger),
}


@pytest.fixture(params=SUBJECTS)
def subject(request: pytest.FixtureRequest) -> Subject:
    return SUBJECTS[request.param]


def rows(n: int, seed: int = 1, step_s: float = 60.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    times = START_US / 1e6 + step_s * np.arange(n)
    values = rng.normal([6_600.0, 3_300.0, 4.0], [8.0, 8.0, 0.2], (n, SERIES))
    values[n // 2, 0] = 60_000.0
    values[3 * n // 4 :, 2] = 15.0
    return times, values


def test_the_same_rows_bring_the_same_answers(subject: Subject) -> None:
    times, values = rows(600)
    assert subject.take(subject.make(), times, values) == subject.take(subject.make(), times, values)


def test_a_pickled_detector_goes_on_as_if_nothing_had_happened(subject: Subject) -> None:
    times, values = rows(600)
    whole, begun = subject.make(), subject.make()
    expected = subject.take(whole, times[:250], values[:250]) + subject.take(whole, times[250:], values[250:])
    found = subject.take(begun, times[:250], values[:250])
    resumed = pickle.loads(pickle.dumps(begun))  # noqa: S301
    assert found + subject.take(resumed, times[250:], values[250:]) == expected


def test_what_is_given_is_not_changed(subject: Subject) -> None:
    times, values = rows(200)
    before = copy.deepcopy((times, values))
    subject.take(subject.make(), times, values)
    assert np.array_equal(times, before[0])
    assert np.array_equal(values, before[1], equal_nan=True)


def test_values_that_are_no_number_do_no_harm(subject: Subject) -> None:
    times, values = rows(300)
    values[20::7] = math.nan
    assert not re.search(r"\bnan\b", str(subject.take(subject.make(), times, values)))


def test_irregular_times_are_taken(subject: Subject) -> None:
    times, values = rows(400)
    rng = np.random.default_rng(2)
    times = np.sort(times + rng.uniform(0, 3_000, len(times)))
    times[100] = times[99]
    subject.take(subject.make(), times, values)


def test_memory_does_not_grow_with_rows(subject: Subject) -> None:
    detector = subject.make()
    times, values = rows(3_000)
    subject.take(detector, times[:1_500], values[:1_500])
    size = len(pickle.dumps(detector))
    subject.take(detector, times[1_500:], values[1_500:])
    assert len(pickle.dumps(detector)) <= 1.5 * size + 2_000


def test_a_constant_series_is_no_anomaly(subject: Subject) -> None:
    times, _ = rows(3_000)
    said = subject.take(subject.make(), times, np.full((len(times), SERIES), 4.0))
    assert all(each in ((0.0, False), [0.0] * SERIES) for each in said)


def test_bad_readings_are_left_out_of_all_state() -> None:
    times, values = rows(600)
    good = chunk(times, values)
    bad = Columns(
        np.repeat(good.time_us, 2),
        np.repeat(good.series, 2),
        np.repeat(good.value, 2),
        np.zeros(2 * len(good), np.int16),
    )
    bad.value[1::2], bad.quality[1::2] = 1e9, Quality.BAD
    assert Watch().step(bad, profile_of) == Watch().step(good, profile_of)
