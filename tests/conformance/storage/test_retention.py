"""Tidying up gives up nothing that is proven, in every storage tier."""

from datetime import UTC, datetime, timedelta
from typing import Final

import pytest

from deploy.verify import verify
from stream import retention, storage
from stream.storage import Tier
from tests.conformance.storage.conftest import Store

NOW: Final = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
EPOCHS: Final = 400
REGISTRY: Final = """
INSERT INTO tenant VALUES ('acme', 'Acme');
INSERT INTO site (tenant_id, site_id, name) VALUES ('acme', 'n', 'N');
INSERT INTO gateway (tenant_id, gateway_id, site_id) VALUES ('acme', 'gw', 'n');
"""
# Two lanes, one epoch every 30 s that settles three frames, one of them in quarantine.
LEDGER: Final = """
INSERT INTO ingest_batch (tenant_id, gateway_id, lane, ep, from_seq, to_seq, readings, gap_frames, quarantined,
                          frame_digest, committed_at)
SELECT 'acme', 'gw', lane, 'k3v9', 3 * n + 1, 3 * n + 3, 0, 0, 1, 18446744073709551000 + n,
       %(now)s - interval '30 seconds' * (%(epochs)s - n)
FROM generate_series(0, %(epochs)s - 1) AS n, unnest(ARRAY['tel', 'evt']) AS lane;
"""
REST: Final = """
INSERT INTO quarantine (tenant_id, gateway_id, lane, ep, seq, topic, reason, detail, payload, payload_bytes,
                        received_at)
SELECT 'acme', 'gw', lane, 'k3v9', 3 * n + 2, 't', 'bad_json', '', 'abc', 3, %(now)s - interval '1 day' * (n % 100)
FROM generate_series(0, %(epochs)s - 1) AS n, unnest(ARRAY['tel', 'evt']) AS lane;
INSERT INTO ingest_watermark (tenant_id, gateway_id, lane, ep, seq, frames, quarantined, frame_digest)
SELECT 'acme', 'gw', lane, 'k3v9', 3 * %(epochs)s, 3 * %(epochs)s, %(epochs)s,
       (SELECT sum(18446744073709551000::numeric + n) % 18446744073709551616 FROM generate_series(0, %(epochs)s - 1) n)
FROM unnest(ARRAY['tel', 'evt']) AS lane
"""


@pytest.fixture
def ledger(store: Store) -> Store:
    """A database whose ledger holds a few hours of two lanes, all provable."""
    store.connection.execute(REGISTRY.encode())
    for text in (LEDGER + REST).split(";"):
        if text.strip():
            store.connection.execute(
                text.replace("% 100", "%% 100").replace("% 18446744073709551616", "%% 18446744073709551616").encode(),
                {"now": NOW, "epochs": EPOCHS},
            )
    assert verify(store.dsn).ok
    return store


def rows(store: Store) -> list[tuple[str, int, int]]:
    query = b"SELECT lane, from_seq, to_seq FROM ingest_batch ORDER BY lane, from_seq"
    return [(lane, first, last) for lane, first, last in store.connection.execute(query).fetchall()]


def test_the_merged_ledger_proves_what_the_single_rows_proved(ledger: Store) -> None:
    merged = retention.merge_ledger(ledger.connection, NOW)
    left = rows(ledger)
    # 3 h 20 min of epochs: the last hour stays single, what came before falls into five half hours of the clock.
    assert merged == 5
    assert len(left) == 2 * (5 + 120)
    report = verify(ledger.dsn)
    assert report.ok, report.broken


def test_merging_twice_changes_nothing(ledger: Store) -> None:
    retention.merge_ledger(ledger.connection, NOW)
    before = rows(ledger)
    assert retention.merge_ledger(ledger.connection, NOW) == 0
    assert rows(ledger) == before


def test_a_hole_in_the_ledger_is_not_merged_away(ledger: Store) -> None:
    ledger.connection.execute(b"DELETE FROM ingest_batch WHERE lane = 'tel' AND from_seq = 31")
    retention.merge_ledger(ledger.connection, NOW)
    broken = verify(ledger.dsn).broken
    assert any("34" in one.what or "31" in one.what for one in broken), broken


def test_an_overlap_in_the_ledger_is_not_merged_away(ledger: Store) -> None:
    ledger.connection.execute(
        b"""INSERT INTO ingest_batch (tenant_id, gateway_id, lane, ep, from_seq, to_seq, readings, gap_frames,
                                      quarantined, frame_digest, committed_at)
            SELECT tenant_id, gateway_id, lane, ep, from_seq, to_seq, 0, 0, 0, 0, committed_at FROM ingest_batch
            WHERE lane = 'evt' AND from_seq = 61"""
    )
    retention.merge_ledger(ledger.connection, NOW)
    assert not verify(ledger.dsn).ok


def test_a_ledger_without_rows_is_left_alone(store: Store) -> None:
    assert retention.merge_ledger(store.connection, NOW) == 0


def test_old_payloads_are_forgotten_and_their_rows_stay(ledger: Store) -> None:
    cutoff = NOW - timedelta(days=50)
    forgotten = retention.forget_payloads(ledger.connection, cutoff)
    counts: dict[str, int] = dict(
        ledger.connection.execute(b"SELECT state, count(*) FROM quarantine GROUP BY 1").fetchall()
    )
    assert forgotten == counts["discarded"] == 2 * 4 * 49
    assert counts["held"] == 2 * EPOCHS - forgotten
    assert verify(ledger.dsn).ok
    assert retention.forget_payloads(ledger.connection, cutoff) == 0


def test_minutes_are_dropped_and_hours_stay(store: Store) -> None:
    begin = datetime(2026, 2, 1, tzinfo=UTC)
    days = 12
    storage.ensure_partitions(store.connection, store.tier, begin, begin + timedelta(days=days))
    store.connection.execute(
        b"""INSERT INTO reading SELECT at, 1, 1.0, 0
            FROM generate_series(%(begin)s::timestamptz, %(last)s::timestamptz, '10 minutes') AS at""",
        {"begin": begin, "last": begin + timedelta(days=days) - timedelta(seconds=1)},
    )
    storage.refresh(store.connection, store.tier, begin, begin + timedelta(days=days))
    hours = hours_of(store)
    cutoff = begin + timedelta(days=11, hours=5)
    storage.drop_before(store.connection, store.tier, cutoff)
    retention.drop_minutes(store.connection, store.tier, cutoff)
    (first,) = store.connection.execute(b"SELECT min(bucket) FROM reading_1m").fetchone() or (None,)
    # TimescaleDB drops whole chunks, which hold ten days of minutes.
    assert first == begin + timedelta(days=11) if store.tier is not Tier.TSL else first <= begin + timedelta(days=11)
    storage.refresh(store.connection, store.tier, begin, begin + timedelta(days=days))
    assert hours_of(store) == hours


def hours_of(store: Store) -> list[tuple[datetime, int]]:
    found = store.connection.execute(b"SELECT bucket, n FROM reading_1h ORDER BY bucket").fetchall()
    return [(bucket, n) for bucket, n in found]
