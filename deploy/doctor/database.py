"""Checks of the database: reachable, durable, current, and not falling behind."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from contracts.errors import UserError
from deploy import migrations
from deploy.doctor import fleet
from deploy.doctor.finding import Finding, fail, ok, skip, warn
from deploy.doctor.machine import disk
from stream import storage
from stream.storage import Connection, Tier

SKEW_WARN_S: Final = 1.0
SKEW_FAIL_S: Final = 60.0
"""Readings of a gateway more than five minutes ahead are refused: a skew of a minute is close enough to worry."""
DIRTY_WARN: Final = 600
"""Dirty ranges: five minutes of epochs. The worker takes them every five seconds."""
LATELY: Final = timedelta(hours=1)
NAMED_MAX: Final = 5
CONNECTIONS_WARN: Final = 0.8
LONG: Final = timedelta(minutes=5)
"""Our own transactions take seconds, and a night's forecast a minute or two."""

SETTINGS: Final = "SELECT name, setting FROM pg_settings WHERE name = ANY(%(names)s)"
DURABLE: Final = {
    "fsync": "a crash of the machine can destroy the database",
    "full_page_writes": "a crash of the machine can tear pages",
    "synchronous_commit": "what was acknowledged to gateways, and deleted by them, can be lost",
}
PLACE: Final = """
    SELECT current_setting('data_directory', true), inet_server_addr() IS NULL OR inet_server_addr() <<= '127.0.0.0/8'
"""
CONNECTIONS: Final = "SELECT count(*), current_setting('max_connections')::int FROM pg_stat_activity"
# What has written and does not end: nobody may read past it.
LONG_TRANSACTIONS: Final = """
    SELECT 'pid ' || pid || ' (' || application_name || ')', now() - xact_start FROM pg_stat_activity
    WHERE backend_xid IS NOT NULL AND xact_start < now() - %(long)s
    UNION ALL
    SELECT 'prepared transaction ' || gid, now() - prepared FROM pg_prepared_xacts WHERE prepared < now() - %(long)s
    ORDER BY 2 DESC
"""
DIRTY: Final = "SELECT count(*) FROM rollup_dirty"
FAILED_JOBS: Final = """
    SELECT task_name, count(*) FROM procrastinate_jobs job
    WHERE status = 'failed' AND EXISTS (
        SELECT FROM procrastinate_events WHERE job_id = job.id AND type = 'failed' AND at > now() - %(lately)s
    )
    GROUP BY 1 ORDER BY 2 DESC
"""
AHEAD: Final = "SELECT to_regclass(%(name)s) IS NOT NULL"
JOB_ERRORS: Final = """
    SELECT proc_name, count(*), max(err_message) FROM timescaledb_information.job_errors
    WHERE start_time > now() - %(lately)s GROUP BY 1
"""


def check(dsn: str) -> Iterator[Finding]:
    """All checks of the database at ``dsn``."""
    try:
        connection = storage.connect(dsn, application="shelfpulse doctor")
    except UserError as error:
        yield fail("database", error.message, "start it (`shelfpulse up`), or correct SHELFPULSE_DSN")
        return
    with connection:
        try:
            yield from _check_connected(dsn, connection)
        except storage.DatabaseError as error:
            what = f"refused to be looked at: {' '.join(str(error).split())}"
            yield fail("database", what, "give the user of SHELFPULSE_DSN the rights of the schema's owner")


def _check_connected(dsn: str, connection: Connection) -> Iterator[Finding]:
    yield ok("database", f"PostgreSQL {connection.info.parameter_status('server_version')} answers")
    yield from _check_durability(connection)
    yield _check_clock(connection, time.time)
    yield _check_place(connection)
    yield _check_connections(connection)
    yield check_transactions(connection)
    schema = _check_schema(dsn)
    yield schema
    if schema.remedy:
        return
    yield from _check_contents(connection)


def _check_contents(connection: Connection) -> Iterator[Finding]:
    tier = storage.probe_tier(connection)
    yield _check_tier(connection, tier)
    yield _check_backlog(connection)
    yield _check_jobs(connection)
    yield from fleet.check(connection)
    if tier is Tier.PLAIN:
        yield _check_partitions(connection, datetime.now(UTC))
    if tier is Tier.TSL and storage.offered_tier(connection) is Tier.TSL:
        yield _check_timescale_jobs(connection)


def _check_durability(connection: Connection) -> Iterator[Finding]:
    for name, setting in connection.execute(SETTINGS, {"names": list(DURABLE)}):
        if setting == "off":
            yield fail(f"database {name}", f"off: {DURABLE[name]}", f"set {name} = on and restart the database")
        else:
            yield ok(f"database {name}", setting)


def _check_clock(connection: Connection, clock_s: Callable[[], float]) -> Finding:
    before_s = clock_s()
    at = _row(connection, "SELECT clock_timestamp()")[0]
    skew_s = at.timestamp() - (before_s + clock_s()) / 2
    what = f"the database's clock is {skew_s:+.3f} s from ours"
    if abs(skew_s) > SKEW_FAIL_S:
        return fail("clock", what, "set both machines' clocks (chrony or systemd-timesyncd)")
    if abs(skew_s) > SKEW_WARN_S:
        return warn("clock", what, "set both machines' clocks (chrony or systemd-timesyncd)")
    return ok("clock", what)


def _check_place(connection: Connection) -> Finding:
    directory, is_local = _row(connection, PLACE)
    if not is_local or not directory:
        return skip("disk of the database", "it is on another machine, or does not tell where its data is")
    return disk("disk of the database", Path(directory).parent)


def _check_connections(connection: Connection) -> Finding:
    used, most = _row(connection, CONNECTIONS)
    what = f"{used} of {most} in use"
    if used > CONNECTIONS_WARN * most:
        return warn("database connections", what, "raise max_connections, or run fewer API processes")
    return ok("database connections", what)


def check_transactions(connection: Connection, long: timedelta = LONG) -> Finding:
    """Whether a transaction that has written stays open for longer than ``long``."""
    found = connection.execute(LONG_TRANSACTIONS, {"long": long}).fetchall()
    if not found:
        return ok("database transactions", "none writes for long")
    named = ", ".join(f"{who} for {lasting.total_seconds() / 60:,.0f} min" for who, lasting in found[:NAMED_MAX])
    what = f"{named}: sales of tills behind it are not read, and days that retention drops not detached"
    return warn("database transactions", what, "end it: SELECT pg_terminate_backend(pid), or ROLLBACK PREPARED")


def _check_schema(dsn: str) -> Finding:
    found, needed = migrations.revision(dsn), migrations.head()
    if found == needed:
        return ok("schema", f"revision {found}")
    what = f"revision {found or 'none'}, this release needs {needed}"
    return fail("schema", what, "run `python -m deploy.migrations`, or install the release that made the schema")


def _check_tier(connection: Connection, tier: Tier) -> Finding:
    offered = storage.offered_tier(connection)
    if tier is offered:
        return ok("storage tier", tier)
    if tier is Tier.PLAIN:
        return warn(
            "storage tier",
            f"made as {tier}, and the server now offers {offered}",
            "keep it, or move the data to a new database to gain compression",
        )
    return fail("storage tier", f"made as {tier}, the server offers {offered}", "load TimescaleDB as it was before")


def _check_backlog(connection: Connection) -> Finding:
    dirty = _row(connection, DIRTY)[0]
    what = f"{dirty} ranges wait to be rolled up"
    if dirty > DIRTY_WARN:
        return warn("rollups", what, "is the worker running? charts of more than an hour are behind until it is")
    return ok("rollups", what)


def _check_jobs(connection: Connection) -> Finding:
    failed = connection.execute(FAILED_JOBS, {"lately": LATELY}).fetchall()
    if failed:
        what = ", ".join(f"{name} {count} times" for name, count in failed[:NAMED_MAX])
        return warn("worker jobs", f"failed in the last hour: {what}", "see the worker's log")
    return ok("worker jobs", "none failed in the last hour")


def _check_partitions(connection: Connection, now: datetime) -> Finding:
    name = storage.partition_name(now + timedelta(days=1))
    if _row(connection, AHEAD, {"name": name})[0]:
        return ok("partitions", "tomorrow's is there")
    return warn("partitions", f"{name} is missing", "run the worker; until then the stream makes it when it needs it")


def _check_timescale_jobs(connection: Connection) -> Finding:
    errors = connection.execute(JOB_ERRORS, {"lately": timedelta(days=1)}).fetchall()
    if errors:
        what = "; ".join(f"{name} {count} times: {message}" for name, count, message in errors[:NAMED_MAX])
        return warn("TimescaleDB jobs", what, "raise timescaledb.max_background_workers, or see its log")
    return ok("TimescaleDB jobs", "no errors in the last day")


def _row(connection: Connection, query: str, parameters: dict[str, Any] | None = None) -> tuple[Any, ...]:
    row = connection.execute(query.encode(), parameters).fetchone()
    assert row is not None
    return row
