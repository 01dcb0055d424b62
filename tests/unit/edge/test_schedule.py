"""Polls are spread out, missed deadlines skipped, and silent devices parked."""

import math

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.bus.schedule import PARK_MAX_S, Job, Schedule


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
                schedule.note_answer("alive")
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
    schedule = Schedule([Job("s1", 1.0)], 0.0)
    assert not schedule.note_answer("s1")
    schedule.note_silence("s1", 0.0)
    assert schedule.note_answer("s1")
    assert schedule.parked() == []
    assert schedule.note_silence("s1", 5.0) == 1.0


def test_a_bus_without_devices_is_never_due() -> None:
    schedule = Schedule([], 0.0)
    assert schedule.take(1e9) is None
    assert schedule.next_s() == math.inf
