"""What a day of a store takes on disk, before and after TimescaleDB's columnstore.

The readings are those of simulated shelves as a gateway reports them: by exception, with a heartbeat.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

import msgspec
import numpy as np
from psycopg import sql

from contracts.errors import UserError
from deploy.bench.history import CHUNKS
from deploy.bench.scratch import scratch_database, versions
from deploy.migrations import upgrade
from edge_agent.bus.report import Reporter
from simulators.day_gateway import day_plan, read_shelf
from simulators.store import Store
from stream import queries, storage
from stream.epoch import COPY_HEADER, COPY_TRAILER, pack
from stream.facts import Columns
from stream.spans import floor
from stream.storage import Connection, Tier

HEARTBEAT_MS: Final = 60_000
DEADBANDS: Final = {"weight_g": 20.0, "temp_c": 0.2}
"""Of the profile ``loadcell_shelf``."""
HOUR_S: Final = 3_600.0
SIZE: Final = "SELECT hypertable_size('reading')"
RAW_BYTES: Final = 8 + 4 + 8 + 2
"""Time, series, value and quality of a reading, without anything around them."""


class Plan(NamedTuple):
    """``hours`` of a day, each shelf polled every ``poll_s``. ``dsn`` names a TimescaleDB server for a database."""

    hours: float
    poll_s: float
    dsn: str


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """Outcome. Bytes are those of heap, indexes and toast; ``ratio`` is before / after."""

    ratio: float
    before_bytes: int
    after_bytes: int
    bytes_per_reading_before: float
    bytes_per_reading_after: float
    raw_bytes_per_reading: int
    readings: int
    polled: int
    series: int
    hours: float
    poll_s: float
    tier: str
    versions: dict[str, str]
    seconds: float


def run_compress(plan: Plan, say: Callable[[str], None]) -> Result:
    """Fill a throw-away database and compress it. Raises UserError when the server has no columnstore."""
    began_s = time.monotonic()
    with scratch_database(plan.dsn) as dsn:
        upgrade(dsn)
        with storage.connect(dsn, application="shelfpulse bench") as connection:
            tier = storage.probe_tier(connection)
            if tier is not Tier.TSL:
                message = f"tier {tier} compresses nothing"
                raise UserError(message, "name a TimescaleDB server (community licence) with --dsn")
            say(f"simulating {plan.hours:g} hours of a store")
            columns, polled = _day(plan)
            with connection.transaction(), connection.cursor() as cursor, cursor.copy(queries.READING_COPY) as copy:
                copy.write(COPY_HEADER + pack(columns) + COPY_TRAILER)
            connection.execute(b"VACUUM ANALYZE reading")
            before = _size(connection)
            say("moving them to the columnstore")
            for (chunk,) in connection.execute(CHUNKS.encode()).fetchall():
                connection.execute(sql.SQL("CALL convert_to_columnstore({})").format(sql.Literal(chunk)))
            after = _size(connection)
            readings = len(columns)
            return Result(
                ratio=round(before / after, 2),
                before_bytes=before,
                after_bytes=after,
                bytes_per_reading_before=round(before / readings, 1),
                bytes_per_reading_after=round(after / readings, 1),
                raw_bytes_per_reading=RAW_BYTES,
                readings=readings,
                polled=polled,
                series=int(np.max(columns.series)),
                hours=plan.hours,
                poll_s=plan.poll_s,
                tier=tier,
                versions=versions(connection, ""),
                seconds=round(time.monotonic() - began_s, 1),
            )


def _day(plan: Plan) -> tuple[Columns, int]:
    """Readings in order of time, and how many values were polled for them."""
    whole = day_plan()
    begin = floor(datetime.now(UTC), storage.DAY) - timedelta(days=1)
    begin_ms = round(begin.timestamp() * 1000)
    store = Store(whole, whole.stores[0], begin_ms / 1000)
    channels = [decoded.channel for shelf in store.controllers for decoded in read_shelf(shelf, begin_ms / 1000)]
    numbers = {channel: number for number, channel in enumerate(channels, 1)}
    reporter = Reporter({channel: DEADBANDS[channel.rpartition(".")[2]] for channel in channels}, HEARTBEAT_MS)
    times_ms: list[int] = []
    series: list[int] = []
    values: list[float] = []
    polled = 0
    step_ms = plan.poll_s * 1000 / len(store.controllers)
    for turn in range(round(plan.hours * HOUR_S * 1000 / step_ms)):
        at_ms = begin_ms + round(turn * step_ms)
        store.step(at_ms / 1000)
        found = read_shelf(store.controllers[turn % len(store.controllers)], at_ms / 1000)
        polled += len(found)
        for decoded in reporter.select(at_ms, found):
            times_ms.append(at_ms)
            series.append(numbers[decoded.channel])
            values.append(decoded.value)
    columns = Columns(
        np.array(times_ms, np.int64) * 1000,
        np.array(series, np.int32),
        np.array(values, np.float64),
        np.zeros(len(values), np.int16),
    )
    return columns, polled


def _size(connection: Connection) -> int:
    row = connection.execute(SIZE.encode()).fetchone()
    assert row is not None
    return int(row[0])
