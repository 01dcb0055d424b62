"""What counts once of plain readings, in every tier: of equal series, time and value what is stored, or came first."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import numpy as np
import psycopg
import pytest

from stream import queries, storage
from stream.epoch import Part
from stream.facts import Bundle, Columns, Message, Settled
from stream.fence import ALL, take
from stream.plain_rows import Newest, without_known
from stream.rows import copy_rows
from stream.writer import UnavailableError, Writer
from tests.conformance.storage.conftest import Store

START = datetime(2026, 3, 1, tzinfo=UTC)
START_US = int(START.timestamp()) * 1_000_000
DAY_US = 86_400_000_000
TERMINATE = """
SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity
WHERE application_name = 'shelfpulse-stream' AND datname = current_database()
"""

Row = tuple[int, int, float]


def part(rows: list[Row], *, once: bool = True, start_us: int = START_US) -> Part:
    """One bundle a row, so that the frames' slices can be looked at."""
    columns = Columns(
        np.array([start_us + row[0] for row in rows], np.int64), np.array([row[1] for row in rows], np.int32),
        np.array([row[2] for row in rows], np.float64), np.zeros(len(rows), np.int16),
    )  # fmt: skip
    bundle = Bundle([Message("t", b"", 0)], [1])
    return Part(columns, [Settled(None, lo=at, hi=at + 1, once=once, bundle=bundle) for at in range(len(rows))])


def rows_of(given: Part) -> list[Row]:
    columns = given.columns
    return [
        (int(time_us) - START_US, int(series), float(value))
        for time_us, series, value in zip(columns.time_us, columns.series, columns.value, strict=True)
    ]


def some_rows(seed: int, n: int) -> list[Row]:
    """Few times, series and values, over three days: many stand twice."""
    random = np.random.default_rng(seed)
    return [
        (int(random.integers(0, 6)) * DAY_US // 2, int(random.integers(1, 5)), float(random.choice([-0.0, 0.0, 1.5])))
        for _ in range(n)
    ]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_is_stored_or_stands_twice_is_left_out_and_nothing_else(store: Store, seed: int) -> None:
    storage.ensure_partitions(store.connection, store.tier, START, START + timedelta(days=4))
    stored, first, second, untimed = (some_rows(seed * 10 + number, 14) for number in range(4))
    with psycopg.connect(store.dsn) as connection, connection.cursor(binary=True) as cursor:
        for table in (queries.PLAIN_RANGE_TABLE, queries.PLAIN_ASKED_TABLE):
            cursor.execute(table)
        connection.commit()
        copy_rows(cursor, queries.READING_COPY, part(stored).columns)
        connection.commit()
        kept = without_known(cursor, [part(first), part(untimed, once=False), part(second)], Newest(alone=True))
        connection.rollback()
    known = set(stored)
    expected: list[list[Row]] = []
    for rows in (first, second):
        expected.append([row for at, row in enumerate(rows) if row not in known and row not in rows[:at]])
        known |= set(rows)
    assert [rows_of(each) for each in kept] == [expected[0], untimed, expected[1]]
    for each in kept:
        slices = [(frame.lo, frame.hi) for frame in each.frames if frame.hi > frame.lo]
        assert slices == [(at, at + 1) for at in range(len(each.columns))]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_live_readings_are_stored_once_however_they_come_again(store: Store, seed: int) -> None:
    """Epochs of batches: what goes ahead of its epoch, what comes again in it, in a later one, and after a restart."""
    random = np.random.default_rng(seed)
    now_us = int(datetime.now(UTC).timestamp()) * 1_000_000
    start = datetime.fromtimestamp(now_us / 1e6, UTC)
    storage.ensure_partitions(store.connection, store.tier, start - timedelta(days=1), start + timedelta(days=1))
    sent: list[Row] = []

    def batch(at: int) -> list[Row]:
        """Mostly newer than all before, some of it a repetition, some late."""
        fresh = [(at * 1000 + int(random.integers(0, 1000)), int(random.integers(1, 6)), 1.5) for _ in range(6)]
        again = [sent[int(random.integers(0, len(sent)))] for _ in range(int(random.integers(0, 3))) if sent]
        late = [
            (-int(random.integers(0, 9)), int(random.integers(1, 6)), 2.5) for _ in range(int(random.integers(0, 2)))
        ]
        rows = [*fresh, *again, *late]
        sent.extend(rows)
        return rows

    ahead = 0
    for restart in range(3):
        writer = Writer(store.dsn, take(store.dsn, ALL), lambda _lo, _hi: None)
        for epoch in range(8):
            parts = [part(batch((restart * 8 + epoch) * 4 + number), start_us=now_us) for number in range(4)]
            writer.send(parts[:1])
            writer.send(parts[1:])
            if writer._ahead is not None:
                ahead += len(writer._ahead.sent)
            if epoch % 3 == 2:
                # What went ahead is lost with its connection, and the same parts go again.
                store.connection.execute(TERMINATE)
                with suppress(UnavailableError):
                    writer.write(parts)
                    continue
            writer.write(parts)
        writer.close()
    stored = store.connection.execute("SELECT time, series_id, value FROM reading").fetchall()
    assert len(stored) == len(set(sent))
    assert {(round(at.timestamp() * 1e6) - now_us, series, value) for at, series, value in stored} == set(sent)
    assert ahead > 10
