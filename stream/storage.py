"""Storage tiers: what differs between TimescaleDB and PostgreSQL alone, behind the same five functions.

| tier   | server                            | readings                | rollups               |
|--------|-----------------------------------|-------------------------|-----------------------|
| tsl    | TimescaleDB, community licence    | hypertable, columnstore | continuous aggregates |
| apache | TimescaleDB, Apache-2 build       | hypertable              | tables                |
| plain  | PostgreSQL 15 or newer            | partitions by day       | tables                |

The tier is probed when the schema is made and recorded in it. All connections here are in autocommit mode, because
neither a refresh of TimescaleDB nor a concurrent detach runs inside a transaction.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow

from contracts.errors import UserError
from stream import connecting
from stream.spans import ceiling, floor

Connection = psycopg.Connection[TupleRow]
DatabaseError = psycopg.Error
"""For those who have to outlive what the database says, without the driver's own name."""

POSTGRES_MIN: Final = 150000
TIMESCALE_MIN: Final = (2, 20)
"""First release with CREATE TABLE … WITH (tsdb.hypertable)."""
PARTITIONS_MAX: Final = 4_000
"""Partitions that one call may create: ten years. A wider range is our own mistake."""
PARTITION_LOCK: Final = 0x5348_454C_4632
"""Advisory lock: processes that miss the same partition create it once."""


class Tier(StrEnum):
    """Kind of storage that the schema was made for."""

    TSL = "tsl"
    APACHE = "apache"
    PLAIN = "plain"


class Level(NamedTuple):
    """A rollup and the width of its buckets."""

    name: str
    width: timedelta


LEVELS: Final = (
    Level("reading_1m", timedelta(minutes=1)),
    Level("reading_1h", timedelta(hours=1)),
    Level("reading_1d", timedelta(days=1)),
)
DAY: Final = timedelta(days=1)

RECORDED_TIER: Final = "SELECT tier FROM storage_state"
# current_setting(…, true) is the one probe that neither fails nor ends the session where the extension is not loaded.
SERVER: Final = """
    SELECT current_setting('server_version_num')::int,
           current_setting('timescaledb.max_background_workers', true) IS NOT NULL
"""
EXTENSION: Final = """
    SELECT extversion, current_setting('timescaledb.license', true) FROM pg_extension WHERE extname = 'timescaledb'
"""
ATTACHED: Final = """
    SELECT child.relname FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid
    WHERE inhparent = 'reading'::regclass AND NOT inhdetachpending
"""
# CREATE TABLE … PARTITION OF would wait for every reader, and stop every writer behind it. Attaching does not.
CREATE_PARTITION: Final = "CREATE TABLE {name} (LIKE reading INCLUDING DEFAULTS INCLUDING CONSTRAINTS)"
ATTACH_PARTITION: Final = "ALTER TABLE reading ATTACH PARTITION {name} FOR VALUES FROM ({lo}) TO ({hi})"
DETACH_PARTITION: Final = "ALTER TABLE reading DETACH PARTITION {name} CONCURRENTLY"
FINALIZE_PARTITION: Final = "ALTER TABLE reading DETACH PARTITION {name} FINALIZE"
# Every day that has a table: attached, half detached, or left behind by a crash between detach and drop.
DAY_TABLES: Final = """
    SELECT relname, inhrelid IS NOT NULL, coalesce(inhdetachpending, false)
    FROM pg_class LEFT JOIN pg_inherits ON inhrelid = pg_class.oid
    WHERE relkind = 'r' AND relname ~ '^reading_[0-9]{8}$'
        AND relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'reading'::regclass)
    ORDER BY relname
"""
DROP_TABLE: Final = "DROP TABLE {name}"
DROP_CHUNKS: Final = "SELECT drop_chunks('reading', older_than => %(hi)s, newer_than => %(lo)s::timestamptz)"
RAW_FROM: Final = "SELECT raw_from FROM storage_state"
ADVANCE_RAW_FROM: Final = "UPDATE storage_state SET raw_from = greatest(raw_from, %(cutoff)s)"
# Days that were backfilled since the cutoff are kept as if they had been measured then.
BACKFILLED: Final = """
    SELECT range_agg(tstzrange(lo, hi)) @> tstzrange(%(lo)s, %(hi)s) FROM backfill
    WHERE lo < %(hi)s AND hi > %(lo)s AND opened_at >= (SELECT raw_from FROM storage_state)
"""
KEPT: Final = """
    SELECT lower(kept), upper(kept)
    FROM (SELECT unnest(range_agg(tstzrange(lo, hi))) AS kept FROM backfill WHERE opened_at >= %(cutoff)s) AS runs
    WHERE lower(kept) < %(cutoff)s ORDER BY 1
"""
DROP_DIGESTS: Final = "DELETE FROM ingest_digest WHERE day < (%(cutoff)s AT TIME ZONE 'UTC')::date"
LOCK: Final = "SELECT pg_advisory_xact_lock(%(key)s)"
REFRESH: Final = {
    Tier.TSL: "CALL refresh_continuous_aggregate('{name}', %(lo)s, %(hi)s)",
    Tier.APACHE: "SELECT refresh_{name}(%(lo)s, %(hi)s)",
    Tier.PLAIN: "SELECT refresh_{name}(%(lo)s, %(hi)s)",
}


def connect(dsn: str, *, application: str, autocommit: bool = True) -> Connection:
    """Connect to the database at ``dsn`` (a libpq URL); ``application`` names us in pg_stat_activity.

    Raises UserError when the address is malformed, nobody answers, or the log-in is refused.
    """
    try:
        connection = connecting.connect(dsn, application, autocommit=autocommit)
    except psycopg.OperationalError as error:
        message = f"cannot connect to the database: {_one_line(error)}"
        raise UserError(
            message, "is it running, and is SHELFPULSE_DSN right? `shelfpulse doctor` looks closer"
        ) from error
    except psycopg.ProgrammingError as error:
        # libpq repeats the text that it could not read, which may hold a password.
        message = "SHELFPULSE_DSN is no database address"
        raise UserError(message, "it looks like postgresql://user:password@host:5432/name") from error
    return connection


def other_database(dsn: str, name: str) -> str:
    """The address of another database on the same server, with the same access."""
    return make_conninfo(dsn, dbname=name)


def probe_tier(connection: Connection) -> Tier:
    """The tier that the schema was made for. Raises UserError when the database has no schema."""
    try:
        row = connection.execute(RECORDED_TIER).fetchone()
    except psycopg.errors.UndefinedTable as error:
        message = "the database has no ShelfPulse schema"
        raise UserError(message, "`shelfpulse up` makes it, and so does `python -m deploy.migrations`") from error
    assert row is not None, "storage_state has one row from its first migration on"
    return Tier(row[0])


def prepare_tier(connection: Connection) -> Tier:
    """The tier that this server offers to a new schema; creates the extension where the server has loaded it.

    Raises UserError when the server or the extension is too old, or the extension may not be created.
    """
    version, preloaded = _server(connection)
    if version < POSTGRES_MIN:
        message = f"PostgreSQL {version // 10_000} is too old"
        raise UserError(message, f"ShelfPulse needs PostgreSQL {POSTGRES_MIN // 10_000} or newer")
    if preloaded:
        try:
            connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
        except psycopg.errors.InsufficientPrivilege as error:
            message = "TimescaleDB is there, but this user may not create the extension"
            raise UserError(message, "run CREATE EXTENSION timescaledb in this database as its owner") from error
    tier, release = _offer(connection)
    if release and tuple(int(part) for part in release.split(".")[:2]) < TIMESCALE_MIN:
        needed = ".".join(str(part) for part in TIMESCALE_MIN)
        message = f"TimescaleDB {release} is too old"
        raise UserError(message, f"ShelfPulse needs {needed} or newer: ALTER EXTENSION timescaledb UPDATE")
    return tier


def offered_tier(connection: Connection) -> Tier:
    """The tier that a schema made now would get, without changing anything."""
    return _offer(connection)[0]


def execute_script(connection: Connection, texts: Iterable[str]) -> None:
    """Execute texts of several statements each, as they are: a % is no placeholder.

    Raises UserError when they need more rights, or create what is there already.
    """
    try:
        for text in texts:
            connection.execute(text.encode())
    except psycopg.errors.InsufficientPrivilege as error:
        message = f"the schema needs more rights: {_one_line(error)}"
        raise UserError(message, "migrate as the owner of the database") from error
    except (psycopg.errors.DuplicateTable, psycopg.errors.DuplicateObject, psycopg.errors.DuplicateSchema) as error:
        message = f"the database is not empty: {_one_line(error)}"
        raise UserError(message, "name an empty database in SHELFPULSE_DSN") from error


def ensure_partitions(connection: Connection, tier: Tier, lo: datetime, hi: datetime) -> None:
    """Make sure that readings from ``lo`` to ``hi`` (both included, aware) have a place to go.

    Hypertables see to it themselves. Else one catalogue query where every day exists, and a short transaction for those
    that do not; safe when several processes miss the same day. Raises psycopg.Error of the connection.
    """
    if tier is not Tier.PLAIN:
        return
    days = days_between(lo, hi)
    assert len(days) <= PARTITIONS_MAX, f"{len(days)} partitions from {lo} to {hi}"
    if not _missing(connection, days):
        return
    with connection.transaction():
        connection.execute(LOCK, {"key": PARTITION_LOCK})
        for day in _missing(connection, days):
            name = sql.Identifier(partition_name(day))
            bounds = {"lo": sql.Literal(day.isoformat()), "hi": sql.Literal((day + DAY).isoformat())}
            connection.execute(sql.SQL(CREATE_PARTITION).format(name=name))
            connection.execute(sql.SQL(ATTACH_PARTITION).format(name=name, **bounds))


def refresh(connection: Connection, tier: Tier, lo: datetime, hi: datetime) -> None:
    """Bring the rollups of all readings from ``lo`` (included) to ``hi`` (excluded) up to date, level by level.

    Widened to whole buckets of each level. Days before ``storage_state.raw_from`` that were not backfilled are left
    alone: their readings are dropped, and a refresh would take the rollups away too. Needs autocommit.
    """
    assert connection.autocommit, "TimescaleDB refreshes outside of transactions"
    row = connection.execute(RAW_FROM).fetchone()
    assert row is not None
    raw_from = row[0]
    if raw_from is not None and lo < raw_from and not _is_backfilled(connection, lo, min(hi, raw_from)):
        lo = raw_from
    if lo >= hi:
        return
    for level in LEVELS:
        bounds = {"lo": floor(lo, level.width), "hi": ceiling(hi, level.width)}
        connection.execute(REFRESH[tier].format(name=level.name).encode(), bounds)


def drop_before(connection: Connection, tier: Tier, cutoff: datetime) -> list[str]:
    """Drop the readings of all whole UTC days before ``cutoff``, with their digests; rollups stay.

    Days that were backfilled since then stay too. Returns the names of what was dropped. A crash on the way is finished
    by the next call. Needs autocommit.
    """
    assert connection.autocommit, "a partition is detached outside of transactions"
    cutoff = floor(cutoff, DAY)
    with connection.transaction():
        connection.execute(ADVANCE_RAW_FROM, {"cutoff": cutoff})
        connection.execute(DROP_DIGESTS, {"cutoff": cutoff})
    if tier is not Tier.PLAIN:
        return [
            str(name)
            for lo, hi in not_backfilled(connection, cutoff)
            for (name,) in connection.execute(DROP_CHUNKS, {"lo": lo, "hi": hi})
        ]
    kept = connection.execute(KEPT, {"cutoff": cutoff}).fetchall()
    spared = {partition_name(day) for lo, hi in kept for day in days_between(lo, hi - _TICK)}
    tables = connection.execute(DAY_TABLES).fetchall()
    expired = [table for table in tables if table[0] < partition_name(cutoff) and table[0] not in spared]
    for name, attached, pending in expired:
        _drop_partition(connection, sql.Identifier(name), attached=attached, pending=pending)
    return [str(name) for name, _, _ in expired]


def not_backfilled(connection: Connection, cutoff: datetime) -> list[tuple[datetime | None, datetime]]:
    """Ranges of whole days before ``cutoff``, oldest first, without those that were backfilled since; from None on."""
    kept = connection.execute(KEPT, {"cutoff": cutoff}).fetchall()
    starts = [None, *(hi for _, hi in kept)]
    ends = [*(lo for lo, _ in kept), cutoff]
    return [(lo, hi) for lo, hi in zip(starts, ends, strict=True) if lo is None or lo < hi]


def partition_name(day: datetime) -> str:
    """Table of one UTC day's readings in tier ``plain``; names sort as days do."""
    return f"reading_{day.astimezone(UTC):%Y%m%d}"


def days_between(lo: datetime, hi: datetime) -> list[datetime]:
    """Midnights (UTC) of all days that ``lo`` to ``hi``, both included, touch."""
    first = floor(lo, DAY)
    return [first + n * DAY for n in range((floor(hi, DAY) - first) // DAY + 1)]


_TICK: Final = timedelta(microseconds=1)


def _is_backfilled(connection: Connection, lo: datetime, hi: datetime) -> bool:
    row = connection.execute(BACKFILLED, {"lo": lo, "hi": hi}).fetchone()
    return row is not None and bool(row[0])


def _server(connection: Connection) -> tuple[int, bool]:
    row = connection.execute(SERVER).fetchone()
    assert row is not None
    return row[0], row[1]


def _offer(connection: Connection) -> tuple[Tier, str]:
    """Tier by the extension in this database, and the extension's release."""
    row = connection.execute(EXTENSION).fetchone() if _server(connection)[1] else None
    if row is None:
        return Tier.PLAIN, ""
    release, licence = row
    return (Tier.TSL if licence == "timescale" else Tier.APACHE), release


def _missing(connection: Connection, days: list[datetime]) -> list[datetime]:
    attached = {name for (name,) in connection.execute(ATTACHED)}
    return [day for day in days if partition_name(day) not in attached]


def _drop_partition(connection: Connection, name: sql.Identifier, *, attached: bool, pending: bool) -> None:
    if pending:
        connection.execute(sql.SQL(FINALIZE_PARTITION).format(name=name))
    elif attached:
        connection.execute(sql.SQL(DETACH_PARTITION).format(name=name))
    connection.execute(sql.SQL(DROP_TABLE).format(name=name))


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
