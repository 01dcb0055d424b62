"""The invariants that ``shelfpulse verify`` proves, each read from one snapshot of the database.

I1  the ledger of commits tiles 1 … watermark in every lane, and agrees with the watermark, gaps, quarantine, and with
    what was settled late
I2  what was sent is what was settled, and what was committed is what is stored: content hashes
I4  one live proposal for each (site, SKU), one proposal a cycle
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from contracts.facts import LIVE_PROPOSALS
from contracts.presence import Sent
from stream.digest import reading_digests
from stream.storage import Connection

CHUNK_ROWS: Final = 262_144
"""Rows of readings hashed at once: about 25 MiB with all intermediate arrays."""
BROKEN_MAX: Final = 100
"""Rows named by one check; more of the same kind are counted in the last one."""

_PG_EPOCH_US: Final = 946_684_800_000_000
_DAY_US: Final = 86_400_000_000
_COPY_HEADER_BYTES: Final = 19
_COPY_TRAILER_BYTES: Final = 2
# Binary COPY of (time, series_id, value): number of fields, then length and big-endian value of each.
_ROW: Final = np.dtype(
    [
        ("fields", ">i2"),
        ("time_bytes", ">i4"),
        ("time", ">i8"),
        ("series_bytes", ">i4"),
        ("series", ">i4"),
        ("value_bytes", ">i4"),
        ("value", ">f8"),
    ]
)

LANE_COUNT: Final = "SELECT count(*) FROM ingest_watermark"
BATCH_COUNT: Final = "SELECT count(*) FROM ingest_batch"
HOLES: Final = """
    SELECT tenant_id, gateway_id, lane, ep, expected, from_seq, to_seq FROM (
        SELECT tenant_id, gateway_id, lane, ep, from_seq, to_seq, batch_id,
               lag(to_seq, 1, 0::bigint) OVER (
                   PARTITION BY tenant_id, gateway_id, lane, ep ORDER BY from_seq, batch_id
               ) + 1 AS expected
        FROM ingest_batch
    ) AS step
    WHERE from_seq <> expected
    ORDER BY tenant_id, gateway_id, lane, ep, batch_id
"""
# Each row of the ledger, of the gaps and of the quarantine must be accounted for by a watermark, and the other way
# round. A gap is one message for many sequence numbers, hence the last column.
ACCOUNTS: Final = """
    WITH ledger AS (
        SELECT tenant_id, gateway_id, lane, ep, max(to_seq) AS seq, sum(to_seq - from_seq + 1) AS frames,
               sum(readings) AS readings, sum(gap_frames) AS gap_frames, sum(quarantined) AS quarantined,
               sum(frame_digest) % 18446744073709551616 AS frame_digest
        FROM ingest_batch GROUP BY 1, 2, 3, 4
    ), gap AS (
        SELECT tenant_id, gateway_id, lane, ep, count(*) AS messages, sum(to_seq - from_seq + 1) AS frames
        FROM ingest_gap GROUP BY 1, 2, 3, 4
    ), held AS (
        SELECT tenant_id, gateway_id, lane, ep, count(*) AS frames, count(*) FILTER (WHERE state = 'retried') AS retried
        FROM quarantine WHERE seq IS NOT NULL GROUP BY 1, 2, 3, 4
    ), late AS (
        SELECT tenant_id, gateway_id, lane, ep, sum(held - released - quarantined) AS waiting,
               sum(quarantined) AS quarantined, sum(retried) AS retried, sum(readings) AS readings
        FROM ingest_late GROUP BY 1, 2, 3, 4
    ), waiting AS (
        SELECT tenant_id, gateway_id, lane, ep, count(*) AS frames FROM unsynced_frame GROUP BY 1, 2, 3, 4
    )
    SELECT tenant_id, gateway_id, lane, ep, number, name, coalesce(found, 0), coalesce(expected, 0)
    FROM ingest_watermark w
    FULL JOIN ledger USING (tenant_id, gateway_id, lane, ep)
    FULL JOIN gap USING (tenant_id, gateway_id, lane, ep)
    FULL JOIN held USING (tenant_id, gateway_id, lane, ep)
    FULL JOIN late USING (tenant_id, gateway_id, lane, ep)
    FULL JOIN waiting USING (tenant_id, gateway_id, lane, ep),
    LATERAL (VALUES
        (1, 'last seq of the ledger, and the watermark', ledger.seq, w.seq::numeric),
        (2, 'frames in the ledger, and the watermark', ledger.frames, w.seq),
        (3, 'readings in the ledger, and at the watermark', ledger.readings + coalesce(late.readings, 0), w.readings),
        (4, 'gap frames in the ledger, and at the watermark', ledger.gap_frames, w.gap_frames),
        (5, 'gap frames declared, and at the watermark', gap.frames, w.gap_frames),
        (6, 'quarantined frames in the ledger, and at the watermark',
            ledger.quarantined + coalesce(late.quarantined, 0), w.quarantined),
        (7, 'frames in quarantine, and at the watermark', held.frames, w.quarantined),
        (8, 'digest of the ledger, and of the watermark', ledger.frame_digest, w.frame_digest),
        (9, 'messages settled, and at the watermark', w.seq - w.gap_frames + coalesce(gap.messages, 0), w.frames),
        (10, 'frames that wait for their clock, and in the ledger', waiting.frames, late.waiting),
        (11, 'frames retried from quarantine, and in the ledger', held.retried, late.retried)
    ) AS said (number, name, found, expected)
    WHERE coalesce(found, 0) <> coalesce(expected, 0)
    ORDER BY tenant_id, gateway_id, lane, ep, number
"""
WATERMARKS: Final = """
    SELECT tenant_id, gateway_id, lane, ep, seq, readings, gap_frames, quarantined, frame_digest, (
        SELECT count(*) FROM unsynced_frame f
        WHERE (f.tenant_id, f.gateway_id, f.lane, f.ep) = (w.tenant_id, w.gateway_id, w.lane, w.ep)
    ) FROM ingest_watermark w
"""
SENT: Final = "SELECT tenant_id, gateway_id, sent FROM gateway_presence"
SERIES: Final = "SELECT series_id, tenant_id, gateway_id FROM series"
RAW_FROM: Final = "SELECT raw_from FROM storage_state"
READINGS: Final = "COPY (SELECT time, series_id, value FROM reading {where}) TO STDOUT (FORMAT BINARY)"
READINGS_SINCE: Final = "WHERE time >= '{raw_from}'"
DIGESTS: Final = """
    SELECT tenant_id, gateway_id, day, readings, reading_digest FROM ingest_digest
    WHERE %(day)s::date IS NULL OR day >= %(day)s
"""
# Readings of plain devices are in the digest and in no lane, so the lanes may have fewer, never more.
LANES_WITHOUT_READINGS: Final = """
    SELECT tenant_id, gateway_id, lanes.readings, coalesce(stored.readings, 0) FROM
        (SELECT tenant_id, gateway_id, sum(readings) AS readings FROM ingest_watermark GROUP BY 1, 2) AS lanes
        LEFT JOIN (SELECT tenant_id, gateway_id, sum(readings) AS readings FROM ingest_digest GROUP BY 1, 2) AS stored
        USING (tenant_id, gateway_id)
    WHERE lanes.readings > coalesce(stored.readings, 0)
    ORDER BY 1, 2
"""
PROPOSAL_COUNT: Final = "SELECT count(*) FROM proposal"
LIVE_TWICE: Final = """
    SELECT tenant_id, site_id, sku, array_agg(proposal_id::text ORDER BY created_at) FROM proposal
    WHERE state = ANY(%(live)s) GROUP BY 1, 2, 3 HAVING count(*) > 1 ORDER BY 1, 2, 3
"""
CYCLE_TWICE: Final = """
    SELECT tenant_id, site_id, sku, cycle, array_agg(proposal_id::text ORDER BY created_at) FROM proposal
    GROUP BY 1, 2, 3, 4 HAVING count(*) > 1 ORDER BY 1, 2, 3, 4
"""

LaneKey = tuple[str, str, str, str]
"""Tenant, gateway, lane, ep."""
DayKey = tuple[str, str, date]
"""Tenant, gateway, UTC day."""


class Broken(msgspec.Struct, frozen=True):
    """One thing that does not hold: which invariant, where (tenant/gateway/lane/ep and the like), and what is wrong."""

    invariant: str
    where: str
    what: str


class Account(msgspec.Struct, frozen=True):
    """What a gateway says that it wrote to one lane: a line of a ledger file.

    ``digest`` is hexadecimal, as in presence; ``acked`` is the highest watermark that the gateway was told.
    """

    tenant: str
    gateway: str
    lane: str
    ep: str
    seq: int
    digest: str = ""
    readings: int | None = None
    acked: int = 0


class Lane(msgspec.Struct, frozen=True):
    """What the database says of one incarnation of a lane. ``waiting`` frames will bring their readings later."""

    seq: int
    readings: int
    gap_frames: int
    quarantined: int
    digest: int
    waiting: int


def prove_ledger(snapshot: Connection) -> Iterator[Broken]:
    """I1: the ranges tile 1 … watermark without hole or overlap, and every account of them agrees."""
    for tenant, gateway, lane, ep, expected, from_seq, to_seq in snapshot.execute(HOLES):
        wrong = "missing" if from_seq > expected else "twice"
        lo, hi = (expected, from_seq - 1) if from_seq > expected else (from_seq, min(to_seq, expected - 1))
        yield Broken("I1", f"{tenant}/{gateway}/{lane}/{ep}", f"frames {lo} … {hi} are {wrong} in the ledger")
    for tenant, gateway, lane, ep, _, name, found, expected in snapshot.execute(ACCOUNTS):
        yield Broken("I1", f"{tenant}/{gateway}/{lane}/{ep}", f"{name} differ: {found} and {expected}")


def prove_accounts(snapshot: Connection, accounts: Iterable[Account]) -> Iterator[Broken]:
    """I1 and I2 against what gateways say in ledger files: all that they wrote is there, and nothing else."""
    lanes = committed_lanes(snapshot)
    for account in accounts:
        key = (account.tenant, account.gateway, account.lane, account.ep)
        lane = lanes.get(key, Lane(0, 0, 0, 0, 0, 0))
        where = "/".join(key)
        if lane.seq < account.acked:
            yield Broken("I1", where, f"{account.acked} frames were acknowledged, {lane.seq} are committed")
        if lane.seq != account.seq:
            yield Broken("I1", where, f"{account.seq} frames were written, {lane.seq} are committed")
        elif _is_whole(lane) and account.readings not in {None, lane.readings}:
            yield Broken("I1", where, f"{account.readings} readings were written, {lane.readings} are committed")
        if account.digest and lane.seq == account.seq and not same_content(lane, account.digest):
            yield Broken("I2", where, f"the digest of what was sent is {account.digest}, settled is {lane.digest:x}")


def prove_sent(snapshot: Connection) -> Iterator[Broken]:
    """I2: what a gateway says in its presence that it sent is what was settled, where both stand at the same frame."""
    lanes = committed_lanes(snapshot)
    for tenant, gateway, sent in snapshot.execute(SENT):
        for name, account in msgspec.convert(sent, dict[str, Sent]).items():
            lane = lanes.get((tenant, gateway, name, account.ep))
            if lane is None or lane.seq != account.seq or account.gaps or same_content(lane, account.digest):
                continue
            yield Broken(
                "I2",
                f"{tenant}/{gateway}/{name}/{account.ep}",
                f"the digest of what was sent is {account.digest}, settled is {lane.digest:x}, both at {lane.seq}",
            )


class Readings:
    """I2: readings as they are stored, hashed anew and compared with what the commits said. ``rows`` are those read."""

    def __init__(self) -> None:
        self.rows = 0

    def prove(self, snapshot: Connection) -> Iterator[Broken]:
        """Compare each gateway and UTC day that retention has left alone."""
        row = snapshot.execute(RAW_FROM).fetchone()
        assert row is not None
        raw_from: datetime | None = row[0]
        gateways, of_series = _gateways(snapshot)
        day = None if raw_from is None else raw_from.astimezone(UTC).date()
        said = {
            (tenant, gateway, day): (readings, int(digest))
            for tenant, gateway, day, readings, digest in snapshot.execute(DIGESTS, {"day": day})
        }
        found = self._stored(snapshot, raw_from, gateways, of_series)
        for key in sorted(said.keys() | found.keys()):
            yield from _compared(key, said.get(key, (0, 0)), found.get(key, (0, 0)))
        if raw_from is None:
            for tenant, gateway, lanes, stored in snapshot.execute(LANES_WITHOUT_READINGS):
                yield Broken("I2", f"{tenant}/{gateway}", f"lanes committed {lanes} readings, only {stored} are stored")

    def _stored(
        self,
        snapshot: Connection,
        raw_from: datetime | None,
        gateways: list[tuple[str, str]],
        of_series: npt.NDArray[np.int64],
    ) -> dict[DayKey, tuple[int, int]]:
        sums: dict[int, tuple[int, int]] = {}
        for rows in _chunks(snapshot, raw_from):
            self.rows += len(rows)
            for place, count, digest in _summed(rows, of_series):
                before = sums.get(place, (0, 0))
                sums[place] = (before[0] + count, (before[1] + digest) % 2**64)
        return {_day_key(place, gateways): total for place, total in sums.items()}


def prove_proposals(snapshot: Connection) -> Iterator[Broken]:
    """I4: never two live proposals for one SKU of a site, never two of one cycle."""
    live = [str(state) for state in LIVE_PROPOSALS]
    for tenant, site, sku, ids in snapshot.execute(LIVE_TWICE, {"live": live}):
        yield Broken("I4", f"{tenant}/{site}/{sku}", f"{len(ids)} live proposals: {', '.join(ids)}")
    for tenant, site, sku, cycle, ids in snapshot.execute(CYCLE_TWICE):
        yield Broken("I4", f"{tenant}/{site}/{sku}", f"{len(ids)} proposals of cycle {cycle}: {', '.join(ids)}")


def bounded(broken: Iterable[Broken]) -> list[Broken]:
    """The first ``BROKEN_MAX``, and how many more there are."""
    kept: list[Broken] = []
    more = 0
    for one in broken:
        if len(kept) < BROKEN_MAX:
            kept.append(one)
        else:
            more += 1
    if more:
        kept.append(Broken(kept[-1].invariant, "…", f"and {more} more"))
    return kept


def count(snapshot: Connection, query: str) -> int:
    """The number that a query counts."""
    row = snapshot.execute(query.encode()).fetchone()
    assert row is not None
    return int(row[0])


def committed_lanes(snapshot: Connection) -> dict[LaneKey, Lane]:
    """Every incarnation of every lane."""
    return {
        (tenant, gateway, lane, ep): Lane(seq, readings, gap_frames, quarantined, int(digest), waiting)
        for tenant, gateway, lane, ep, seq, readings, gap_frames, quarantined, digest, waiting in snapshot.execute(
            WATERMARKS
        )
    }


def _is_whole(lane: Lane) -> bool:
    """Whether every frame of the lane brought its readings."""
    return not (lane.gap_frames or lane.quarantined or lane.waiting)


def same_content(lane: Lane, digest: str) -> bool:
    """Whether what was sent, by the sum of its digests, is what was settled; not told apart when there are gaps."""
    # A lane with a gap of any reason is not compared, because neither side can have the other's sum in general:
    # - evicted, refused: the gateway's sum has the gap in place of its frames, as ours has, unless some of them were
    #   settled before without the gateway having heard of it; then ours has both;
    # - released (this database went back): the gateway's sum still has the frames, which it has deleted, so that it
    #   cannot take their share out; ours has the gap.
    # That nothing beyond the gap is missing is proved by I1, and by the digests of readings that are stored.
    return lane.gap_frames > 0 or lane.digest == int(digest, 16)


def _gateways(snapshot: Connection) -> tuple[list[tuple[str, str]], npt.NDArray[np.int64]]:
    """Gateways by number, the last being none; and the number of each series' gateway, by series id."""
    rows = snapshot.execute(SERIES).fetchall()
    gateways = sorted({(tenant, gateway) for _, tenant, gateway in rows})
    numbers = {gateway: number for number, gateway in enumerate(gateways)}
    of_series = np.full(max((row[0] for row in rows), default=0) + 2, len(gateways), np.int64)
    for series, tenant, gateway in rows:
        of_series[series] = numbers[tenant, gateway]
    return [*gateways, ("", "")], of_series


def _chunks(snapshot: Connection, raw_from: datetime | None) -> Iterator[npt.NDArray[np.void]]:
    where = "" if raw_from is None else READINGS_SINCE.format(raw_from=raw_from.isoformat())
    kept = bytearray()
    skip = _COPY_HEADER_BYTES
    with snapshot.cursor() as cursor, cursor.copy(READINGS.format(where=where).encode()) as copy:
        for block in copy:
            kept += block
            if len(kept) >= CHUNK_ROWS * _ROW.itemsize + _COPY_HEADER_BYTES:
                rows = (len(kept) - skip) // _ROW.itemsize
                yield np.frombuffer(bytes(kept[: skip + rows * _ROW.itemsize]), _ROW, offset=skip)
                del kept[: skip + rows * _ROW.itemsize]
                skip = 0
    yield np.frombuffer(bytes(kept[skip:-_COPY_TRAILER_BYTES]), _ROW)


def _summed(rows: npt.NDArray[np.void], of_series: npt.NDArray[np.int64]) -> Iterator[tuple[int, int, int]]:
    """Place (gateway number and day in one), count and digest sum of the rows."""
    if not len(rows):
        return
    time_us = rows["time"].astype(np.int64) + _PG_EPOCH_US
    series = rows["series"].astype(np.int32)
    digests = reading_digests(series, time_us, rows["value"].astype(np.float64))
    # An id beyond the array, or none of ours, counts for no gateway at all.
    known = np.where((series >= 0) & (series < len(of_series)), series, len(of_series) - 1)
    place = of_series[known] * _DAYS + time_us // _DAY_US
    order = np.argsort(place, kind="stable")
    places, starts, counts = np.unique(place[order], return_index=True, return_counts=True)
    sums = np.add.reduceat(digests[order], starts)
    yield from zip(places.tolist(), counts.tolist(), sums.tolist(), strict=True)


_DAYS: Final = 4_000_000
"""More days since 1970 than a timestamp of PostgreSQL reaches within the year 9999."""


def _day_key(place: int, gateways: list[tuple[str, str]]) -> DayKey:
    number, day = divmod(place, _DAYS)
    return (*gateways[number], date.fromordinal(date(1970, 1, 1).toordinal() + day))


def _compared(key: DayKey, said: tuple[int, int], found: tuple[int, int]) -> Iterator[Broken]:
    tenant, gateway, day = key
    where = f"{tenant}/{gateway}/{day}" if gateway else f"series of no gateway/{day}"
    if said[0] != found[0]:
        yield Broken("I2", where, f"{said[0]} readings were committed, {found[0]} are stored")
    elif said[1] != found[1]:
        yield Broken(
            "I2", where, f"the {found[0]} readings stored are not those committed: {found[1]:x} and {said[1]:x}"
        )
