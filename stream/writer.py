"""One epoch, one transaction: the only place that writes telemetry to PostgreSQL."""

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, NoReturn

import msgspec
import numpy as np
import psycopg
from psycopg.types.json import Jsonb

from contracts.facts import LIVE_CHANNEL, NOTIFY_MAX_BYTES
from stream import queries
from stream.epoch import Epoch, Move, Part, build, keep_readings, pack
from stream.facts import QuarantineRow, Settled, Sighting
from stream.fence import Fence

if TYPE_CHECKING:
    from contracts.topics import GatewayAddress

PAYLOAD_KEPT_MAX: Final = 64 * 1024
"""Bytes of a message that quarantine keeps; what is longer is cut, and the row says how long it was."""
TRUNCATED: Final = "; payload cut"
DETAIL_MAX: Final = 1_000
CONNECT_TIMEOUT_S: Final = 10
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class FenceLostError(Exception):
    """Another process owns these buckets now. Not an error of ours: exit, and let it work."""


class RefusedError(Exception):
    """The database refuses the data of this transaction (SQLSTATE classes 22 and 23)."""


class UnavailableError(Exception):
    """The database cannot be reached, is full, or is busy with itself: the same transaction may succeed later."""


Prepare = Callable[[datetime, datetime], None]
"""Makes sure that rows of this range can be stored (partitions). Raises psycopg.Error."""


class Writer:
    """A connection and the transaction of an epoch.

    ``fence``: what this process owns. ``prepare`` is called with each range of readings before they are written.
    """

    def __init__(self, dsn: str, fence: Fence, prepare: Prepare) -> None:
        self._dsn = dsn
        self._fence = fence
        self._prepare = prepare
        self._connection: psycopg.Connection | None = None
        self._doubtful: tuple[str, Epoch] | None = None

    def write(self, parts: list[Part]) -> Epoch:
        """Commit everything in ``parts`` and return what was written.

        Raises FenceLostError and RefusedError with nothing written. After UnavailableError call again with the same
        parts: when the answer to a COMMIT was lost, that call first finds out whether it took place. Raises
        psycopg.Error for what is wrong with the schema itself.
        """
        if self._doubtful is not None:
            transaction_id, epoch = self._doubtful
            if self._was_committed(transaction_id):
                self._doubtful = None
                return epoch
            self._doubtful = None
        try:
            connection = self._connect()
            with connection.cursor(binary=True) as cursor:
                transaction_id = self._hold_fence(cursor)
                epoch = build(_without_known(cursor, parts))
                for lo, hi in epoch.dirty:
                    self._prepare(lo, hi)
                _write(cursor, epoch)
        except (FenceLostError, psycopg.Error) as error:
            self._roll_back()
            _translate(error)
        try:
            connection.commit()
        except psycopg.Error as error:
            self.close()
            self._doubtful = (transaction_id, epoch)
            raise UnavailableError(str(error).strip()) from error
        return epoch

    def close(self) -> None:
        """Give the connection back; the next ``write`` opens another."""
        if self._connection is not None:
            with suppress(psycopg.Error):
                self._connection.close()
            self._connection = None

    def _connect(self) -> psycopg.Connection:
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(self._dsn, prepare_threshold=1, application_name="shelfpulse-stream",
                                               connect_timeout=CONNECT_TIMEOUT_S)  # fmt: skip
            # An ack is a promise, whatever the server's default is.
            self._connection.execute("SET synchronous_commit = on")
            self._connection.execute("SET timezone = 'UTC'")
            self._connection.commit()
        return self._connection

    def _hold_fence(self, cursor: psycopg.Cursor) -> str:
        """Check that the buckets are still ours, and keep them so until the commit; returns the transaction's id."""
        row = cursor.execute(queries.FENCE_CHECK, {"partition": self._fence.partition}).fetchone()
        if row is None or row[0] != self._fence.generation:
            msg = f"another process took {self._fence.partition}"
            raise FenceLostError(msg)
        return str(row[1])

    def _roll_back(self) -> None:
        if self._connection is None:
            return
        try:
            self._connection.rollback()
        except psycopg.Error:
            self.close()

    def _was_committed(self, transaction_id: str) -> bool:
        """Whether a COMMIT whose answer was lost took place. Raises UnavailableError while that cannot be known."""
        try:
            row = self._connect().execute(queries.TRANSACTION_STATUS, {"id": transaction_id}).fetchone()
            self._roll_back()
        except psycopg.Error as error:
            self._roll_back()
            raise UnavailableError(str(error).strip()) from error
        if row is None or row[0] == "in progress":
            msg = f"transaction {transaction_id} is still in progress"
            raise UnavailableError(msg)
        return bool(row[0] == "committed")


def _translate(error: Exception) -> NoReturn:
    """Say what an error means for the epoch."""
    if isinstance(error, FenceLostError):
        raise error
    assert isinstance(error, psycopg.Error)
    state = error.sqlstate or ""
    text = str(error).strip()
    if state[:2] in {"22", "23"} or (not state and isinstance(error, psycopg.DataError)):
        raise RefusedError(text) from error
    # 08 connection, 40 deadlock, 53 out of disk or memory, 55 locked, 57 shut down, 58 the server's disk.
    if state[:2] in {"08", "40", "53", "55", "57", "58"} or (
        not state and isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    ):
        raise UnavailableError(text) from error
    raise error


def _without_known(cursor: psycopg.Cursor, parts: list[Part]) -> list[Part]:
    """The parts without raw readings that are stored already, or that stand in them twice."""
    if not any(frame.once for part in parts for frame in part.frames):
        return parts
    asked = [
        (at, place)
        for at, part in enumerate(parts)
        for frame in part.frames
        if frame.once
        for place in range(frame.lo, frame.hi)
    ]
    rows = [
        (
            int(parts[at].columns.series[place]),
            int(parts[at].columns.time_us[place]),
            float(parts[at].columns.value[place]),
        )
        for at, place in asked
    ]
    times = [moment(time_us) for _, time_us, _ in rows]
    known = {
        position - 1
        for (position,) in cursor.execute(
            queries.READING_KNOWN,
            {"series": [row[0] for row in rows], "times": times, "values": [row[2] for row in rows],
             "lo": min(times), "hi": max(times)},
        )
    }  # fmt: skip
    keeps = [np.ones(len(part.columns), np.bool_) for part in parts]
    seen: set[tuple[int, int, float]] = set()
    for position, (at, place) in enumerate(asked):
        if position in known or rows[position] in seen:
            keeps[at][place] = False
        seen.add(rows[position])
    return [part if keep.all() else keep_readings(part, keep) for part, keep in zip(parts, keeps, strict=True)]


def _write(cursor: psycopg.Cursor, epoch: Epoch) -> None:
    """All statements of the transaction. Watermarks first: when they fail, nothing else was worth writing."""
    _move_watermarks(cursor, epoch.moves)
    if len(epoch.columns):
        with cursor.copy(queries.READING_COPY) as copy:
            copy.write(pack(epoch.columns))
        _write_summaries(cursor, epoch)
    for statement, rows in (
        (queries.GAP, _gaps(epoch.frames)),
        (queries.QUARANTINE, [_quarantine(frame.quarantine) for frame in epoch.frames if frame.quarantine]),
        (queries.EVENT, [(*row[:14], Jsonb(row.other), *row[15:]) for frame in epoch.frames for row in frame.events]),
        (queries.POSITION, _positions(epoch.frames)),
        (queries.ANOMALY, [(*row[:12], Jsonb(row.evidence)) for frame in epoch.frames for row in frame.anomalies]),
        (queries.PROPOSAL, [(*row[:6], Jsonb(row.evidence), row.triggered)
                            for frame in epoch.frames for row in frame.proposals]),
        (queries.PRESENCE, _presences(epoch.frames)),
    ):  # fmt: skip
        if rows:
            cursor.executemany(statement, rows)
    for notice in epoch.notices:
        payload = msgspec.json.encode(notice)
        assert len(payload) <= NOTIFY_MAX_BYTES
        cursor.execute(queries.NOTIFY, (LIVE_CHANNEL, payload.decode()))


def _move_watermarks(cursor: psycopg.Cursor, moves: list[Move]) -> None:
    """Advance each lane from where we last saw it. Raises FenceLostError when one does not stand there."""
    if not moves:
        return
    # Number 1 opens an incarnation; its lane's older one is closed first, because one is open at a time.
    opening = [move for move in moves if move.from_seq == 1]
    moving = [move for move in moves if move.from_seq != 1]
    if moving and cursor.execute(queries.WATERMARK_MOVE, _columns_of(moving)).rowcount != len(moving):
        msg = "another process moved a watermark of ours"
        raise FenceLostError(msg)
    if opening:
        _open(cursor, opening)
    cursor.execute(queries.BATCH, _columns_of(moves))


def _open(cursor: psycopg.Cursor, opening: list[Move]) -> None:
    """Open incarnations in order; of one lane several may begin and end within one epoch."""
    while opening:
        lanes: set[tuple[str, str, str]] = set()
        now: list[Move] = []
        later: list[Move] = []
        for move in opening:
            lane = (move.tenant, move.gateway, str(move.lane))
            (later if lane in lanes else now).append(move)
            lanes.add(lane)
        cursor.execute(queries.WATERMARK_CLOSE, _columns_of(now))
        if cursor.execute(queries.WATERMARK_OPEN, _columns_of(now)).rowcount != len(now):
            msg = "another process opened a lane of ours"
            raise FenceLostError(msg)
        opening = later


def _columns_of(moves: list[Move]) -> dict[str, list[Any]]:
    return {
        "tenants": [move.tenant for move in moves],
        "gateways": [move.gateway for move in moves],
        "lanes": [str(move.lane) for move in moves],
        "eps": [move.ep for move in moves],
        "firsts": [move.from_seq for move in moves],
        "lasts": [move.to_seq for move in moves],
        "frames": [move.frames for move in moves],
        "readings": [move.readings for move in moves],
        "gaps": [move.gap_frames for move in moves],
        "faults": [move.quarantined for move in moves],
        "digests": [Decimal(move.digest) for move in moves],
    }


def _write_summaries(cursor: psycopg.Cursor, epoch: Epoch) -> None:
    latest = epoch.latest
    if len(latest):
        cursor.execute(
            queries.LATEST,
            {"series": latest.series.tolist(), "times": [moment(us) for us in latest.time_us.tolist()],
             "values": latest.value.tolist(), "qualities": latest.quality.tolist()},
        )  # fmt: skip
    los, his = zip(*epoch.dirty, strict=True)
    cursor.execute(queries.DIRTY, {"lo": list(los), "hi": list(his)})
    cursor.execute(
        queries.DIGEST,
        {"tenants": [digest.tenant for digest in epoch.digests], "gateways": [each.gateway for each in epoch.digests],
         "days": [digest.day for digest in epoch.digests], "counts": [digest.readings for digest in epoch.digests],
         "digests": [Decimal(digest.digest) for digest in epoch.digests]},
    )  # fmt: skip


def _gaps(frames: list[Settled]) -> list[tuple[Any, ...]]:
    return [(*frame.lane, frame.ep, frame.from_seq, frame.to_seq, frame.gap_reason)
            for frame in frames if frame.lane is not None and frame.gap_reason]  # fmt: skip


def _quarantine(row: QuarantineRow) -> tuple[Any, ...]:
    message = row.message
    detail = row.fault.detail[:DETAIL_MAX].replace("\x00", "\ufffd")
    if len(message.payload) > PAYLOAD_KEPT_MAX:
        detail += TRUNCATED
    topic = message.topic.replace("\x00", "\ufffd")
    return (datetime.fromtimestamp(message.received_ms / 1000, UTC), row.tenant, row.gateway, row.lane, row.ep, row.seq,
            topic, row.fault.reason, detail, message.payload[:PAYLOAD_KEPT_MAX], len(message.payload))  # fmt: skip


def _positions(frames: list[Settled]) -> list[tuple[Any, ...]]:
    """The last position of each slot; those before it were never seen by anybody."""
    newest = {(row.tenant, row.gateway, row.slot): row for frame in frames for row in frame.positions}
    return list(newest.values())


def _presences(frames: list[Settled]) -> list[tuple[Any, ...]]:
    newest: dict[GatewayAddress, Sighting] = {
        frame.sighting.address: frame.sighting for frame in frames if frame.sighting is not None
    }
    return [
        (address.tenant, address.gateway, seen.state, from_ms(seen.since) if seen.since else None, seen.boot, seen.mono,
         None if seen.utc is None else from_ms(seen.utc), seen.agent, seen.outbox.frames, seen.outbox.oldest_s,
         Jsonb(msgspec.to_builtins(seen.sent)))
        for address, seen, _ in newest.values()
    ]  # fmt: skip


def moment(us: int) -> datetime:
    """Aware UTC of µs since 1970, exact."""
    return EPOCH + timedelta(microseconds=us)


def from_ms(ms: int) -> datetime:
    """Aware UTC of ms since 1970, exact."""
    return EPOCH + timedelta(milliseconds=ms)
