"""The worker as a process on a real database."""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from deploy.local.deadline import wait_until
from deploy.local.ports import free_port
from stream import jobs, storage
from stream.storage import Connection, Tier
from tests.services.databases import TEMPLATE, Server
from tests.services.workers import worker

START_S = 90.0
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


def events(log: Path) -> list[str]:
    return [json.loads(line).get("event", "") for line in log.read_text().splitlines() if line.startswith("{")]


def rollup_rows(connection: Connection) -> int:
    row = connection.execute("SELECT count(*) FROM reading_1m").fetchone()
    assert row is not None
    return int(row[0])


def write_reading(connection: Connection, at: datetime) -> None:
    storage.ensure_partitions(connection, Tier.PLAIN, at, at)
    with connection.transaction():
        connection.execute("INSERT INTO reading VALUES (%s, 1, 1, 0)", (at,))
        connection.execute("INSERT INTO rollup_dirty (lo, hi) VALUES (%s, %s)", (at, at))


def status(port: int) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def metrics(port: int) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=2) as answer:
        return bytes(answer.read())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_worker_rolls_up_what_is_dirty_and_ends_cleanly_on_a_signal(
    database: str, tmp_path: Path, number: signal.Signals
) -> None:
    log, port = tmp_path / "worker.log", free_port()
    with storage.connect(database, application="tests") as connection, worker(database, log, port) as process:
        write_reading(connection, NOW)
        assert wait_until(lambda: rollup_rows(connection) == 1, START_S), log.read_text()
        assert status(port) == 200
        tomorrow = storage.partition_name(datetime.now(UTC) + timedelta(days=1))
        assert connection.execute("SELECT to_regclass(%s) IS NOT NULL", (tomorrow,)).fetchone() == (True,)
        # Its rows are committed a moment before the job is counted.
        assert wait_until(lambda: b'{outcome="done",task="refresh_rollups"}' in metrics(port), START_S)
        process.send_signal(number)
        assert process.wait(20) == 0, log.read_text()
    assert events(log)[-1] == "worker_stopped"


def test_a_worker_goes_on_after_the_database_was_killed(own_postgres_server: Server, tmp_path: Path) -> None:
    server = own_postgres_server
    dsn = server.postgres.dsn(TEMPLATE)
    log = tmp_path / "worker.log"
    with worker(dsn, log) as process:
        with storage.connect(dsn, application="tests") as connection:
            write_reading(connection, NOW)
            assert wait_until(lambda: rollup_rows(connection) == 1, START_S), log.read_text()
        server.kill()
        assert wait_until(lambda: "database_lost" in log.read_text(), START_S), log.read_text()
        server.start()
        with storage.connect(dsn, application="tests") as connection:
            write_reading(connection, NOW + timedelta(hours=1))
            assert wait_until(lambda: rollup_rows(connection) == 2, 60), log.read_text()
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0, log.read_text()


def test_a_killed_worker_leaves_nothing_that_stops_the_next(database: str, tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    with storage.connect(database, application="tests") as connection:
        with worker(database, log) as first:
            write_reading(connection, NOW)
            assert wait_until(lambda: rollup_rows(connection) == 1, START_S), log.read_text()
            first.kill()
            first.wait()
        with worker(database, log):
            write_reading(connection, NOW + timedelta(hours=1))
            assert wait_until(lambda: rollup_rows(connection) == 2, START_S), log.read_text()


def test_a_worker_without_a_schema_says_so_in_one_line(postgres_server: Server, tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    with worker(postgres_server.dsn, log) as process:
        assert process.wait(START_S) == 2
    assert "has no ShelfPulse schema" in log.read_text()
    assert "Traceback" not in log.read_text()


def test_a_worker_with_a_bad_setting_names_the_variable(database: str, tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "deploy.cli", "worker", "run"],
        env={**os.environ, "SHELFPULSE_DSN": database, "SHELFPULSE_RETENTION_DAYS": "0"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=START_S,
        check=False,
    )
    assert result.returncode == 2
    assert "SHELFPULSE_RETENTION_DAYS" in result.stderr


def test_days_are_made_ahead(database: str) -> None:
    with storage.connect(database, application="tests") as connection:
        jobs.extend_partitions(connection, Tier.PLAIN, NOW)
        for days in (-1, 0, 3):
            connection.execute("INSERT INTO reading VALUES (%s, 1, 1, 0)", (NOW + timedelta(days=days),))


def test_retention_keeps_what_is_younger(database: str) -> None:
    with storage.connect(database, application="tests") as connection:
        for days in (0, 400, 402):
            write_reading(connection, NOW - timedelta(days=days))
        dropped = jobs.apply_retention(connection, Tier.PLAIN, NOW, timedelta(days=400))
        assert dropped == [storage.partition_name(NOW - timedelta(days=402))]
        row = connection.execute("SELECT count(*) FROM reading").fetchone()
        assert row == (2,)


@pytest.mark.parametrize(
    ("state", "age_days", "after"),
    [
        ("open", 13, "open"),
        ("open", 15, "expired"),
        ("approved", 15, "expired"),
        ("ordered", 29, "ordered"),
        ("ordered", 31, "expired"),
        ("received", 400, "received"),
    ],
)
def test_a_live_proposal_that_nobody_moves_expires(database: str, state: str, age_days: int, after: str) -> None:
    with storage.connect(database, application="tests") as connection:
        connection.execute(
            "INSERT INTO proposal (proposal_id, tenant_id, site_id, sku, cycle, units, state, triggered_at, updated_at)"
            " VALUES (%s, 'acme', 'north', 'cola', 1, 6, %s, %s, %s)",
            (uuid4(), state, NOW, NOW - timedelta(days=age_days)),
        )
        expired = jobs.expire_proposals(connection, NOW)
        row = connection.execute("SELECT state, version FROM proposal").fetchone()
    assert row == (after, 1 + expired)
    assert expired == (state != after)
