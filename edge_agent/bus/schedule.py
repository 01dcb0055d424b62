"""When to poll what: staggered deadlines, parking of devices that do not answer, restraint with slow ones. Pure.

Times are seconds on any monotonic clock.
"""

import heapq
import math
from collections.abc import Sequence
from typing import Final, NamedTuple

PARK_FIRST_S: Final = 1.0
PARK_MAX_S: Final = 60.0
GARBLED_MAX: Final = 3
"""Polls in a row that brought garbage only: then the device is as good as silent."""
GRID_MIN_S: Final = 0.1
GRID_MAX_S: Final = 0.5
GRIDS_A_PERIOD: Final = 4
"""Deadlines begin on a grid of a quarter of the shortest period, within these limits. Requests that follow each other
at once cost a third of those that each need to be woken for, and their company of a few readings disturbs nobody."""
SLOW_SHARE: Final = 0.2
"""Share of a bus's time that its slow devices get together, while there are faster ones."""
_SMOOTHING: Final = 0.3
_ROUNDING: Final = 1e-9
_DOUBLINGS_MAX: Final = 16


class Job(NamedTuple):
    """Poll the registers of ``device`` that have this period."""

    device: str
    period_s: float


class Schedule:
    """Deadlines of the jobs of one bus.

    The first deadlines are spread over each job's period, on a grid, so that a long period never asks
    all at once. A deadline that was missed is skipped, not caught up.

    A device that failed is *parked*: none of its jobs is due for 1, 2, 4 … 60 s, so that a dead slave costs the
    others one time-out now and then.

    A job is *slow* when its answer takes longer than the shortest period on the bus: each time, others miss a
    deadline. Slow jobs get ``SLOW_SHARE`` of the time together: one that takes 0.9 s runs every 4.5 s at most,
    however short its period is, and two such every 9 s each.
    """

    def __init__(self, jobs: Sequence[Job], start_s: float) -> None:
        self._shortest_s = min((job.period_s for job in jobs), default=math.inf)
        grid_s = min(GRID_MAX_S, max(GRID_MIN_S, self._shortest_s / GRIDS_A_PERIOD))
        self._heap = [
            (start_s + _on_grid(job.period_s * position / len(jobs), grid_s), position, job)
            for position, job in enumerate(jobs)
        ]
        heapq.heapify(self._heap)
        self._failures: dict[str, int] = {}
        self._garbled: dict[str, int] = {}
        self._parked_until: dict[str, float] = {}
        self._cost_s: dict[Job, float] = {}
        self._slow_until: dict[Job, float] = {}
        self.missed = 0
        """Deadlines that were skipped because they had passed; those of parked and slow jobs are not counted."""

    def next_s(self) -> float:
        """Time of the earliest deadline; infinite without jobs."""
        return self._heap[0][0] if self._heap else math.inf

    def take(self, now_s: float) -> Job | None:
        """A job whose deadline has come, or None. Its next deadline is a whole number of periods later."""
        while self._heap and self._heap[0][0] <= now_s:
            deadline, position, job = self._heap[0]
            held_until = max(self._parked_until.get(job.device, -math.inf), self._slow_until.get(job, -math.inf))
            if held_until > now_s:
                held = max(1, math.ceil((held_until - deadline) / job.period_s))
                heapq.heapreplace(self._heap, (deadline + held * job.period_s, position, job))
                continue
            periods = math.floor((now_s - deadline) / job.period_s) + 1
            self.missed += periods - 1
            upcoming = deadline + periods * job.period_s
            heapq.heapreplace(self._heap, (max(upcoming, math.nextafter(now_s, math.inf)), position, job))
            return job
        return None

    def note_answer(self, job: Job, now_s: float, took_s: float) -> bool:
        """The device answered after ``took_s``; True when it had been parked."""
        cost_s = self._cost_s.get(job, took_s)
        cost_s += _SMOOTHING * (took_s - cost_s)
        self._cost_s[job] = cost_s
        slow = self._slow_jobs()
        if job in slow and len(slow) < len(self._heap):
            self._slow_until[job] = now_s + cost_s * len(slow) / SLOW_SHARE - took_s
        else:
            self._slow_until.pop(job, None)
        self._garbled.pop(job.device, None)
        self._parked_until.pop(job.device, None)
        return self._failures.pop(job.device, 0) > 0

    def note_silence(self, device: str, now_s: float) -> float:
        """The device did not answer: park it. Seconds until it is tried again."""
        failures = self._failures.get(device, 0) + 1
        self._failures[device] = failures
        pause_s = min(PARK_MAX_S, PARK_FIRST_S * 2.0 ** min(failures - 1, _DOUBLINGS_MAX))
        self._parked_until[device] = now_s + pause_s
        return pause_s

    def note_garble(self, device: str, now_s: float) -> float:
        """The answer was unusable: noise passes, so the next deadline stays, until it happens too often in a row.

        Seconds until the device is tried again, 0 for its usual deadline.
        """
        garbled = self._garbled.get(device, 0) + 1
        self._garbled[device] = garbled
        return 0.0 if garbled < GARBLED_MAX else self.note_silence(device, now_s)

    def parked(self) -> list[str]:
        """Devices that did not answer last time, sorted."""
        return sorted(self._failures)

    def slow(self) -> list[str]:
        """Devices with jobs that run less often than their period says, because they are slow; sorted."""
        return sorted({job.device for job in self._slow_until})

    def _slow_jobs(self) -> list[Job]:
        return [job for job, cost_s in self._cost_s.items() if cost_s > self._shortest_s]


def _on_grid(phase_s: float, grid_s: float) -> float:
    return math.floor(phase_s / grid_s + _ROUNDING) * grid_s
