"""The bench's instruments on a real database, and one small run of all of it."""

import json
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from contracts.facts import LIVE_CHANNEL
from deploy.bench.commits import CommitWatch, latencies_s
from deploy.bench.raw_copy import copy_rows_per_s, stored_columns
from stream import storage
from stream.facts import Columns
from stream.storage import Connection, Tier

NOW = datetime.now(UTC).replace(microsecond=0)


def commit_epoch(connection: Connection, seq: int, times: list[datetime], *, notify: bool = True) -> None:
    """What the sink commits, as far as the bench looks at it."""
    with connection.transaction():
        for at in times:
            connection.execute("INSERT INTO reading VALUES (%s, 1, 1, 0)", (at,))
        connection.execute(
            "INSERT INTO ingest_batch (tenant_id, gateway_id, lane, ep, from_seq, to_seq, readings, gap_frames,"
            " quarantined, frame_digest) VALUES ('acme', 'gw', 'tel', 'ep01', %s, %s, %s, 0, 0, 0)",
            (seq, seq, len(times)),
        )
        if notify:
            connection.execute("SELECT pg_notify(%s, '{}')", (LIVE_CHANNEL,))


@pytest.mark.parametrize("notify", [True, False])
def test_an_epoch_is_seen_once_with_its_readings(database: str, *, notify: bool) -> None:
    with storage.connect(database, application="tests") as connection:
        storage.ensure_partitions(connection, Tier.PLAIN, NOW, NOW)
        commit_epoch(connection, 1, [NOW])
        with CommitWatch(database) as watch:
            commit_epoch(connection, 2, [NOW, NOW], notify=notify)
            commit_epoch(connection, 3, [NOW], notify=notify)
            assert watch.wait(3, timeout_s=20)
            assert [commit.readings for commit in watch.commits] == [2, 1]
            assert not watch.wait(4, timeout_s=0)


def test_latency_is_that_of_each_reading_to_its_own_epoch(database: str) -> None:
    with storage.connect(database, application="tests") as connection:
        since = NOW - timedelta(seconds=100)
        storage.ensure_partitions(connection, Tier.PLAIN, since, NOW)
        with CommitWatch(database) as watch:
            commit_epoch(connection, 1, [since - timedelta(seconds=5)])
            commit_epoch(connection, 2, [since, since + timedelta(seconds=30)])
            commit_epoch(connection, 3, [since + timedelta(seconds=60)])
            assert watch.wait(4, timeout_s=20)
            latencies = latencies_s(connection, watch.commits, since.timestamp())
        seen_s = [commit.at_s for commit in watch.commits]
    expected = sorted(
        [seen_s[1] - since.timestamp(), seen_s[1] - since.timestamp() - 30, seen_s[2] - since.timestamp() - 60]
    )
    assert sorted(latencies.tolist()) == pytest.approx(expected, abs=1e-3)


def test_the_yardstick_stores_the_same_rows(database: str) -> None:
    n = 1_000
    columns = Columns(
        int(NOW.timestamp()) * 1_000_000 - np.arange(n, dtype=np.int64),
        np.arange(n, dtype=np.int32),
        np.linspace(-1, 1, n),
        (np.arange(n) % 4).astype(np.int16),
    )
    with storage.connect(database, application="tests") as connection:
        storage.ensure_partitions(connection, Tier.PLAIN, NOW - timedelta(seconds=1), NOW)
        assert copy_rows_per_s(connection, columns, rows_per_commit=300) > 0
        assert copy_rows_per_s(connection, columns, rows_per_commit=300) > 0
        read = stored_columns(connection, NOW.timestamp() - 1, NOW.timestamp() + 1)
    for name in ("time_us", "series", "value", "quality"):
        assert np.array_equal(getattr(read, name), getattr(columns, name)), name


@pytest.mark.system
def test_a_small_run_measures_everything_and_loses_nothing() -> None:
    started_s = time.monotonic()
    ran = subprocess.run(
        [sys.executable, "-m", "deploy.cli", "bench", "e2e", "--json", "--readings", "20000", "--gateways", "10"],
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    result = json.loads(ran.stdout)
    assert (result["missing"], result["duplicates"], result["verified"]) == (0, 0, True)
    assert result["readings"] == 20_000
    assert result["ratio"] == pytest.approx(result["readings_per_s"] / result["copy_rows_per_s"], rel=0.01)
    assert 0 < result["latency_p50_ms"] <= result["latency_p99_ms"]
    assert result["seconds"] <= time.monotonic() - started_s
