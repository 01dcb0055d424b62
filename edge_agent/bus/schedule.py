"""When to poll what: staggered deadlines, and parking of units that do not answer. Pure: time is an argument.

Times are seconds on any monotonic clock.
"""

import heapq
import math
from collections.abc import Sequence
from typing import Final, NamedTuple

PARK_FIRST_S: Final = 1.0
PARK_MAX_S: Final = 60.0


class Job(NamedTuple):
    """Poll the registers of ``device`` that have this period."""

    device: str
    period_s: float


class Schedule:
    """Deadlines of the jobs of one bus.

    The first deadlines are spread over each job's period, so that equal periods never ask all at once. A deadline
    that was missed is skipped, not caught up. A device that failed is *parked*: none of its jobs is due for 1, 2, 4
    … 60 s, so that a dead slave costs the others one time-out now and then.
    """

    def __init__(self, jobs: Sequence[Job], start_s: float) -> None:
        self._heap = [
            (start_s + job.period_s * position / len(jobs), position, job) for position, job in enumerate(jobs)
        ]
        heapq.heapify(self._heap)
        self._failures: dict[str, int] = {}
        self._parked_until: dict[str, float] = {}

    def next_s(self) -> float:
        """Time of the earliest deadline; infinite without jobs."""
        return self._heap[0][0] if self._heap else math.inf

    def take(self, now_s: float) -> Job | None:
        """A job whose deadline has come, or None. Its next deadline is a whole number of periods later."""
        while self._heap and self._heap[0][0] <= now_s:
            deadline, position, job = self._heap[0]
            periods = math.floor((now_s - deadline) / job.period_s) + 1
            upcoming = deadline + periods * job.period_s
            parked_until = self._parked_until.get(job.device, -math.inf)
            if parked_until > now_s:
                missed = math.ceil((parked_until - deadline) / job.period_s)
                heapq.heapreplace(self._heap, (deadline + max(1, missed) * job.period_s, position, job))
                continue
            heapq.heapreplace(self._heap, (max(upcoming, math.nextafter(now_s, math.inf)), position, job))
            return job
        return None

    def note_answer(self, device: str) -> bool:
        """The device answered; True when it had been parked."""
        self._parked_until.pop(device, None)
        return self._failures.pop(device, 0) > 0

    def note_silence(self, device: str, now_s: float) -> float:
        """The device did not answer: park it. Seconds until it is tried again."""
        failures = self._failures.get(device, 0) + 1
        self._failures[device] = failures
        pause_s = min(PARK_MAX_S, PARK_FIRST_S * 2.0 ** min(failures - 1, 16))
        self._parked_until[device] = now_s + pause_s
        return pause_s

    def parked(self) -> list[str]:
        """Devices that did not answer last time, sorted."""
        return sorted(self._failures)
