"""What grows for ever unless somebody tidies: the ledger of commits, payloads in quarantine, rollups by the minute.

Plain functions on a connection in autocommit mode, each safe to repeat after a crash at any point. Nothing that
``verify`` proves is given up: merged rows of the ledger tile what they stand for, rows of the quarantine stay.
"""

from datetime import datetime, timedelta
from typing import Final

from stream import storage
from stream.spans import floor
from stream.storage import Connection, Tier

MERGE_WIDTH: Final = timedelta(minutes=30)
"""Rows of a lane that were committed in the same half hour become one: of 7,200 an hour two stay."""
MERGE_AFTER: Final = timedelta(hours=1)
"""Younger rows stay single: they say when each epoch was committed, which is what one looks for after an incident."""
SLICES_MAX: Final = 200
"""Half hours that one call may merge, so that an old database is tidied over some calls."""
PAYLOADS_MAX: Final = 10_000

FIRST_SLICE: Final = """
    SELECT coalesce(ledger_merged_to, (SELECT min(committed_at) FROM ingest_batch)) FROM storage_state
"""
LOCK_STATE: Final = "SELECT ledger_merged_to FROM storage_state FOR UPDATE"
ADVANCE_MERGED_TO: Final = "UPDATE storage_state SET ledger_merged_to = %(hi)s"
# Rows that follow each other without a hole share the difference of where they begin and how much came before: a hole
# or an overlap, should there ever be one, stays visible to verify.
MERGE: Final = """
    WITH taken AS (
        DELETE FROM ingest_batch WHERE committed_at >= %(lo)s AND committed_at < %(hi)s RETURNING *
    ), placed AS (
        SELECT *, from_seq - coalesce(sum(to_seq - from_seq + 1) OVER (
                   PARTITION BY tenant_id, gateway_id, lane, ep ORDER BY from_seq, batch_id
                   ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
               ), 0) AS run
        FROM taken
    )
    INSERT INTO ingest_batch (tenant_id, gateway_id, lane, ep, from_seq, to_seq, readings, gap_frames, quarantined,
                              frame_digest, committed_at)
    SELECT tenant_id, gateway_id, lane, ep, min(from_seq), max(to_seq), sum(readings), sum(gap_frames),
           sum(quarantined), sum(frame_digest) %% 18446744073709551616, max(committed_at)
    FROM placed
    GROUP BY tenant_id, gateway_id, lane, ep, run
    ORDER BY min(batch_id)
"""
FORGET_PAYLOADS: Final = """
    UPDATE quarantine SET payload = '', state = CASE state WHEN 'held' THEN 'discarded' ELSE state END
    WHERE quarantine_id IN (
        SELECT quarantine_id FROM quarantine
        WHERE received_at < %(cutoff)s AND payload <> '' AND state <> 'retry' ORDER BY quarantine_id LIMIT %(limit)s
    )
"""
OLDEST_MINUTE: Final = """
    SELECT min(bucket) FROM reading_1m
    WHERE bucket < %(hi)s AND (%(lo)s::timestamptz IS NULL OR bucket >= %(lo)s)
"""
DROP_MINUTES: Final = "DELETE FROM reading_1m WHERE bucket >= %(lo)s AND bucket < %(hi)s"
DROP_MINUTE_CHUNKS: Final = "SELECT drop_chunks('reading_1m', older_than => %(hi)s, newer_than => %(lo)s::timestamptz)"


def merge_ledger(connection: Connection, now: datetime) -> int:
    """Merge rows of the ledger that are older than MERGE_AFTER; returns how many half hours were merged.

    Two that run at once take turns: each half hour is merged in one transaction that moves the mark along.
    """
    row = connection.execute(FIRST_SLICE).fetchone()
    if row is None or row[0] is None:
        return 0
    end = floor(now - MERGE_AFTER, MERGE_WIDTH)
    for merged in range(SLICES_MAX):
        if not _merge_slice(connection, floor(row[0], MERGE_WIDTH), end):
            return merged
    return SLICES_MAX


def _merge_slice(connection: Connection, first: datetime, end: datetime) -> bool:
    with connection.transaction():
        row = connection.execute(LOCK_STATE).fetchone()
        assert row is not None
        lo = row[0] or first
        hi = lo + MERGE_WIDTH
        if hi > end:
            return False
        connection.execute(MERGE, {"lo": lo, "hi": hi})
        connection.execute(ADVANCE_MERGED_TO, {"hi": hi})
    return True


def forget_payloads(connection: Connection, cutoff: datetime) -> int:
    """Empty what lies in quarantine since before ``cutoff``; returns how many. The rows stay: they settle frames."""
    forgotten = 0
    while count := connection.execute(FORGET_PAYLOADS, {"cutoff": cutoff, "limit": PAYLOADS_MAX}).rowcount:
        forgotten += count
    return forgotten


def drop_minutes(connection: Connection, tier: Tier, cutoff: datetime) -> None:
    """Drop the rollups by the minute of all whole days before ``cutoff``; those by the hour and day stay.

    Readings must be kept for a shorter time than that: a refresh of a day whose minutes are gone would empty its hours.
    Days that were backfilled since ``cutoff`` have their readings, and keep their minutes.
    """
    for lo, hi in storage.not_backfilled(connection, floor(cutoff, storage.DAY)):
        if tier is Tier.TSL:
            connection.execute(DROP_MINUTE_CHUNKS, {"lo": lo, "hi": hi})
            continue
        row = connection.execute(OLDEST_MINUTE, {"lo": lo, "hi": hi}).fetchone()
        if row is None or row[0] is None:
            continue
        for day in storage.days_between(row[0], hi - storage.DAY):
            connection.execute(DROP_MINUTES, {"lo": day, "hi": day + storage.DAY})
