"""Everything that one transaction writes, computed from the facts of an epoch. Pure.

Rows of readings stay numpy arrays down to the bytes of PostgreSQL's binary COPY.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from contracts.facts import LiveNotice
from contracts.frames import Quality
from contracts.topics import Lane
from stream.digest import reading_digests
from stream.facts import Bundle, Columns, Settled, join_columns

COPY_HEADER: Final = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
COPY_TRAILER: Final = b"\xff\xff"
PG_EPOCH_US: Final = 946_684_800_000_000
"""2000-01-01 UTC, from which PostgreSQL counts, in µs since 1970."""
SITES_NAMED_MAX: Final = 50
DIGEST_MODULUS: Final = 2**64
_HOUR_US: Final = 3_600_000_000
_DAY_US: Final = 24 * _HOUR_US
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# One row of COPY: the number of fields, then length and big-endian value of each.
_ROW: Final = np.dtype(
    [
        ("fields", ">i2"),
        ("time_bytes", ">i4"),
        ("time", ">i8"),
        ("series_bytes", ">i4"),
        ("series", ">i4"),
        ("value_bytes", ">i4"),
        ("value", ">f8"),
        ("quality_bytes", ">i4"),
        ("quality", ">i2"),
    ]
)
_ROW_BLANK: Final = np.array([(4, 8, 0, 4, 0, 8, 0.0, 2, 0)], _ROW)


class Part(NamedTuple):
    """Facts of one step; the frames' slices tile the columns."""

    columns: Columns
    frames: list[Settled]


@dataclass(slots=True)
class Move:
    """How far one incarnation of a lane advances in this transaction; counts and digest are of what it adds."""

    tenant: str
    gateway: str
    site: str
    lane: Lane
    ep: str
    from_seq: int
    to_seq: int = 0
    frames: int = 0
    readings: int = 0
    gap_frames: int = 0
    quarantined: int = 0
    digest: int = 0


class DayDigest(NamedTuple):
    """What the readings of one gateway and UTC day add up to."""

    tenant: str
    gateway: str
    day: date
    readings: int
    digest: int


@dataclass(slots=True)
class Epoch:
    """Content of one transaction. ``moves`` in order: of one lane the older incarnation first."""

    columns: Columns
    frames: list[Settled]
    moves: list[Move]
    digests: list[DayDigest]
    latest: Columns
    dirty: list[tuple[datetime, datetime]]
    notices: list[LiveNotice] = field(default_factory=list)


def build(parts: list[Part]) -> Epoch:
    """The transaction that settles all frames of ``parts``."""
    columns = join_columns([part.columns for part in parts])
    frames = [frame for part in parts for frame in part.frames]
    epoch = Epoch(
        columns, frames, _moves(frames), _digests(parts), newest_good(columns), dirty_ranges(columns.time_us)
    )  # fmt: skip
    epoch.notices = _notices(epoch)
    return epoch


def pack(columns: Columns) -> bytes:
    """Readings as rows of a binary COPY (time, series_id, value, quality), between its header and its trailer."""
    rows = np.empty(len(columns), _ROW)
    rows[:] = _ROW_BLANK
    rows["time"] = columns.time_us - PG_EPOCH_US
    rows["series"] = columns.series
    rows["value"] = columns.value
    rows["quality"] = columns.quality
    return rows.tobytes()


def keep_readings(part: Part, keep: npt.NDArray[np.bool_]) -> Part:
    """The part without the readings that ``keep`` leaves out; frames keep their place."""
    places = np.concatenate([[0], np.cumsum(keep)])
    frames = [replace(frame, lo=int(places[frame.lo]), hi=int(places[frame.hi])) for frame in part.frames]
    return Part(part.columns.take(keep), frames)


def size_of(parts: Iterable[Part]) -> int:
    """Into how many transactions the parts can be cut: frames, and each message of a bundle."""
    return sum(_size_of(frame) for part in parts for frame in part.frames)


def halves(parts: list[Part]) -> tuple[list[Part], list[Part]]:
    """Two smaller transactions that settle the same frames and messages in the same order."""
    total = size_of(parts)
    assert total > 1
    return _frames_between(parts, 0, total // 2), _frames_between(parts, total // 2, total)


def newest_good(columns: Columns) -> Columns:
    """For each series its newest reading that is not bad."""
    good = columns if not columns.quality.any() else columns.take(columns.quality != Quality.BAD)
    ids, inverse = np.unique(good.series, return_inverse=True)
    newest = np.full(len(ids), np.iinfo(np.int64).min)
    np.maximum.at(newest, inverse, good.time_us)
    at_newest = np.flatnonzero(good.time_us == newest[inverse])
    chosen = np.zeros(len(ids), np.int64)
    # Of equal times the later arrival is written last, so it stays.
    chosen[inverse[at_newest]] = at_newest
    return Columns(good.time_us[chosen], good.series[chosen], good.value[chosen], good.quality[chosen])


def dirty_ranges(time_us: npt.NDArray[np.int64]) -> list[tuple[datetime, datetime]]:
    """Earliest and latest reading of each run of neighbouring hours, so that a late reading stays a small range."""
    if len(time_us) == 0:
        return []
    hours = time_us // _HOUR_US
    first = int(np.min(hours))
    touched = np.zeros(int(np.max(hours)) - first + 1, np.bool_)
    touched[hours - first] = True
    at = np.flatnonzero(touched)
    ranges = []
    for run in np.split(at, np.flatnonzero(np.diff(at) > 1) + 1):
        inside = time_us if len(run) == len(at) else time_us[(hours >= first + run[0]) & (hours <= first + run[-1])]
        ranges.append((_moment(int(np.min(inside))), _moment(int(np.max(inside)))))
    return ranges


def _frames_between(parts: list[Part], start: int, stop: int) -> list[Part]:
    chosen, at = [], 0
    for part in parts:
        inside = []
        for frame in part.frames:
            size = _size_of(frame)
            first, last = max(start - at, 0), min(stop - at, size)
            at += size
            if first < last:
                inside.append(frame if last - first == size else _share(frame, first, last))
        if not inside:
            continue
        keep = np.zeros(len(part.columns), np.bool_)
        for frame in inside:
            keep[frame.lo : frame.hi] = True
        chosen.append(keep_readings(Part(part.columns, inside), keep))
    return chosen


def _size_of(frame: Settled) -> int:
    return 1 if frame.bundle is None else len(frame.bundle.messages)


def _share(frame: Settled, first: int, last: int) -> Settled:
    """A bundle's messages ``first:last`` with their readings."""
    assert frame.bundle is not None
    messages, counts = frame.bundle
    lo = frame.lo + sum(counts[:first])
    hi = lo + sum(counts[first:last])
    return replace(frame, lo=lo, hi=hi, bundle=Bundle(messages[first:last], counts[first:last]))


def _moves(frames: Iterable[Settled]) -> list[Move]:
    moves: dict[tuple[str, str, Lane, str], Move] = {}
    for frame in frames:
        if frame.lane is None:
            continue
        key = (*frame.lane, frame.ep)
        move = moves.get(key)
        if move is None:
            move = moves[key] = Move(
                frame.tenant, frame.gateway, frame.site, frame.lane.lane, frame.ep, frame.from_seq, frame.from_seq - 1
            )  # fmt: skip
        assert frame.from_seq == move.to_seq + 1, "a lane only advances from its watermark"
        move.to_seq = frame.to_seq
        move.frames += 1
        move.readings += frame.hi - frame.lo
        if frame.gap_reason:
            move.gap_frames += frame.to_seq - frame.from_seq + 1
        elif frame.quarantine is not None:
            move.quarantined += 1
        move.digest = (move.digest + frame.digest) % DIGEST_MODULUS
    return list(moves.values())


def _digests(parts: list[Part]) -> list[DayDigest]:
    sums: dict[tuple[str, str, int], list[int]] = {}
    for columns, frames in parts:
        bearing = [frame for frame in frames if frame.hi > frame.lo]
        if not bearing:
            continue
        hashes = reading_digests(columns.series, columns.time_us, columns.value)
        days = columns.time_us // _DAY_US
        starts = np.array([frame.lo for frame in bearing])
        totals = np.add.reduceat(hashes, starts).tolist()
        firsts = np.minimum.reduceat(days, starts).tolist()
        lasts = np.maximum.reduceat(days, starts).tolist()
        for frame, total, first, last in zip(bearing, totals, firsts, lasts, strict=True):
            if first == last:
                _add(sums, frame, first, frame.hi - frame.lo, total)
                continue
            for day in range(first, last + 1):
                of_day = days[frame.lo : frame.hi] == day
                part = int(hashes[frame.lo : frame.hi][of_day].sum(dtype=np.uint64))
                _add(sums, frame, day, int(of_day.sum()), part)
    return [
        DayDigest(tenant, gateway, (_EPOCH + timedelta(days=day)).date(), count, total % DIGEST_MODULUS)
        for (tenant, gateway, day), (count, total) in sums.items()
        if count
    ]


def _add(sums: dict[tuple[str, str, int], list[int]], frame: Settled, day: int, count: int, total: int) -> None:
    entry = sums.setdefault((frame.tenant, frame.gateway, day), [0, 0])
    entry[0] += count
    entry[1] += total


def _notices(epoch: Epoch) -> list[LiveNotice]:
    sites: dict[str, set[str]] = {}
    counts: dict[str, list[int]] = {}
    for frame in epoch.frames:
        if not frame.tenant:
            continue
        if frame.site:
            sites.setdefault(frame.tenant, set()).add(frame.site)
        of_tenant = counts.setdefault(frame.tenant, [0, 0, 0, 0, 0])
        of_tenant[0] += frame.hi - frame.lo
        of_tenant[1] += len(frame.events)
        of_tenant[2] += len(frame.anomalies)
        of_tenant[3] += len(frame.proposals)
        of_tenant[4] += frame.quarantine is not None
    notices = []
    for tenant, (readings, events, anomalies, proposals, quarantined) in counts.items():
        named = sorted(sites.get(tenant, ()))
        notices.append(
            LiveNotice(tenant, named if len(named) <= SITES_NAMED_MAX else ["*"], readings, events, anomalies,
                       proposals, quarantined)
        )  # fmt: skip
    return notices


def _moment(us: int) -> datetime:
    return _EPOCH + timedelta(microseconds=us)
