"""What the dataflow must know of the world: gateways, slots, policies, proposals, series. From memory, kept fresh.

A thread listens for NOTIFY and reads everything anew on one, and every minute whether or not one came; readers see
one immutable ``Snapshot`` after another. Shelves whose events another process reads are looked up every second, because
the refill of a site counts all of its shelves. Series are created here, once for every new channel.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final, LiteralString
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import numpy.typing as npt
import psycopg
import structlog

from contracts.facts import CONTROL_CHANNEL, AnomalyKind, ProposalState
from contracts.ids import bucket_of
from contracts.topics import Lane
from stream import clean, queries
from stream.connecting import connect
from stream.control_data import (
    Beginning,
    ChannelSetting,
    Elsewhere,
    PlannedPromotion,
    SiteSku,
    Slot,
    Snapshot,
    StoredPosition,
    strictness_of,
)
from stream.endings import DatabaseAwayError, StoppedError
from stream.facts import AnomalyRow, ChannelSet, Fault, LaneId, PositionRow
from stream.fence import ALL, Span, bucket_of_site
from stream.replenish import Policy, PolicyMode, Proposal
from stream.rows import FenceLostError
from stream.sequence import LaneState
from stream.settings import CONTROL_REFRESH_S, RETRY_FIRST_S, RETRY_LONGEST_S

log = structlog.get_logger()

CONTROL: Final = "shelfpulse-stream-control"
SERIES: Final = "shelfpulse-stream-series"
"""Names of our connections."""
CHANNEL_SETS_CACHED_MAX: Final = 100_000
_LISTEN_S: Final = 1.0
RECENT_S: Final = 15.0
"""How far back shelves of other processes are looked for each second: an epoch that took longer to commit is seen with
the next minute's look at all of them."""
LABEL_LIFE: Final = timedelta(days=30)
"""A label counts for so long: whom people silenced is heard again, and may be silenced again (ISA-18.2: shelving)."""


class Control:
    """Control data of one process. ``start`` before use; thread-safe for readers.

    ``dsn`` libpq URL; ``patience_s``: how long creating a series is tried again while the database is away; ``span``:
    buckets whose frames this process reads.
    """

    def __init__(self, dsn: str, patience_s: float, stopping: threading.Event, span: Span = ALL) -> None:
        self._dsn = dsn
        self._patience_s = patience_s
        self._stopping = stopping
        self._span = span
        self._snapshot = Snapshot()
        self._series: dict[tuple[str, str], dict[str, int]] = {}
        self._by_channels: dict[ChannelSet, npt.NDArray[np.int32]] = {}
        self._names: dict[int, tuple[str, str, str]] = {}
        self._writing: psycopg.Connection | None = None
        self._highest = 0

    @property
    def snapshot(self) -> Snapshot:
        """The newest control data."""
        return self._snapshot

    def gateway(self, tenant: str, gateway: str) -> clean.Gateway | None:
        """The registered gateway of that name."""
        return self._snapshot.gateways.get((tenant, gateway))

    def is_backfill(self, tenant: str, gateway: str, ep: str) -> bool:
        """Whether frames of this incarnation ('' for plain readings) may be older than retention."""
        return (tenant, gateway, ep) in self._snapshot.backfills

    def channels(self, tenant: str, gateway: str) -> Mapping[str, int]:
        """Series of the gateway's known channels; what becomes known later is seen in it too."""
        return self._series.setdefault((tenant, gateway), {})

    def series(self, wanted: Sequence[ChannelSet]) -> list[npt.NDArray[np.int32] | Fault]:
        """Ids of the series of each set, shape (len(channels),); all that are new are created at once."""
        new: dict[tuple[str, str], set[str]] = {}
        faults: dict[ChannelSet, Fault] = {}
        for each in wanted:
            if each in self._by_channels:
                continue
            known = self._series.get((each.tenant, each.gateway), {})
            missing = {channel for channel in each.channels if channel not in known}
            if missing:
                planned = new.setdefault((each.tenant, each.gateway), set())
                fault = clean.check_channels(len(known) + len(planned), len(missing - planned))
                if fault is None:
                    planned |= missing
                else:
                    faults[each] = fault
        names = [(*owner, channel) for owner, channels in new.items() for channel in sorted(channels)]
        if names:
            self._create_series(names)
        return [faults.get(each) or self._ids(each) for each in wanted]

    def _ids(self, each: ChannelSet) -> npt.NDArray[np.int32]:
        ids = self._by_channels.get(each)
        if ids is None:
            if len(self._by_channels) >= CHANNEL_SETS_CACHED_MAX:
                self._by_channels.clear()
            known = self._series[each.tenant, each.gateway]
            ids = self._by_channels[each] = np.array([known[channel] for channel in each.channels], np.int32)
        return ids

    def name_of(self, series_id: int) -> tuple[str, str, str]:
        """Tenant, gateway and channel of a series that ``series`` has named."""
        return self._names[series_id]

    def start(self) -> Beginning:
        """Read everything once, then keep it fresh from a daemon thread. Raises psycopg.Error."""
        with connect(self._dsn, CONTROL, autocommit=True) as connection:
            self._refresh(connection)
            for tenant, gateway, channel, series_id in connection.execute(queries.SERIES):
                self._learn(tenant, gateway, channel, series_id)
            beginning = read_beginning(connection)
        threading.Thread(target=self._watch, name="control", daemon=True).start()
        return beginning

    def _learn(self, tenant: str, gateway: str, channel: str, series_id: int) -> None:
        self._series.setdefault((tenant, gateway), {})[channel] = series_id
        self._names[series_id] = (tenant, gateway, channel)
        self._highest = max(series_id, self._highest)

    def check(self, connection: psycopg.Connection) -> None:
        """Find out, on a new connection, whether the database still knows the newest of our series.

        One that was restored to an earlier time gives its number to another. Raises FenceLostError: who begins anew
        reads what there is now.
        """
        if self._highest:
            row = connection.execute(queries.SERIES_NAME, {"series": self._highest}).fetchone()
            if row != self._names[self._highest]:
                msg = f"the database went back to an earlier time: series {self._highest} is not what it was"
                raise FenceLostError(msg)

    def _create_series(self, names: list[tuple[str, str, str]]) -> None:
        """Insert series and learn their ids; waits for the database as an epoch does.

        Raises StoppedError and DatabaseAwayError as an epoch does, psycopg.Error for what is wrong with the schema.
        """
        tenants, gateways, channels = (list(column) for column in zip(*names, strict=True))
        named = {"tenants": tenants, "gateways": gateways, "channels": channels}
        deadline = time.monotonic() + self._patience_s
        pause_s = RETRY_FIRST_S
        while True:
            try:
                if self._writing is None or self._writing.closed:
                    self._writing = None
                    connection = connect(self._dsn, SERIES, autocommit=True)
                    self.check(connection)
                    self._writing = connection
                self._writing.execute(queries.SERIES_INSERT, named)
                for tenant, gateway, channel, series_id in self._writing.execute(queries.SERIES_NAMED, named):
                    self._learn(tenant, gateway, channel, series_id)
            except psycopg.OperationalError as error:
                log.warning("series_delayed", error=str(error).strip())
                if time.monotonic() > deadline:
                    msg = f"away for {self._patience_s:.0f} s: {error}"
                    raise DatabaseAwayError(msg) from error
                if self._stopping.wait(pause_s):
                    raise StoppedError from error
                pause_s = min(pause_s * 2, RETRY_LONGEST_S)
                if self._writing is not None:
                    with suppress(psycopg.Error):
                        self._writing.close()
            else:
                log.info("series_created", gateways=len(set(gateways)), channels=len(names))
                return

    def _watch(self) -> None:
        pause_s = RETRY_FIRST_S
        while not self._stopping.is_set():
            try:
                with connect(self._dsn, CONTROL, autocommit=True) as connection:
                    connection.execute(f"LISTEN {CONTROL_CHANNEL}")
                    self._refresh(connection)
                    pause_s = RETRY_FIRST_S
                    self._follow(connection)
            except psycopg.Error as error:
                log.warning("control_lost", error=str(error).strip())
            except ValueError:
                # A word of another release: what is known stays until it is gone.
                log.exception("control_unreadable")
            self._stopping.wait(pause_s)
            pause_s = min(pause_s * 2, RETRY_LONGEST_S)

    def _follow(self, connection: psycopg.Connection) -> None:
        refreshed = time.monotonic()
        while not self._stopping.is_set():
            told = sum(1 for _ in connection.notifies(timeout=_LISTEN_S, stop_after=1))
            if told or time.monotonic() - refreshed >= CONTROL_REFRESH_S:
                self._refresh(connection)
                refreshed = time.monotonic()
            elif self._span != ALL:
                self._look_elsewhere(connection)

    def _refresh(self, connection: psycopg.Connection) -> None:
        elsewhere = {} if self._span == ALL else read_elsewhere(connection, self._span, queries.POSITIONS)
        self._snapshot = read_snapshot(connection, self._snapshot.version + 1, elsewhere)

    def _look_elsewhere(self, connection: psycopg.Connection) -> None:
        """Take in what other processes committed of shelves lately."""
        known = self._snapshot.elsewhere
        recent = read_elsewhere(connection, self._span, queries.POSITIONS_RECENT)
        changed = {
            bucket: known.get(bucket, {}) | rows
            for bucket, rows in recent.items()
            if any(known.get(bucket, {}).get(place) != row for place, row in rows.items())
        }
        if changed:
            version = self._snapshot.version + 1
            self._snapshot = replace(self._snapshot, version=version, elsewhere=known | changed)


def read_elsewhere(connection: psycopg.Connection, span: Span, statement: LiteralString) -> Elsewhere:
    """Shelves of sites within ``span`` whose gateways are not. Raises psycopg.Error."""
    found: Elsewhere = {}
    for values in connection.execute(statement, {"recent_s": RECENT_S}):
        row = PositionRow(*values)
        bucket = bucket_of_site(row.tenant, row.site)
        if bucket in span.buckets and bucket_of(row.gateway) not in span.buckets:
            found.setdefault(bucket, {})[row.tenant, row.gateway, row.slot] = row
    return found


def read_snapshot(connection: psycopg.Connection, version: int, elsewhere: Elsewhere) -> Snapshot:
    """Control data as the database has it now. Raises psycopg.Error."""
    return Snapshot(
        version,
        {
            (tenant, gateway): clean.Gateway(site, revoked)
            for tenant, gateway, site, revoked in connection.execute(queries.GATEWAYS)
        },
        {
            (tenant, gateway, slot): Slot(site, sku, channel, unit_weight_g, capacity)
            for tenant, gateway, slot, site, sku, channel, unit_weight_g, capacity in connection.execute(queries.SLOTS)
        },
        {
            SiteSku(tenant, site, sku): Policy(reorder_point, target, PolicyMode(mode))
            for tenant, site, sku, reorder_point, target, mode in connection.execute(queries.POLICIES)
        },
        {
            SiteSku(tenant, site, sku): Proposal(cycle, units, ProposalState(state), changed)
            for tenant, site, sku, cycle, units, state, changed in connection.execute(queries.PROPOSALS)
        },
        elsewhere,
        frozenset(connection.execute(queries.BACKFILLS).fetchall()),
        {
            (tenant, gateway, channel): ChannelSetting(class_, interval_s, limit_c, limit_s)
            for tenant, gateway, channel, class_, interval_s, limit_c, limit_s in connection.execute(
                queries.CHANNEL_SETTINGS
            )
        },
        {
            (tenant, kind, place): strictness_of(confirmed, refuted)
            for tenant, kind, place, confirmed, refuted in connection.execute(queries.LABELS, {"life": LABEL_LIFE})
        },
        read_promotions(connection),
        {(tenant, site): clock_of(name) for tenant, site, name in connection.execute(queries.ZONES)},
    )


def clock_of(name: str) -> tzinfo:
    """The time zone of that name; UTC for one that this machine does not know: one site must not stop the others."""
    with suppress(ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo(name)
    return UTC


def read_promotions(connection: psycopg.Connection) -> dict[tuple[str, str], list[PlannedPromotion]]:
    """What is promoted in each (tenant, site). Raises psycopg.Error."""
    found: dict[tuple[str, str], list[PlannedPromotion]] = {}
    for tenant, site, *planned in connection.execute(queries.PROMOTION_PLAN):
        found.setdefault((tenant, site), []).append(PlannedPromotion(*planned))
    return found


def read_beginning(connection: psycopg.Connection) -> Beginning:
    """Watermarks, positions and clock anchors as they are committed. Raises psycopg.Error."""
    lanes: dict[LaneId, LaneState] = {}
    for tenant, gateway, lane, ep, seq, closed in connection.execute(queries.WATERMARKS):
        state = lanes.setdefault(LaneId(tenant, gateway, Lane(lane)), LaneState())
        if closed:
            state.closed[ep] = seq
        else:
            state.ep, state.seq = ep, seq
    positions = {
        (tenant, gateway, slot): StoredPosition(site, sku, on_shelf)
        for tenant, gateway, slot, site, sku, on_shelf, _ in connection.execute(queries.POSITIONS)
    }
    anchors: dict[tuple[str, str], dict[str, int]] = {}
    for tenant, gateway, boot, zero_at in connection.execute(queries.ANCHORS):
        anchors.setdefault((tenant, gateway), {})[boot] = _utc_ms(zero_at)
    learnt = {key: bytes(state) for key, state in connection.execute(queries.DETECTOR_STATES)}
    unended = [
        AnomalyRow(anomaly_id, tenant, site, gateway, AnomalyKind(kind), *rest)
        for anomaly_id, tenant, site, gateway, kind, *rest in connection.execute(queries.UNENDED)
    ]
    return Beginning(lanes, positions, anchors, learnt, unended)


def _utc_ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
