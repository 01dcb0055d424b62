"""Late frames come back into the dataflow: a source partition over the database, one batch an epoch.

What waits is read by a thread of its own, so that a slow answer never holds up what comes from the broker. The next
batch is read only once the epoch of the last one is committed: by then its frames have left their tables.
"""

import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final, LiteralString

import psycopg
import structlog
from bytewax.inputs import StatefulSourcePartition

from contracts.ids import bucket_of
from stream import queries
from stream.clocks import HELD_FOR
from stream.connecting import connect
from stream.facts import Item, LateBatch, LateFrame, Message, Origin
from stream.fence import Span

log = structlog.get_logger()

FRAMES_MAX: Final = 1_000
"""Late frames that one epoch takes up, so that a backlog of a million never makes one giant transaction."""
BYTES_MAX: Final = 8 * 1024 * 1024
LOOK: Final = timedelta(seconds=1)
"""How often the tables are looked at while nothing comes back."""
SOON: Final = timedelta(milliseconds=50)
CONNECT_TIMEOUT_S: Final = 5


class LateReader:
    """Reads late frames of the buckets in ``span`` when asked to. ``start`` before use; ``dsn`` libpq URL."""

    def __init__(self, dsn: str, span: Span, stopping: threading.Event) -> None:
        self._dsn = dsn
        self._span = span
        self._stopping = stopping
        self._asked = threading.Event()
        self._found: list[LateFrame] | None = None
        self._connection: psycopg.Connection | None = None

    def start(self) -> None:
        """Wait for requests from a daemon thread."""
        threading.Thread(target=self._run, name="late", daemon=True).start()

    def request(self) -> None:
        """Look for late frames; ``take`` gets them."""
        self._found = None
        self._asked.set()

    def take(self) -> list[LateFrame] | None:
        """What the last request found, None while it is not answered."""
        return self._found

    def _run(self) -> None:
        while not self._stopping.is_set():
            if not self._asked.wait(LOOK.total_seconds()):
                continue
            self._asked.clear()
            found: list[LateFrame] = []
            try:
                found = self._read()
            except psycopg.Error as error:
                log.warning("late_frames_delayed", error=str(error).strip())
                if self._connection is not None:
                    with suppress(psycopg.Error):
                        self._connection.close()
            self._found = found

    def _read(self) -> list[LateFrame]:
        if self._connection is None or self._connection.closed:
            self._connection = connect(
                self._dsn, "shelfpulse-stream-late", autocommit=True, connect_timeout_s=CONNECT_TIMEOUT_S
            )
        found: dict[tuple[Origin, int], LateFrame] = {}
        size = 0
        for frame in read_late(self._connection, self._span, datetime.now(UTC) - HELD_FOR):
            if found and (len(found) >= FRAMES_MAX or size + len(frame.message.payload) > BYTES_MAX):
                break
            found.setdefault((frame.origin, frame.row), frame)
            size += len(frame.message.payload)
        return list(found.values())


def read_late(connection: psycopg.Connection, span: Span, before: datetime) -> Iterator[LateFrame]:
    """Frames that may come back now, of the buckets in ``span``; those that have waited since ``before`` expire.

    Frames of one boot in the order in which they came. Raises psycopg.Error.
    """
    for tenant, gateway, boot in connection.execute(queries.ANCHORED).fetchall():
        if bucket_of(gateway) in span.buckets:
            named = {"tenant": tenant, "gateway": gateway, "boot": boot, "limit": FRAMES_MAX}
            yield from _frames(Origin.UNSYNCED, connection.execute(queries.HELD_OF_BOOT, named))
    for frame in _paged(connection, Origin.UNSYNCED, queries.EXPIRED, before):
        if _is_of(frame, span):
            yield frame._replace(expired=True)
    yield from (frame for frame in _paged(connection, Origin.QUARANTINE, queries.RETRY, before) if _is_of(frame, span))


def _paged(
    connection: psycopg.Connection, origin: Origin, statement: LiteralString, before: datetime
) -> Iterator[LateFrame]:
    after = 0
    while True:
        rows = connection.execute(statement, {"before": before, "after": after, "limit": FRAMES_MAX}).fetchall()
        yield from _frames(origin, rows)
        if len(rows) < FRAMES_MAX:
            return
        after = rows[-1][0]


def _is_of(frame: LateFrame, span: Span) -> bool:
    """Whether a frame is ours; one without a gateway is of the owner of bucket 0."""
    return (bucket_of(frame.gateway) if frame.gateway else 0) in span.buckets


def _frames(origin: Origin, rows: Iterable[tuple[Any, ...]]) -> Iterator[LateFrame]:
    for row, tenant, gateway, lane, ep, seq, topic, payload, received_at in rows:
        message = Message(topic, bytes(payload), round(received_at.timestamp() * 1000))
        yield LateFrame(origin, row, tenant, gateway, lane, ep, seq, message)


class LatePartition(StatefulSourcePartition[Item, None]):
    """Emits what the reader finds, at most one batch an epoch, and nothing any more once told to stop."""

    def __init__(self, reader: LateReader, stopping: threading.Event) -> None:
        self._reader = reader
        self._stopping = stopping
        self._emitted = False
        self._sealed = False
        self._awake = datetime.now(UTC)
        reader.start()
        reader.request()

    def next_batch(self) -> list[Item]:
        """At most one batch. Never blocks."""
        now = datetime.now(UTC)
        if self._sealed:
            # Being called again proves that the sealed epoch is committed.
            self._sealed = self._emitted = False
            self._reader.request()
        self._awake = now + SOON
        if self._emitted or self._stopping.is_set():
            return []
        found = self._reader.take()
        if found is None:
            return []
        if not found:
            self._reader.request()
            self._awake = now + LOOK
            return []
        self._emitted = True
        return [LateBatch(found)]

    def next_awake(self) -> datetime:
        """When to look again."""
        return self._awake

    def snapshot(self) -> None:
        """Seal what was emitted. There is no position to keep: what is not committed is still in its table."""
        self._sealed = self._emitted
