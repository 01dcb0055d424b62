"""Polls are spread out, missed deadlines skipped, silent devices parked, and slow ones held back."""

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.bus.schedule import GARBLED_MAX, GRID_MAX_S, GRID_MIN_S, GRIDS_A_PERIOD, PARK_MAX_S, Job, Schedule


def run(schedule: Schedule, start_s: float, end_s: float) -> list[tuple[float, Job]]:
    """All jobs that are due from ``start_s`` to ``end_s``, polled in no time."""
    taken = []
    now_s = start_s
    while now_s < end_s:
        while (job := schedule.take(now_s)) is not None:
            taken.append((now_s, job))
        now_s = max(schedule.next_s(), math.nextafter(now_s, math.inf))
    return taken


def test_equal_periods_are_spread_evenly() -> None:
    jobs = [Job(f"s{k}", 1.0) for k in range(4)]
    taken = run(Schedule(jobs, 100.0), 100.0, 101.0)
    assert [(round(t - 100.0, 6), job.device) for t, job in taken] == [
        (0.0, "s0"),
        (0.25, "s1"),
        (0.5, "s2"),
        (0.75, "s3"),
    ]


@given(st.integers(1, 100), st.sampled_from([(0.2, GRID_MIN_S), (1.0, 1.0 / GRIDS_A_PERIOD), (5.0, GRID_MAX_S)]))
def test_many_devices_share_the_moments_of_the_grid_evenly(devices: int, period_and_grid: tuple[float, float]) -> None:
    period_s, grid_s = period_and_grid
    taken = run(Schedule([Job(f"s{k}", period_s) for k in range(devices)], 0.0), 0.0, period_s)
    counts = Counter(round(t, 6) for t, _ in taken)
    assert sum(counts.values()) == devices
    assert all(round(t / grid_s, 6).is_integer() for t in counts)
    assert max(counts.values()) <= devices * grid_s / period_s + 1


@given(st.lists(st.sampled_from([0.2, 0.5, 1.0, 5.0]), min_size=1, max_size=8))
def test_each_job_runs_as_often_as_its_period_says(periods: list[float]) -> None:
    jobs = [Job(f"d{k}", period) for k, period in enumerate(periods)]
    taken = run(Schedule(jobs, 0.0), 0.0, 10.0)
    for job in jobs:
        assert abs(sum(each == job for _, each in taken) - 10.0 / job.period_s) <= 1


def test_missed_deadlines_are_skipped_and_the_phase_is_kept() -> None:
    schedule = Schedule([Job("s1", 1.0)], 0.0)
    assert schedule.take(0.0) is not None
    assert schedule.take(7.5) is not None
    assert schedule.take(7.5) is None
    assert schedule.next_s() == 8.0


def test_a_dead_device_is_asked_ever_more_seldom_and_the_others_as_before() -> None:
    schedule = Schedule([Job("dead", 1.0), Job("alive", 1.0)], 0.0)
    asked = {"dead": 0, "alive": 0}
    now_s = 0.0
    while now_s < 200.0:
        while (job := schedule.take(now_s)) is not None:
            asked[job.device] += 1
            if job.device == "dead":
                schedule.note_silence("dead", now_s)
            else:
                schedule.note_answer(job, now_s, 0.0)
        now_s = schedule.next_s()
    assert asked["alive"] >= 199
    assert 7 <= asked["dead"] <= 11  # 1 + 2 + 4 + … + 32 + 60 + 60 s
    assert schedule.parked() == ["dead"]


def test_all_jobs_of_a_parked_device_wait() -> None:
    schedule = Schedule([Job("dead", 0.5), Job("dead", 2.0)], 0.0)
    assert schedule.take(0.0) == Job("dead", 0.5)
    assert schedule.note_silence("dead", 0.0) == 1.0
    assert schedule.take(0.99) is None
    assert schedule.take(1.0) is not None


def test_the_pause_has_an_end() -> None:
    schedule = Schedule([Job("dead", 1.0)], 0.0)
    assert max(schedule.note_silence("dead", 0.0) for _ in range(100)) == PARK_MAX_S


def test_an_answer_ends_the_parking() -> None:
    job = Job("s1", 1.0)
    schedule = Schedule([job], 0.0)
    assert not schedule.note_answer(job, 0.0, 0.01)
    schedule.note_silence("s1", 0.0)
    assert schedule.note_answer(job, 1.0, 0.01)
    assert schedule.parked() == []
    assert schedule.note_silence("s1", 5.0) == 1.0


def polls(schedule: Schedule, answer_s: dict[str, float], end_s: float) -> dict[str, int]:
    """How often each device was polled until ``end_s`` when its answers take so long and block the bus."""
    counts = dict.fromkeys(answer_s, 0)
    now_s = 0.0
    while now_s < end_s:
        job = schedule.take(now_s)
        if job is None:
            now_s = schedule.next_s()
            continue
        counts[job.device] += 1
        now_s += answer_s[job.device]
        schedule.note_answer(job, now_s, answer_s[job.device])
    return counts


@pytest.mark.parametrize("slow_devices", [1, 2, 3])
def test_slow_devices_get_a_fifth_of_the_time_and_the_fast_ones_the_rest(slow_devices: int) -> None:
    slow = {f"slow{k}": 0.9 for k in range(slow_devices)}
    fast = {"fast1": 0.01, "fast2": 0.01}
    schedule = Schedule([Job(name, 1.0) for name in slow] + [Job(name, 0.2) for name in fast], 0.0)
    counts = polls(schedule, slow | fast, 900.0)
    for name in fast:
        assert counts[name] >= 0.75 * 900.0 / 0.2
    busy_s = sum(counts[name] * 0.9 for name in slow)
    assert 0.15 * 900.0 <= busy_s <= 0.21 * 900.0
    assert schedule.slow() == sorted(slow)


def test_slow_devices_among_themselves_are_asked_as_configured() -> None:
    schedule = Schedule([Job("m1", 2.0), Job("m2", 2.0)], 0.0)
    assert polls(schedule, {"m1": 0.9, "m2": 0.9}, 100.0) == {"m1": 50, "m2": 50}
    assert schedule.slow() == []


def test_a_device_that_is_fast_again_is_asked_as_configured_again() -> None:
    job, fast = Job("s1", 1.0), Job("s2", 0.2)
    schedule = Schedule([job, fast], 0.0)
    schedule.note_answer(job, 1.0, 0.9)
    assert schedule.slow() == ["s1"]
    for now_s in range(2, 20):
        schedule.note_answer(job, float(now_s), 0.01)
    assert schedule.slow() == []


def test_noise_does_not_park_a_device_until_it_goes_on_and_on() -> None:
    job = Job("s1", 0.2)
    schedule = Schedule([job], 0.0)
    assert [schedule.note_garble("s1", 0.0) for _ in range(GARBLED_MAX)] == [0.0, 0.0, 1.0]
    assert schedule.parked() == ["s1"]
    schedule.note_answer(job, 2.0, 0.01)
    assert schedule.note_garble("s1", 3.0) == 0.0


def test_deadlines_that_had_passed_are_counted_and_those_of_parked_devices_are_not() -> None:
    schedule = Schedule([Job("s1", 1.0)], 0.0)
    schedule.take(0.0)
    schedule.take(7.5)
    assert schedule.missed == 6
    schedule.note_silence("s1", 7.5)
    assert schedule.take(8.0) is None
    assert schedule.take(9.0) is not None
    assert schedule.missed == 6


def test_a_bus_without_devices_is_never_due() -> None:
    schedule = Schedule([], 0.0)
    assert schedule.take(1e9) is None
    assert schedule.next_s() == math.inf
