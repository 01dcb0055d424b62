"""The thread that writes the outbox: gathers frames for up to 100 ms, so that one fsync serves many."""

import queue
import time
from collections import deque
from collections.abc import Mapping
from typing import Final

import structlog

from contracts.topics import Lane
from edge_agent.outbox.file import Entry, Outbox, OutboxFullError
from edge_agent.threads import thread_in_context

GROUP_S: Final = 0.1
GROUP_MAX: Final = 2_000
QUEUE_MAX: Final = 4_000
"""Frames that wait in memory while the disk is slow or full; more are refused and counted."""
RESERVED: Final = 500
"""Places of them that readings may not take: decisions and answers find room when readings do not any more."""
_URGENT: Final = frozenset({Lane.EVT, Lane.RSP})
RELEASE_EVERY_S: Final = 2.0
RETRY_S: Final = 1.0

log = structlog.get_logger()


class OutboxWriter:
    """Takes frames from one thread; ``start`` before, ``stop`` after: then all that was taken is on the disk.

    A disk that is full loses nothing at once: frames wait in memory. When they are too many the newest are refused
    and counted in ``refused_frames`` and ``refused_readings``; writing goes on by itself when there is room again.
    """

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._queue: queue.SimpleQueue[Entry | None] = queue.SimpleQueue()
        self._thread = thread_in_context(self._run, "outbox-writer")
        self._waiting: deque[Entry] = deque()
        self._slots: Mapping[str, bytes] = {}
        self._stopping = False
        self._taken = 0
        self._written = 0
        self.refused_frames = 0
        self.refused_readings = 0
        self.is_full = False
        self.error: Exception | None = None
        """Why the thread ended by itself, if it did."""

    @property
    def is_idle(self) -> bool:
        """Whether all that was taken is on the disk."""
        return self._taken == self._written

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def has_room(self, lane: Lane) -> bool:
        """Whether ``put`` would take a frame of this lane."""
        return self._queue.qsize() < (QUEUE_MAX if lane in _URGENT else QUEUE_MAX - RESERVED)

    def put(self, entry: Entry) -> bool:
        """Hand a frame over (from one thread only); False when it was refused because too many wait."""
        if not self.has_room(entry.lane):
            self.refused_frames += 1
            self.refused_readings += entry.readings
            return False
        self._queue.put(entry)
        self._taken += 1
        return True

    def keep(self, slots: Mapping[str, bytes]) -> None:
        """Write what the inference knows, soon. The last call counts."""
        self._slots = slots

    def stop(self, slots: Mapping[str, bytes] = {}) -> bool:
        """Write what waits, and the memories of the slots; False when the disk did not take it."""
        self._stopping = True
        self._queue.put(None)  # wakes the thread
        self._thread.join()
        try:
            self._outbox.write([], slots)
        except OutboxFullError as error:
            log.error("outbox_refused", error=str(error), frames=len(self._waiting))  # noqa: TRY400 - the message says it
            return False
        return not self._waiting

    def _run(self) -> None:
        try:
            while not (self._stopping and self.is_idle):
                self._gather()
                has_work = self._waiting or self._slots or self._outbox.has_releases()
                if has_work and not self._write() and self._stopping:
                    return
        except Exception as error:  # outermost loop of the thread
            self.error = error
            log.exception("outbox_writer_died")
            raise

    def _gather(self) -> None:
        """Move frames of up to 100 ms from the queue to ``_waiting``."""
        deadline = None
        while len(self._waiting) < GROUP_MAX:
            timeout = RELEASE_EVERY_S if deadline is None else deadline - time.monotonic()
            try:
                entry = self._queue.get(timeout=max(0.0, timeout))
            except queue.Empty:
                return
            if entry is None:
                return
            self._waiting.append(entry)
            if entry.lane in _URGENT:
                return  # decisions do not wait for company
            if deadline is None:
                deadline = time.monotonic() + GROUP_S

    def _write(self) -> bool:
        slots, self._slots = self._slots, {}
        try:
            # Memories that an event brings are newer than those that were kept before it.
            self._outbox.write(list(self._waiting), {} if any(entry.slots for entry in self._waiting) else slots)
        except OutboxFullError as error:
            if not self.is_full:
                log.error("outbox_refused", error=str(error))  # noqa: TRY400 - the message says it
            self.is_full = True
            # Nothing was written: these memories are still owed, unless newer ones came meanwhile.
            self._slots = self._slots or slots
            if not self._stopping:
                time.sleep(RETRY_S)
            return False
        if self.is_full:
            log.info("outbox_recovered", frames=len(self._waiting))
            self.is_full = False
        self._written += len(self._waiting)
        self._waiting.clear()
        return True
