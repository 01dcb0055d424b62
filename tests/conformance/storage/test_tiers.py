"""What every storage tier has to do alike."""

import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from psycopg import Rollback, sql

from contracts.errors import UserError
from deploy import migrations
from stream import jobs, storage
from stream.storage import LEVELS, Connection, Tier
from tests.conformance.storage.conftest import Store

START = datetime(2026, 3, 1, tzinfo=UTC)
DAYS = 3
SPAN_S = DAYS * 86_400
BAD = 2

Row = tuple[int, float, float, float, float, float]


@dataclass(frozen=True)
class Readings:
    """Columns of readings; ``at_us`` is microseconds after START."""

    at_us: npt.NDArray[np.int64]
    series: npt.NDArray[np.int32]
    value: npt.NDArray[np.float64]
    quality: npt.NDArray[np.int16]

    def and_(self, other: "Readings") -> "Readings":
        """Both together."""
        return Readings(
            np.concatenate([self.at_us, other.at_us]),
            np.concatenate([self.series, other.series]),
            np.concatenate([self.value, other.value]),
            np.concatenate([self.quality, other.quality]),
        )


def some_readings(seed: int, n: int, *, from_s: int = 0, to_s: int = SPAN_S) -> Readings:
    """Readings of few series, with repeated times, equal values and every quality."""
    random = np.random.default_rng(seed)
    return Readings(
        random.integers(from_s * 4, to_s * 4, n) * 250_000,
        random.integers(1, 5, n).astype(np.int32),
        random.integers(-500, 500, n) / 4,
        random.integers(0, 4, n).astype(np.int16),
    )


def write(store: Store, readings: Readings) -> None:
    """Store readings as the sink does: the days first, then a COPY."""
    storage.ensure_partitions(store.connection, store.tier, START, START + timedelta(days=DAYS) - timedelta(seconds=1))
    with (
        store.connection.cursor() as cursor,
        cursor.copy("COPY reading (time, series_id, value, quality) FROM STDIN") as copy,
    ):
        for at_us, series, value, quality in zip(
            readings.at_us.tolist(),
            readings.series.tolist(),
            readings.value.tolist(),
            readings.quality.tolist(),
            strict=True,
        ):
            copy.write_row((START + timedelta(microseconds=at_us), series, value, quality))


def expected(readings: Readings, width: timedelta) -> dict[tuple[datetime, int], Row]:
    """Rollup computed by numpy from the readings alone."""
    width_us = width // timedelta(microseconds=1)
    good = readings.quality != BAD
    at_us, series, value = readings.at_us[good], readings.series[good], readings.value[good]
    rollup = {}
    for bucket, number in {*zip((at_us // width_us).tolist(), series.tolist(), strict=True)}:
        mine = (at_us // width_us == bucket) & (series == number)
        times, values = at_us[mine], value[mine]
        rollup[START + bucket * width, number] = (
            len(values),
            float(values.sum()),
            float(values.min()),
            float(values.max()),
            float(values[times == times.min()].min()),
            float(values[times == times.max()].max()),
        )
    return rollup


def stored(connection: Connection, name: str) -> dict[tuple[datetime, int], Row]:
    """Rollup as the database has it."""
    query = sql.SQL("SELECT bucket, series_id, n, sum, min, max, first, last FROM {}").format(sql.Identifier(name))
    return {
        (bucket.astimezone(UTC), series): (n, total, low, high, first, last)
        for bucket, series, n, total, low, high, first, last in connection.execute(query)
    }


def assert_rollups(store: Store, readings: Readings) -> None:
    for level in LEVELS:
        assert stored(store.connection, level.name) == expected(readings, level.width), level.name


def refresh_all(store: Store) -> None:
    storage.refresh(store.connection, store.tier, START, START + timedelta(days=DAYS))


def test_a_schema_is_made_from_nothing_and_a_second_migration_changes_nothing(empty_database: str, tier: Tier) -> None:
    assert migrations.revision(empty_database) is None
    migrations.upgrade(empty_database)
    with storage.connect(empty_database, application="tests") as connection:
        objects = b"SELECT oid, relname FROM pg_class ORDER BY oid"
        before = connection.execute(objects).fetchall()
        migrations.upgrade(empty_database)
        assert connection.execute(objects).fetchall() == before
        assert storage.probe_tier(connection) is tier
    assert migrations.revision(empty_database) == migrations.head()


def test_two_processes_that_migrate_at_once_both_succeed(empty_database: str) -> None:
    errors: list[BaseException] = []

    def migrate() -> None:
        try:
            migrations.upgrade(empty_database)
        except BaseException as error:  # noqa: BLE001 - handed to the test's own thread
            errors.append(error)

    threads = [threading.Thread(target=migrate) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not errors
    assert migrations.revision(empty_database) == migrations.head()


def test_a_schema_of_a_newer_release_is_refused(store: Store) -> None:
    store.connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(UserError, match="9999"):
        migrations.upgrade(store.dsn)


def test_rollups_equal_what_numpy_computes(store: Store) -> None:
    readings = some_readings(1, 3_000)
    write(store, readings)
    refresh_all(store)
    assert_rollups(store, readings)


def test_late_readings_show_after_a_refresh_of_their_range(store: Store) -> None:
    early = some_readings(2, 1_000)
    write(store, early)
    refresh_all(store)
    late = some_readings(3, 200, from_s=86_400 + 3_600, to_s=86_400 + 7_200)
    write(store, late)
    storage.refresh(
        store.connection, store.tier, START + timedelta(days=1, hours=1), START + timedelta(days=1, hours=2)
    )
    assert_rollups(store, early.and_(late))


def test_a_refresh_of_part_of_a_minute_covers_the_minute(store: Store) -> None:
    readings = some_readings(4, 300, from_s=600, to_s=660)
    write(store, readings)
    storage.refresh(store.connection, store.tier, START + timedelta(seconds=630), START + timedelta(seconds=631))
    assert_rollups(store, readings)


def test_a_second_refresh_changes_nothing(store: Store) -> None:
    readings = some_readings(5, 500)
    write(store, readings)
    refresh_all(store)
    refresh_all(store)
    assert_rollups(store, readings)


def test_a_bucket_of_bad_readings_alone_has_no_row(store: Store) -> None:
    n = 10
    bad = Readings(
        np.arange(n, dtype=np.int64) * 1_000_000,
        np.full(n, 1, np.int32),
        np.full(n, 1e9),
        np.full(n, BAD, np.int16),
    )
    write(store, bad)
    refresh_all(store)
    assert all(stored(store.connection, level.name) == {} for level in LEVELS)


def test_dirty_ranges_are_refreshed_and_forgotten(store: Store) -> None:
    readings = some_readings(6, 500)
    write(store, readings)
    note_dirty(store, START, START + timedelta(days=DAYS) - timedelta(microseconds=1))
    while jobs.refresh_dirty(store.connection, store.tier, clock_s=lambda: 0.0).left:
        pass
    assert_rollups(store, readings)
    assert dirty_rows(store) == 0


def test_a_round_out_of_time_leaves_the_rest_noted(store: Store) -> None:
    readings = some_readings(7, 200, to_s=4 * 3_600)
    write(store, readings)
    note_dirty(store, START, START + timedelta(hours=4) - timedelta(microseconds=1))
    ticks = iter(range(0, 10_000, 2))
    outcomes = [jobs.refresh_dirty(store.connection, store.tier, clock_s=lambda: float(next(ticks)))]
    assert (outcomes[0].taken, outcomes[0].done, outcomes[0].left) == (1, 1, 3)
    assert max(hour.hour for hour, _ in stored(store.connection, "reading_1h")) == 3
    while jobs.refresh_dirty(store.connection, store.tier, clock_s=lambda: float(next(ticks))).taken:
        pass
    assert_rollups(store, readings)


def test_a_range_noted_while_a_round_runs_is_kept(store: Store) -> None:
    write(store, some_readings(8, 50))
    note_dirty(store, START, START)

    def clock_s() -> float:
        with storage.connect(store.dsn, application="sink") as sink:
            sink.execute("INSERT INTO rollup_dirty (lo, hi) VALUES (%s, %s)", (START, START))
        return 0.0

    jobs.refresh_dirty(store.connection, store.tier, clock_s)
    assert dirty_rows(store) == 2


def test_one_process_refreshes_at_a_time(store: Store) -> None:
    note_dirty(store, START, START)
    with storage.connect(store.dsn, application="other worker") as other:
        other.execute("SELECT pg_advisory_lock(%s)", (jobs.REFRESH_LOCK,))
        assert jobs.refresh_dirty(store.connection, store.tier, lambda: 0.0).taken == 0
    assert dirty_rows(store) == 1


def test_retention_drops_whole_days_and_their_digests_and_leaves_rollups(store: Store) -> None:
    readings = some_readings(9, 1_000)
    write(store, readings)
    refresh_all(store)
    for day in range(DAYS):
        store.connection.execute(
            "INSERT INTO ingest_digest VALUES ('acme', 'gw', %s, 1, 1)", ((START + timedelta(days=day)).date(),)
        )
    dropped = storage.drop_before(store.connection, store.tier, START + timedelta(days=1, hours=12))
    assert len(dropped) == 1
    row = store.connection.execute("SELECT min(time), count(*) FROM reading").fetchone()
    assert row is not None
    assert row[0] >= START + timedelta(days=1)
    assert row[1] == int((readings.at_us >= 86_400_000_000).sum())
    days = [day for (day,) in store.connection.execute("SELECT day FROM ingest_digest ORDER BY day")]
    assert days == [(START + timedelta(days=n)).date() for n in (1, 2)]
    assert_rollups(store, readings)


def test_refreshing_a_dropped_range_keeps_its_rollups(store: Store) -> None:
    readings = some_readings(10, 1_000)
    write(store, readings)
    refresh_all(store)
    storage.drop_before(store.connection, store.tier, START + timedelta(days=1))
    refresh_all(store)
    assert_rollups(store, readings)


def test_retention_twice_is_retention_once(store: Store) -> None:
    write(store, some_readings(11, 100))
    cutoff = START + timedelta(days=2)
    assert len(storage.drop_before(store.connection, store.tier, cutoff)) == 2
    assert storage.drop_before(store.connection, store.tier, cutoff) == []


def test_readings_can_come_back_to_a_dropped_day(store: Store) -> None:
    write(store, some_readings(12, 100))
    storage.drop_before(store.connection, store.tier, START + timedelta(days=2))
    write(store, some_readings(13, 10, to_s=3_600))
    row = store.connection.execute(
        "SELECT count(*) FROM reading WHERE time < %s", (START + timedelta(days=1),)
    ).fetchone()
    assert row == (10,)


def test_processes_that_miss_the_same_days_make_them_once(store: Store) -> None:
    failures: list[BaseException] = []
    ready = threading.Barrier(3)

    def ensure() -> None:
        try:
            with storage.connect(store.dsn, application="tests") as connection:
                ready.wait(30)
                storage.ensure_partitions(connection, store.tier, START, START + timedelta(days=20))
        except BaseException as error:  # noqa: BLE001 - handed to the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=ensure) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures
    store.connection.execute("INSERT INTO reading VALUES (%s, 1, 1, 0)", (START + timedelta(days=20, hours=23),))


def test_a_long_reader_stops_neither_new_days_nor_writers(store: Store) -> None:
    write(store, some_readings(14, 10))
    store.connection.execute("SET lock_timeout = '5s'")
    with storage.connect(store.dsn, application="reader", autocommit=False) as reader, reader.transaction():
        reader.execute("SELECT count(*) FROM reading")
        storage.ensure_partitions(store.connection, store.tier, START + timedelta(days=30), START + timedelta(days=31))
        store.connection.execute("INSERT INTO reading VALUES (%s, 1, 1, 0)", (START + timedelta(days=30),))
        raise Rollback


def test_time_bucket_means_the_same_in_every_tier(store: Store) -> None:
    at = datetime(2026, 3, 4, 5, 6, 7, 890_000, tzinfo=UTC)
    buckets = [
        store.connection.execute("SELECT compat.time_bucket(%s, %s)", (width, at)).fetchone()
        for width in (timedelta(minutes=5), timedelta(hours=6), timedelta(days=1), timedelta(days=7))
    ]
    assert [row[0].astimezone(UTC) for row in buckets if row] == [
        datetime(2026, 3, 4, 5, 5, tzinfo=UTC),
        datetime(2026, 3, 4, 0, 0, tzinfo=UTC),
        datetime(2026, 3, 4, tzinfo=UTC),
        datetime(2026, 3, 2, tzinfo=UTC),
    ]


def test_a_refresh_of_a_minute_does_not_read_the_day(store: Store) -> None:
    """The block range index on time is there in every tier, on every partition and chunk."""
    write(store, some_readings(15, 10))
    row = store.connection.execute(
        "SELECT count(*) FROM pg_indexes WHERE indexdef LIKE '%USING brin (\"time\")%'"
    ).fetchone()
    assert row is not None
    assert row[0] > DAYS


def note_dirty(store: Store, lo: datetime, hi: datetime) -> None:
    store.connection.execute("INSERT INTO rollup_dirty (lo, hi) VALUES (%s, %s)", (lo, hi))


def dirty_rows(store: Store) -> int:
    row = store.connection.execute("SELECT count(*) FROM rollup_dirty").fetchone()
    assert row is not None
    return int(row[0])


def test_the_schema_has_every_sql_file() -> None:
    folder = Path(migrations.__file__).parent
    text = "\n".join(file.read_text() for file in (folder / "versions").glob("*.py"))
    assert all(file.name in text for file in (folder / "sql").glob("*.sql"))
