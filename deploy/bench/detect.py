"""``bench detect``: cost of the generic detector, one series a call and a frame of many series a call."""

import platform
import time
import tracemalloc
from collections.abc import Callable
from importlib.metadata import version
from random import Random
from typing import Final

import msgspec
import numpy as np

from deploy.bench.usage import describe_machine
from stream.detector import SeriesDetector
from stream.detector_frame import FrameDetector

POINTS: Final = 100_000
FRAME_SERIES: Final = 10_000
FRAME_STEPS: Final = 200
WARM_STEPS: Final = 60
"""Rows before the measurement: by then every series scores."""
SIZED_SERIES: Final = 1_000


class Result(msgspec.Struct, frozen=True):
    """What ``--json`` prints. Times are of one core's processor, so that neighbours do not count."""

    us_per_point: float
    bytes_per_series: float
    vector_readings_per_s: float
    vector_bytes_per_series: float
    machine: str
    versions: dict[str, str]
    tier: str
    seed: int
    seconds: float


def run_detect(seed: int, say: Callable[[str], None] = lambda _: None) -> Result:
    """Measure on series with a daily season, noise and a jump now and then."""
    began_s = time.monotonic()
    say("one series")
    us_per_point = _time_one(seed)
    say("a frame of series")
    per_s, vector_bytes = _time_frame(seed)
    return Result(
        us_per_point=round(us_per_point, 2),
        bytes_per_series=round(_size_one(seed), 1),
        vector_readings_per_s=round(per_s),
        vector_bytes_per_series=round(vector_bytes, 1),
        machine=describe_machine(),
        versions={"python": platform.python_version(), "numpy": version("numpy")},
        tier="none",
        seed=seed,
        seconds=round(time.monotonic() - began_s, 1),
    )


def _time_one(seed: int) -> float:
    """µs a row."""
    rng, detector = Random(seed), SeriesDetector()  # noqa: S311 - a benchmark that can be repeated
    rows = [(1.7e9 + 10.0 * n, rng.gauss(20.0, 0.5) + (9.0 if n % 1_000 == 0 else 0.0)) for n in range(POINTS)]
    began_s = time.process_time()
    for at_s, value in rows:
        detector.step(at_s, value)
    return (time.process_time() - began_s) / POINTS * 1e6


def _size_one(seed: int) -> float:
    """Bytes that one more detector in use takes."""
    rng = Random(seed)  # noqa: S311 - a benchmark that can be repeated
    tracemalloc.start()
    detectors = [SeriesDetector() for _ in range(SIZED_SERIES)]
    for n in range(WARM_STEPS):
        for detector in detectors:
            detector.step(1.7e9 + 60.5 * n, rng.gauss(0.0, 1.0))
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return used / SIZED_SERIES


def _time_frame(seed: int) -> tuple[float, float]:
    """Readings a second, and bytes a series."""
    rng, frame = np.random.default_rng(seed), FrameDetector(FRAME_SERIES)
    spent_s = 0.0
    for step in range(WARM_STEPS + FRAME_STEPS):
        values = rng.normal(20.0, 0.5, FRAME_SERIES)
        values[rng.integers(FRAME_SERIES, size=FRAME_SERIES // 1_000)] += 9.0
        times = np.full(FRAME_SERIES, 1.7e9 + 10.0 * step)
        began_s = time.process_time()
        frame.step(times, values)
        if step >= WARM_STEPS:
            spent_s += time.process_time() - began_s
    return FRAME_SERIES * FRAME_STEPS / spent_s, frame.bytes_per_series
