"""Days that are backfilled behind retention: kept, rolled up, and never at the price of rollups that are older."""

from datetime import UTC, datetime, timedelta
from typing import Final

import pytest

from contracts.errors import UserError
from stream import backfill, retention, storage
from stream.backfill import Permit
from stream.storage import Tier
from tests.conformance.storage.conftest import Store

NOW: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEEP: Final = timedelta(days=400)
OLD: Final = datetime(2024, 6, 1, tzinfo=UTC)
"""Long before retention."""


def write(store: Store, at: datetime, series: int = 1) -> None:
    storage.ensure_partitions(store.connection, store.tier, at, at)
    store.connection.execute(
        "INSERT INTO reading (time, series_id, value, quality) VALUES (%s, %s, 4.5, 0)", (at, series)
    )


def open_days(store: Store, first: datetime, days: int = 1, now: datetime = NOW) -> list[int]:
    permit = Permit("acme", "gw", "k3v9", first, first + timedelta(days=days))
    return backfill.open_(store.connection, store.tier, [permit], now)


def refresh(store: Store, day: datetime) -> None:
    storage.refresh(store.connection, store.tier, day, day + storage.DAY)


DAYS: Final = {
    "reading": b"SELECT DISTINCT date_trunc('day', time) AS day FROM reading ORDER BY day",
    "reading_1d": b"SELECT DISTINCT bucket FROM reading_1d ORDER BY bucket",
}


def days_of(store: Store, table: str) -> list[datetime]:
    return [day.astimezone(UTC) for (day,) in store.connection.execute(DAYS[table]).fetchall()]


def test_backfilled_days_are_rolled_up_and_outlive_the_next_retention(store: Store) -> None:
    storage.drop_before(store.connection, store.tier, NOW - KEEP)
    other = OLD - timedelta(days=10)
    open_days(store, OLD, 2)
    for day in (OLD, OLD + storage.DAY, other):
        write(store, day + timedelta(hours=5))
        refresh(store, day)
    # The last of them nobody has let in: it is not rolled up, and does not stay.
    assert days_of(store, "reading_1d") == [OLD, OLD + storage.DAY]
    storage.drop_before(store.connection, store.tier, NOW - KEEP)
    assert days_of(store, "reading") == [OLD, OLD + storage.DAY]
    storage.drop_before(store.connection, store.tier, NOW + timedelta(days=1))
    assert days_of(store, "reading") == []
    assert days_of(store, "reading_1d") == [OLD, OLD + storage.DAY]


def test_rollups_that_outlived_their_readings_are_not_replaced(store: Store) -> None:
    write(store, OLD + timedelta(hours=5))
    refresh(store, OLD)
    storage.drop_before(store.connection, store.tier, NOW - KEEP)
    if store.tier is Tier.TSL:
        with pytest.raises(UserError, match="2024-06-01"):
            open_days(store, OLD)
        return
    # Where rollups are tables, those of others stay beside what comes new.
    open_days(store, OLD)
    write(store, OLD + timedelta(hours=5), series=2)
    refresh(store, OLD)
    assert store.connection.execute(b"SELECT series_id FROM reading_1d ORDER BY 1").fetchall() == [(1,), (2,)]


def test_a_backfill_that_retention_has_dropped_lets_no_refresh_take_its_rollups(store: Store) -> None:
    storage.drop_before(store.connection, store.tier, NOW - KEEP)
    open_days(store, OLD)
    write(store, OLD + timedelta(hours=5))
    refresh(store, OLD)
    storage.drop_before(store.connection, store.tier, NOW + timedelta(days=1))
    refresh(store, OLD)
    assert days_of(store, "reading_1d") == [OLD]
    if store.tier is Tier.TSL:
        with pytest.raises(UserError, match="2024-06-01"):
            open_days(store, OLD, now=NOW + timedelta(days=2))


def test_a_second_backfill_of_the_same_day_adds_to_the_first(store: Store) -> None:
    storage.drop_before(store.connection, store.tier, NOW - KEEP)
    for series in (1, 2):
        open_days(store, OLD)
        write(store, OLD + timedelta(hours=5), series)
        refresh(store, OLD)
    assert store.connection.execute(b"SELECT series_id FROM reading_1d ORDER BY 1").fetchall() == [(1,), (2,)]


def test_hours_that_outlived_their_minutes_are_not_replaced(store: Store) -> None:
    write(store, OLD + timedelta(hours=5))
    refresh(store, OLD)
    storage.drop_before(store.connection, store.tier, NOW - KEEP)
    retention.drop_minutes(store.connection, store.tier, NOW - KEEP)
    with pytest.raises(UserError, match="2024-06-01"):
        open_days(store, OLD)
    assert open_days(store, OLD + storage.DAY)


def test_backfilled_days_keep_the_minutes_that_a_second_backfill_needs(store: Store) -> None:
    storage.drop_before(store.connection, store.tier, NOW - KEEP)
    for minute in (1, 2):
        open_days(store, OLD)
        at = OLD + timedelta(hours=5, minutes=minute)
        write(store, at)
        storage.refresh(store.connection, store.tier, at, at + timedelta(minutes=1))
        retention.drop_minutes(store.connection, store.tier, NOW - KEEP)
    assert store.connection.execute(b"SELECT n FROM reading_1h").fetchall() == [(2,)]
    storage.drop_before(store.connection, store.tier, NOW + timedelta(days=1))
    retention.drop_minutes(store.connection, store.tier, NOW + timedelta(days=1))
    assert store.connection.execute(b"SELECT count(*) FROM reading_1m").fetchall() == [(0,)]
    assert store.connection.execute(b"SELECT n FROM reading_1h").fetchall() == [(2,)]


def test_a_closed_backfill_lets_nothing_more_in(store: Store) -> None:
    ids = open_days(store, OLD, now=datetime.now(UTC))
    names = b"SELECT tenant_id, gateway_id, ep FROM backfill WHERE open_until > now()"
    assert store.connection.execute(names).fetchall() == [("acme", "gw", "k3v9")]
    backfill.close(store.connection, ids, datetime.now(UTC))
    assert store.connection.execute(names).fetchall() == []


def test_permits_are_runs_of_whole_days() -> None:
    at_ms = int(OLD.timestamp() * 1000)
    day_ms = 86_400_000
    found = backfill.days("acme", "gw", "", [at_ms + 2 * day_ms - 1, at_ms, at_ms + 5 * day_ms])
    assert [(permit.lo, permit.hi) for permit in found] == [
        (OLD, OLD + 2 * storage.DAY),
        (OLD + 5 * storage.DAY, OLD + 6 * storage.DAY),
    ]
