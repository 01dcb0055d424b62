"""What a transaction writes, statement by statement, in the order in which it must."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, LiteralString

import msgspec
import psycopg
from psycopg.types.json import Jsonb

from contracts.facts import LIVE_CHANNEL, NOTIFY_MAX_BYTES
from stream import queries
from stream.clocks import BOOTS_MAX
from stream.epoch import COPY_HEADER, COPY_TRAILER, Epoch, Move, pack
from stream.facts import Columns, QuarantineRow, Settled, Sighting

if TYPE_CHECKING:
    from contracts.topics import GatewayAddress

PAYLOAD_KEPT_MAX: Final = 64 * 1024
"""Bytes of a message that quarantine keeps; what is longer is cut, and the row says how long it was."""
TRUNCATED: Final = "; payload cut"
NOT_KEPT: Final = "; payload not kept, the gateway has sent too much of this kind"
DETAIL_MAX: Final = 1_000
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class FenceLostError(Exception):
    """Another process owns these buckets now. Not an error of ours: exit, and let it work."""


def write_facts(cursor: psycopg.Cursor, epoch: Epoch) -> None:
    """All that an epoch writes but the readings themselves. Watermarks first: when they fail, the rest is in vain."""
    _move_watermarks(cursor, epoch.moves)
    if len(epoch.columns):
        _write_summaries(cursor, epoch)
    for statement, rows in (
        (queries.GAP, _gaps(epoch.frames)),
        (queries.QUARANTINE, [quarantine_row(frame.quarantine) for frame in epoch.frames if frame.quarantine]),
        (queries.EVENT, [(*row[:14], Jsonb(row.other), *row[15:]) for frame in epoch.frames for row in frame.events]),
        (queries.POSITION, _positions(epoch.frames)),
        (queries.ANOMALY, [(*row[:12], Jsonb(row.evidence)) for frame in epoch.frames for row in frame.anomalies]),
        (queries.DETECTOR_STATE, [each for frame in epoch.frames for each in frame.learnt]),
        (queries.SALES_OFFSET_MOVE, [frame.sales_read for frame in epoch.frames if frame.sales_read is not None]),
        (queries.PROPOSAL, [(*row[:6], Jsonb(row.evidence), row.triggered)
                            for frame in epoch.frames for row in frame.proposals]),
        (queries.ANSWER, [(*row[:4], Jsonb(row.result), *row[5:]) for frame in epoch.frames for row in frame.answers]),
    ):  # fmt: skip
        if rows:
            cursor.executemany(statement, rows)
    _write_presences(cursor, epoch.frames)
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
        copy_rows(cursor, queries.NEWEST_COPY, latest)
        cursor.execute(queries.LATEST)
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


def storable(detail: str) -> str:
    """A text of a fault as the database can hold it."""
    return detail[:DETAIL_MAX].replace("\x00", "\ufffd")


def quarantine_row(row: QuarantineRow) -> tuple[Any, ...]:
    """Values of ``queries.QUARANTINE``."""
    message = row.message
    detail = storable(row.fault.detail)
    kept = message.payload[:PAYLOAD_KEPT_MAX] if row.keeps_payload else b""
    if len(kept) < len(message.payload):
        detail += TRUNCATED if row.keeps_payload else NOT_KEPT
    topic = message.topic.replace("\x00", "\ufffd")
    return (datetime.fromtimestamp(message.received_ms / 1000, UTC), row.tenant, row.gateway, row.lane, row.ep, row.seq,
            topic, row.fault.reason, detail, kept, len(message.payload))  # fmt: skip


def _positions(frames: list[Settled]) -> list[tuple[Any, ...]]:
    """The last position of each slot; those before it were never seen by anybody."""
    newest = {(row.tenant, row.gateway, row.slot): row for frame in frames for row in frame.positions}
    return list(newest.values())


def _write_presences(cursor: psycopg.Cursor, frames: list[Settled]) -> None:
    sightings = [frame.sighting for frame in frames if frame.sighting is not None]
    if not sightings:
        return
    cursor.executemany(queries.PRESENCE, _presences(sightings))
    anchors = {
        (address.tenant, address.gateway, seen.boot): from_ms(seen.utc) - timedelta(milliseconds=seen.mono)
        for address, seen, _ in sightings
        if seen.utc is not None and seen.boot
    }
    if anchors:
        cursor.executemany(queries.ANCHOR, [(*boot, zero_at) for boot, zero_at in anchors.items()])
        gateways = {"tenants": [boot[0] for boot in anchors], "gateways": [boot[1] for boot in anchors]}
        cursor.execute(queries.ANCHORS_FORGET, {**gateways, "most": BOOTS_MAX})


def _presences(sightings: list[Sighting]) -> list[tuple[Any, ...]]:
    newest: dict[GatewayAddress, Sighting] = {sighting.address: sighting for sighting in sightings}
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


def copy_rows(cursor: psycopg.Cursor, statement: LiteralString, columns: Columns) -> None:
    """COPY readings in binary. Raises psycopg.Error."""
    with cursor.copy(statement) as copy:
        copy.write(COPY_HEADER)
        copy.write(pack(columns))
        copy.write(COPY_TRAILER)
