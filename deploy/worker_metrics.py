"""How the worker is: what it shows of its jobs, and the pace of those that share the machine with ingest."""

import time
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

HEALTHY_S: Final = 60.0
"""Without a finished job for this long, /healthz says 503."""


class Pace:
    """Keeps a repeated task to a share of the time, however long one round of it takes. Seconds of a steady clock."""

    def __init__(self, *, share: float) -> None:
        assert 0 < share <= 1
        self._share = share
        self._next_s = float("-inf")

    def is_due(self, now_s: float) -> bool:
        """Whether a round may start."""
        return now_s >= self._next_s

    def note(self, start_s: float, end_s: float) -> None:
        """Account for a round: the next may start once this one makes no more than its share."""
        self._next_s = start_s + (end_s - start_s) / self._share


class Metrics:
    """What the worker shows to Prometheus, and whether it is well."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.done = Counter("shelfpulse_jobs", "Jobs, by outcome", ["task", "outcome"], registry=self.registry)
        self.seconds = Histogram("shelfpulse_job_seconds", "Time of a job", ["task"], registry=self.registry)
        self.left = Gauge("shelfpulse_rollup_slices_left", "Dirty slices beyond the last round", registry=self.registry)
        self.last_done_s = time.monotonic()

    def trouble(self) -> str:
        """What is wrong, '' when a job finished lately."""
        return "" if time.monotonic() - self.last_done_s < HEALTHY_S else "no job finished lately"
