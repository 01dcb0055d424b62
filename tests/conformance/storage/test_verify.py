"""``verify`` holds on what was committed properly, and finds each defect that we plant."""

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from contracts.errors import UserError
from deploy.proofs import BROKEN_MAX, Account
from deploy.verify import Report, app, read_ledger, verify
from stream import storage
from stream.digest import digest_sum, reading_digests
from stream.storage import Connection
from tests.conformance.storage.conftest import Store

START = datetime(2026, 5, 1, 23, 0, tzinfo=UTC)
EPOCHS = 40
FRAMES = 5
PER_FRAME = 10
READINGS = EPOCHS * FRAMES * PER_FRAME
FRAME_DIGEST = 0x9E37_79B9_7F4A_7C15
"""Stands for the digest of a frame; large, so that its sums pass 2**64."""


@pytest.fixture
def ledger(store: Store) -> Store:
    """Two gateways with forty epochs of readings over a midnight, as the sink commits them."""
    run = store.connection.execute
    run("INSERT INTO tenant VALUES ('acme', 'Acme')")
    run("INSERT INTO site (tenant_id, site_id, name) VALUES ('acme', 'north', 'North')")
    run("INSERT INTO sku (tenant_id, sku, unit_weight_g) VALUES ('acme', 'cola', 330)")
    storage.ensure_partitions(store.connection, store.tier, START, START + timedelta(days=1))
    for number, gateway in enumerate(("gw-a", "gw-b")):
        run("INSERT INTO gateway (tenant_id, gateway_id, site_id) VALUES ('acme', %s, 'north')", (gateway,))
        commit_gateway(store, gateway, seed=number)
    run(
        "INSERT INTO proposal (proposal_id, tenant_id, site_id, sku, cycle, units, triggered_at)"
        " VALUES (gen_random_uuid(), 'acme', 'north', 'cola', 1, 6, %s)",
        (START,),
    )
    return store


def commit_gateway(store: Store, gateway: str, seed: int) -> None:
    run = store.connection.execute
    row = run(
        "INSERT INTO series (tenant_id, gateway_id, channel) VALUES ('acme', %s, 'b1.weight_g') RETURNING series_id",
        (gateway,),
    ).fetchone()
    assert row is not None
    n = EPOCHS * FRAMES * PER_FRAME
    series = np.full(n, row[0], np.int32)
    at_us = np.arange(n, dtype=np.int64) * 4_000_000 + int(START.timestamp()) * 1_000_000
    value = np.random.default_rng(seed).normal(size=n)
    digests = reading_digests(series, at_us, value)
    with store.connection.cursor() as cursor, cursor.copy("COPY reading FROM STDIN") as copy:
        for time_us, x in zip(at_us.tolist(), value.tolist(), strict=True):
            copy.write_row((datetime.fromtimestamp(time_us / 1e6, UTC), row[0], x, 0))
    days = at_us // 86_400_000_000
    for day in np.unique(days):
        mine = days == day
        date = datetime.fromtimestamp(int(day) * 86_400, UTC).date()
        run(
            "INSERT INTO ingest_digest VALUES ('acme', %s, %s, %s, %s)",
            (gateway, date, int(mine.sum()), Decimal(digest_sum(digests[mine]))),
        )
    for epoch in range(EPOCHS):
        run(
            "INSERT INTO ingest_batch (tenant_id, gateway_id, lane, ep, from_seq, to_seq, readings, gap_frames,"
            " quarantined, frame_digest) VALUES ('acme', %s, 'tel', 'ep01', %s, %s, %s, 0, 0, %s)",
            (gateway, epoch * FRAMES + 1, (epoch + 1) * FRAMES, FRAMES * PER_FRAME, Decimal(frame_digest(FRAMES))),
        )
    frames = EPOCHS * FRAMES
    run(
        "INSERT INTO ingest_watermark (tenant_id, gateway_id, lane, ep, seq, frames, readings, frame_digest)"
        " VALUES ('acme', %s, 'tel', 'ep01', %s, %s, %s, %s)",
        (gateway, frames, frames, n, Decimal(frame_digest(frames))),
    )
    sent = {"tel": {"ep": "ep01", "seq": frames, "digest": f"{frame_digest(frames):x}"}}
    run(
        "INSERT INTO gateway_presence (tenant_id, gateway_id, state, sent) VALUES ('acme', %s, 'online', %s)",
        (gateway, json.dumps(sent)),
    )


def frame_digest(frames: int) -> int:
    return FRAME_DIGEST * frames % 2**64


def account(**changes: object) -> Account:
    frames = EPOCHS * FRAMES
    fields = {
        "tenant": "acme",
        "gateway": "gw-a",
        "lane": "tel",
        "ep": "ep01",
        "seq": frames,
        "digest": f"{frame_digest(frames):x}",
        "readings": READINGS,
        "acked": frames,
    }
    return Account(**(fields | changes))  # type: ignore[arg-type]


def said(report: Report) -> str:
    return "\n".join(f"{one.invariant} {one.where} {one.what}" for one in report.broken)


def test_proper_commits_hold(ledger: Store) -> None:
    report = verify(ledger.dsn, [account()])
    assert report.ok, said(report)
    assert report.invariants == {"I1": True, "I2": True, "I3": True, "I4": True, "I5": True}
    assert report.readings == 2 * READINGS
    assert report.rows_checked == 2 * READINGS + 2 + 2 * EPOCHS + 1


def test_an_empty_database_holds(store: Store) -> None:
    report = verify(store.dsn)
    assert report.ok
    assert report.rows_checked == 0


def commit_epoch(connection: Connection, number: int) -> None:
    """One more epoch of gw-a in one transaction, as the sink commits it."""
    at = START + timedelta(hours=5, milliseconds=number)
    digest = digest_sum(
        reading_digests(
            np.array([1], np.int32), np.array([at.timestamp() * 1e6], np.float64).astype(np.int64), np.array([1.0])
        )
    )
    with connection.transaction():
        connection.execute("INSERT INTO reading VALUES (%s, 1, 1, 0)", (at,))
        connection.execute(
            "UPDATE ingest_digest SET readings = readings + 1,"
            " reading_digest = (reading_digest + %s) %% 18446744073709551616 WHERE gateway_id = 'gw-a' AND day = %s",
            (Decimal(digest), at.date()),
        )
        connection.execute(
            "UPDATE ingest_watermark SET seq = seq + 1, frames = frames + 1, readings = readings + 1"
            " WHERE gateway_id = 'gw-a'"
        )
        connection.execute(
            "INSERT INTO ingest_batch (tenant_id, gateway_id, lane, ep, from_seq, to_seq, readings, gap_frames,"
            " quarantined, frame_digest) SELECT tenant_id, gateway_id, lane, ep, seq, seq, 1, 0, 0, 0"
            " FROM ingest_watermark WHERE gateway_id = 'gw-a'"
        )


def test_a_live_system_holds_while_epochs_are_committed(ledger: Store) -> None:
    stopping = threading.Event()
    committed = 0

    def commit() -> None:
        nonlocal committed
        with storage.connect(ledger.dsn, application="sink") as connection:
            while not stopping.is_set():
                commit_epoch(connection, committed)
                committed += 1

    sink = threading.Thread(target=commit)
    sink.start()
    try:
        reports = [verify(ledger.dsn) for _ in range(5)]
    finally:
        stopping.set()
        sink.join()
    assert all(report.ok for report in reports), [said(report) for report in reports]
    assert verify(ledger.dsn).readings == 2 * READINGS + committed
    assert reports[0].readings < 2 * READINGS + committed


Plant = Callable[[Store], None]


ONE_READING = "time = (SELECT min(time) FROM reading) AND series_id = 1"


def statement(text: str) -> Plant:
    """A defect that one statement plants; {one} is the condition for one reading of gw-a."""

    def plant(store: Store) -> None:
        store.connection.execute(text.replace("{one}", ONE_READING).encode())

    return plant


DEFECTS: dict[str, tuple[Plant, str, str]] = {
    "a deleted reading": (statement("DELETE FROM reading WHERE {one}"), "I2", "acme/gw-a/2026-05-01"),
    "a doubled reading": (
        statement("INSERT INTO reading SELECT * FROM reading WHERE {one}"),
        "I2",
        "acme/gw-a/2026-05-01",
    ),
    "a changed value": (
        statement("UPDATE reading SET value = value + 1e-9 WHERE {one}"),
        "I2",
        "acme/gw-a/2026-05-01",
    ),
    "a reading moved to another series": (
        statement("UPDATE reading SET series_id = 2 WHERE {one}"),
        "I2",
        "acme/gw-b/2026-05-01",
    ),
    "a reading moved by a microsecond": (
        statement("UPDATE reading SET time = time + interval '1 microsecond' WHERE {one}"),
        "I2",
        "acme/gw-a/2026-05-01",
    ),
    "a reading of no known series": (
        statement("INSERT INTO reading SELECT min(time), 99, 1, 0 FROM reading"),
        "I2",
        "series of no gateway/2026-05-01",
    ),
    "a day whose digest is gone": (
        statement("DELETE FROM ingest_digest WHERE gateway_id = 'gw-b' AND day = '2026-05-02'"),
        "I2",
        "acme/gw-b/2026-05-02",
    ),
    "a hole in the ledger": (
        statement("DELETE FROM ingest_batch WHERE gateway_id = 'gw-a' AND from_seq = 11"),
        "I1",
        "acme/gw-a/tel/ep01 frames 11 … 15 are missing",
    ),
    "an epoch twice in the ledger": (
        statement(
            "INSERT INTO ingest_batch (tenant_id, gateway_id, lane, ep, from_seq, to_seq, readings, gap_frames,"
            " quarantined, frame_digest) SELECT tenant_id, gateway_id, lane, ep, from_seq, to_seq, readings,"
            " gap_frames, quarantined, frame_digest FROM ingest_batch WHERE gateway_id = 'gw-b' AND from_seq = 11"
        ),
        "I1",
        "acme/gw-b/tel/ep01 frames 11 … 15 are twice",
    ),
    "a ledger that ends before the watermark": (
        statement("DELETE FROM ingest_batch WHERE gateway_id = 'gw-a' AND from_seq = 196"),
        "I1",
        "acme/gw-a/tel/ep01 last seq of the ledger, and the watermark differ: 195 and 200",
    ),
    "a lane without a watermark": (
        statement("DELETE FROM ingest_watermark WHERE gateway_id = 'gw-a'"),
        "I1",
        "acme/gw-a/tel/ep01 last seq of the ledger, and the watermark differ: 200 and 0",
    ),
    "a gap that no gateway declared": (
        statement("UPDATE ingest_batch SET gap_frames = 1 WHERE gateway_id = 'gw-a' AND from_seq = 11"),
        "I1",
        "acme/gw-a/tel/ep01 gap frames in the ledger",
    ),
    "a quarantined frame that nobody holds": (
        statement("UPDATE ingest_watermark SET quarantined = 1 WHERE gateway_id = 'gw-a'"),
        "I1",
        "acme/gw-a/tel/ep01 frames in quarantine, and at the watermark differ: 0 and 1",
    ),
    "a frame held that no watermark counts": (
        statement(
            "INSERT INTO quarantine (tenant_id, gateway_id, lane, ep, seq, topic, reason, detail, payload,"
            " payload_bytes) VALUES ('acme', 'gw-a', 'tel', 'ep01', 3, 't', 'bad_body', '', '', 0)"
        ),
        "I1",
        "acme/gw-a/tel/ep01 frames in quarantine, and at the watermark differ: 1 and 0",
    ),
    "a frame settled with other content than was sent": (
        statement("UPDATE gateway_presence SET sent = '{\"tel\":{\"ep\":\"ep01\",\"seq\":200,\"digest\":\"abc\"}}'"
                  " WHERE gateway_id = 'gw-a'"),
        "I2",
        "acme/gw-a/tel/ep01 the digest of what was sent is abc",
    ),
    "two live proposals": (
        statement(
            "DROP INDEX proposal_live;"
            " INSERT INTO proposal (proposal_id, tenant_id, site_id, sku, cycle, units, state, triggered_at)"
            " VALUES (gen_random_uuid(), 'acme', 'north', 'cola', 2, 6, 'ordered', now())"
        ),
        "I4",
        "acme/north/cola 2 live proposals",
    ),
    "two proposals of one cycle": (
        statement(
            "INSERT INTO proposal (proposal_id, tenant_id, site_id, sku, cycle, units, state, triggered_at)"
            " VALUES (gen_random_uuid(), 'acme', 'north', 'cola', 1, 6, 'rejected', now())"
        ),
        "I4",
        "acme/north/cola 2 proposals of cycle 1",
    ),
}  # fmt: skip


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_planted_defect_is_found_and_named(ledger: Store, defect: str) -> None:
    plant, invariant, place = DEFECTS[defect]
    plant(ledger)
    report = verify(ledger.dsn)
    assert not report.ok
    assert not report.invariants[invariant]
    assert f"{invariant} {place}" in said(report)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"seq": 201}, "201 frames were written, 200 are committed"),
        ({"seq": 199}, "199 frames were written, 200 are committed"),
        ({"acked": 201}, "201 frames were acknowledged, 200 are committed"),
        ({"readings": READINGS - 1}, f"{READINGS - 1} readings were written, {READINGS} are committed"),
        ({"digest": "1"}, "the digest of what was sent is 1"),
        ({"ep": "ep02"}, "200 frames were written, 0 are committed"),
    ],
)
def test_a_gateway_that_says_otherwise_is_named(ledger: Store, changes: dict[str, object], found: str) -> None:
    assert found in said(verify(ledger.dsn, [account(**changes)]))


def test_a_digest_sent_for_another_frame_is_not_compared(ledger: Store) -> None:
    ledger.connection.execute(
        'UPDATE gateway_presence SET sent = jsonb_set(sent, \'{tel}\', \'{"ep":"ep01","seq":201,"digest":"1"}\')'
    )
    assert verify(ledger.dsn).ok


def test_days_that_retention_dropped_are_not_held_against_it(ledger: Store) -> None:
    storage.drop_before(ledger.connection, ledger.tier, START + timedelta(days=1))
    report = verify(ledger.dsn)
    assert report.ok, said(report)
    assert 0 < report.readings < 2 * READINGS


def test_the_command_exits_with_1_and_prints_what_is_broken(ledger: Store) -> None:
    statement("DELETE FROM reading WHERE {one}")(ledger)
    result = CliRunner().invoke(app, ["--json", "--dsn", ledger.dsn])
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert report["ok"] is False
    assert report["invariants"] == {"I1": True, "I2": False, "I3": True, "I4": True, "I5": True}
    assert report["broken"][0]["where"] == "acme/gw-a/2026-05-01"


def test_many_broken_rows_are_counted_and_not_all_named(ledger: Store) -> None:
    ledger.connection.execute(
        "INSERT INTO ingest_gap SELECT 'acme', 'gone-' || n, 'tel', 'ep01', 1, 1, 'evicted'"
        " FROM generate_series(1, %s) n",
        (BROKEN_MAX + 7,),
    )
    report = verify(ledger.dsn)
    assert len(report.broken) == BROKEN_MAX + 1
    assert report.broken[-1].what == "and 7 more"


def test_a_ledger_file_with_a_bad_line_names_the_line(tmp_path: Path) -> None:
    file = tmp_path / "ledger.jsonl"
    file.write_text('{"tenant":"a","gateway":"g","lane":"tel","ep":"ep01","seq":1}\n{"tenant":1}\n')
    with pytest.raises(UserError, match="line 2"):
        read_ledger(file)
