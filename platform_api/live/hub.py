"""One listener, one hub, any number of viewers: notices come in, each audience is read once, all viewers are told.

Everything here runs on the event loop's thread, apart from the reading itself, which is given as ``read`` and runs
in a worker thread. No viewer costs a query: after the first notice an audience is read at most every TELL_INTERVAL_S.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg
import psycopg_pool
import structlog

from contracts.facts import LiveNotice
from platform_api.kit import metrics
from platform_api.live import delta

TELL_INTERVAL_S: Final = 0.5
TOTALS_INTERVAL_S: Final = 2.0
QUEUE_MAX: Final = 64
"""Messages that wait for a slow viewer; past it, it is told to read the wall again."""
VIEWERS_MAX: Final = 2_000
RATE_WINDOW_S: Final = 10.0
READS_AT_ONCE: Final = 4

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class AudienceKey:
    """Everybody who may see the same. ``sites`` None: all of the tenant."""

    tenant_id: str
    sites: tuple[str, ...] | None

    @property
    def scope(self) -> dict[str, object]:
        """Parameters of the filter that every query carries."""
        return {"tenant_id": self.tenant_id, "sites": None if self.sites is None else list(self.sites)}


@dataclass(frozen=True, slots=True)
class Want:
    """What to read for an audience; ``since_us`` is where its last changes ended, by the database's clock."""

    since_us: int
    events: bool
    anomalies: bool
    proposals: bool
    totals: bool
    series: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """What was read. ``changes`` has the columns of queries.CHANGES; ``latest`` holds (ms, value) by series."""

    changes: dict[str, Any] | None
    totals: dict[str, Any] | None
    latest: dict[int, tuple[int, float]]


Read = Callable[[AudienceKey, Want, float], Found]
"""Reads what an audience wants; the last argument is the tenant's readings/s. Blocking."""


@dataclass(eq=False, slots=True)
class Viewer:
    """One open stream."""

    series: tuple[int, ...]
    queue: asyncio.Queue[bytes] = field(default_factory=lambda: asyncio.Queue(QUEUE_MAX))

    def tell(self, message: bytes) -> None:
        """Queue a message; a viewer that does not keep up loses what waits and is told to begin anew."""
        try:
            self.queue.put_nowait(message)
        except asyncio.QueueFull:
            while not self.queue.empty():
                self.queue.get_nowait()
            self.queue.put_nowait(delta.RESET)
            metrics.RESETS.inc()

    async def next(self) -> list[bytes]:
        """All messages that wait, at least one: what came together leaves in one write."""
        messages = [await self.queue.get()]
        while not self.queue.empty():
            messages.append(self.queue.get_nowait())
        return messages


class _Audience:
    def __init__(self, key: AudienceKey, covered_from: int) -> None:
        self.key = key
        self.viewers: set[Viewer] = set()
        self.history = delta.History(covered_from)
        self.fresh = delta.Fresh()
        self.since_us = covered_from
        self.totals_due_at = 0.0
        self.events = self.anomalies = self.proposals = self.readings = False
        self.touch()

    def touch(self) -> None:
        """Anything may have changed."""
        self.events = self.anomalies = self.proposals = self.readings = True

    def note(self, notice: LiveNotice) -> None:
        """Remember what a notice speaks of. Readings alone move no list."""
        self.events = self.events or notice.events > 0
        self.anomalies = self.anomalies or notice.anomalies > 0
        self.proposals = self.proposals or notice.proposals > 0
        self.readings = self.readings or notice.readings > 0

    def take_want(self, now: float) -> Want | None:
        """What to read now, None for nothing; it is taken as read."""
        series = tuple(sorted({one for viewer in self.viewers for one in viewer.series})) if self.readings else ()
        totals = now >= self.totals_due_at
        if not (self.events or self.anomalies or self.proposals or series or totals):
            return None
        want = Want(self.since_us, self.events, self.anomalies, self.proposals, totals, series)
        self.events = self.anomalies = self.proposals = self.readings = False
        if totals:
            self.totals_due_at = now + TOTALS_INTERVAL_S
        return want

    def tell(self, found: Found) -> None:
        """Tell all viewers what was found."""
        if found.changes is not None:
            self.since_us = found.changes["cursor"]
            body = delta.encode_changes(found.changes, self.fresh)
            if body is not None:
                # Only changes have an id: a viewer that comes back goes on from the last of these.
                message = delta.frame("delta", body, cursor=self.since_us)
                self.history.add(self.since_us, message)
                metrics.DELTAS.inc()
                self._tell_all(message)
        if found.totals is not None:
            self._tell_all(delta.frame("totals", delta.encode(found.totals)))
        watched = {viewer.series for viewer in self.viewers}
        values = {series: delta.encode_values(found.latest, series) for series in watched}
        for viewer in self.viewers:
            if (encoded := values[viewer.series]) is not None:
                viewer.tell(delta.frame("values", encoded))

    def _tell_all(self, message: bytes) -> None:
        for viewer in self.viewers:
            viewer.tell(message)


class Hub:
    """Fans out what changes. ``clock`` is monotonic seconds, ``now_us`` µs since 1970 UTC."""

    def __init__(
        self,
        read: Read,
        *,
        clock: Callable[[], float] = time.monotonic,
        now_us: Callable[[], int] = lambda: time.time_ns() // 1_000,
    ) -> None:
        self._read = read
        self._clock = clock
        self._now_us = now_us
        self._audiences: dict[AudienceKey, _Audience] = {}
        self._rates: dict[str, deque[tuple[float, int]]] = {}
        self._wake = asyncio.Event()
        self._reads = asyncio.Semaphore(READS_AT_ONCE)

    @property
    def viewers(self) -> int:
        """Open streams."""
        return sum(len(audience.viewers) for audience in self._audiences.values())

    def readings_per_s(self, tenant_id: str) -> float:
        """Readings of a tenant committed a second, over the last RATE_WINDOW_S."""
        horizon = self._clock() - RATE_WINDOW_S
        # A copy: this is asked from the threads of requests too.
        counts = tuple(self._rates.get(tenant_id, ()))
        return round(sum(count for at, count in counts if at > horizon) / RATE_WINDOW_S, 1)

    def hear(self, notice: LiveNotice) -> None:
        """A commit touched a tenant."""
        metrics.NOTICES.inc()
        now = self._clock()
        rates = self._rates.setdefault(notice.tenant, deque())
        rates.append((now, notice.readings))
        while rates[0][0] <= now - RATE_WINDOW_S:
            rates.popleft()
        for audience in self._of(notice.tenant):
            audience.note(notice)
        self._wake.set()

    def hear_gap(self) -> None:
        """Notices may have been missed: everything is looked at again."""
        for audience in self._audiences.values():
            audience.touch()
        self._wake.set()

    def join(self, key: AudienceKey, series: tuple[int, ...], after: int | None) -> Viewer:
        """Add a viewer, who has the wall as of cursor ``after`` (None: has nothing, and wants only what comes).

        What came between is queued, or a reset when it is no longer known.
        """
        viewer = Viewer(series)
        now_us = self._now_us()
        recent = after is not None and abs(now_us - after) <= delta.REPLAY_AGE_US
        audience = self._audiences.get(key)
        if audience is None:
            audience = _Audience(key, after if recent and after is not None else now_us)
            self._audiences[key] = audience
        if after is not None:
            missed = audience.history.since(after) if recent else None
            for message in [delta.RESET] if missed is None else missed:
                viewer.tell(message)
        audience.viewers.add(viewer)
        audience.readings = True
        metrics.VIEWERS.set(self.viewers)
        self._wake.set()
        return viewer

    def leave(self, key: AudienceKey, viewer: Viewer) -> None:
        """Remove a viewer, and an audience without any."""
        audience = self._audiences.get(key)
        if audience is None:
            return
        audience.viewers.discard(viewer)
        if not audience.viewers:
            del self._audiences[key]
        metrics.VIEWERS.set(self.viewers)

    async def run(self) -> None:
        """Tell audiences what changes, until cancelled: at once after quiet, at most every TELL_INTERVAL_S."""
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), TOTALS_INTERVAL_S)
            self._wake.clear()
            await asyncio.gather(*(self._refresh(audience) for audience in list(self._audiences.values())))
            await asyncio.sleep(TELL_INTERVAL_S)

    async def _refresh(self, audience: _Audience) -> None:
        want = audience.take_want(self._clock())
        if want is None:
            return
        rate = self.readings_per_s(audience.key.tenant_id)
        async with self._reads:
            try:
                found = await asyncio.to_thread(self._read, audience.key, want, rate)
            except (psycopg.Error, psycopg_pool.PoolTimeout, psycopg_pool.TooManyRequests) as error:
                _log.warning("live_read_failed", error=type(error).__name__, detail=str(error)[:200])
                # since_us has not moved: the next round, woken by the timer, finds what this one missed.
                audience.touch()
                return
        audience.tell(found)

    def _of(self, tenant_id: str) -> Iterable[_Audience]:
        return [audience for key, audience in self._audiences.items() if key.tenant_id == tenant_id]
