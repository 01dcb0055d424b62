"""Backfills: what an operator lets in although it is older than retention.

A backfill names gateways and incarnations; while it is open the stream judges their frames without the lower limit of
times. The days that it brings are kept by retention for as long as if they had been measured when it was opened.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from contracts.errors import UserError
from stream import storage
from stream.storage import Connection, Tier

OPEN_FOR: Final = timedelta(days=1)
"""A backfill whose command was killed ends by itself."""

OPEN: Final = """
    INSERT INTO backfill (tenant_id, gateway_id, ep, lo, hi, opened_at, open_until)
    VALUES (%(tenant)s, %(gateway)s, %(ep)s, %(lo)s, %(hi)s, %(now)s, %(until)s)
    RETURNING backfill_id
"""
CLOSE: Final = "UPDATE backfill SET open_until = least(open_until, %(now)s) WHERE backfill_id = ANY(%(ids)s)"
# A continuous aggregate that is refreshed where the readings are gone loses what it had of them.
ROLLED_UP: Final = """
    SELECT min(bucket) FROM reading_1d
    WHERE bucket >= %(lo)s AND bucket < %(hi)s
      AND bucket < (SELECT raw_from FROM storage_state)
      AND NOT EXISTS (
          SELECT FROM backfill
          WHERE lo <= bucket AND hi > bucket AND opened_at >= (SELECT raw_from FROM storage_state)
      )
"""
# Hours are made of minutes: once these are gone, a refresh would make them of what is backfilled alone.
MINUTES_GONE: Final = """
    SELECT min(d.bucket) FROM reading_1d d
    WHERE d.bucket >= %(lo)s AND d.bucket < %(hi)s
      AND NOT EXISTS (
          SELECT FROM reading_1m m
          WHERE m.series_id = d.series_id AND m.bucket >= d.bucket AND m.bucket < d.bucket + interval '1 day'
      )
"""
_REFUSED: Final = """
    q.reason = 'bad_time' AND q.detail LIKE '%%before retention%%'
    AND q.state = 'held' AND q.seq IS NOT NULL AND octet_length(q.payload) = q.payload_bytes
    AND EXISTS (
        SELECT FROM backfill b
        WHERE b.backfill_id = ANY(%(ids)s) AND (b.tenant_id, b.gateway_id, b.ep) = (q.tenant_id, q.gateway_id, q.ep)
    )
"""
RETRY: Final = f"UPDATE quarantine q SET state = 'retry' WHERE {_REFUSED} RETURNING quarantine_id"  # noqa: S608
STATES: Final = "SELECT state, count(*) FROM quarantine WHERE quarantine_id = ANY(%(ids)s) GROUP BY state"


class Permit(NamedTuple):
    """Whole UTC days ``lo`` … ``hi`` (excluded) of one incarnation of a gateway; ``ep`` '' for plain readings."""

    tenant: str
    gateway: str
    ep: str
    lo: datetime
    hi: datetime


def open_(connection: Connection, tier: Tier, permits: Iterable[Permit], now: datetime) -> list[int]:
    """Let these in from now on; returns the ids for ``close``. Needs autocommit.

    Raises UserError when a refresh would replace the rollups that are all that is left of a day: in tier tsl once its
    readings are dropped, in the others once its rollups by the minute are.
    """
    lost = ROLLED_UP if tier is Tier.TSL else MINUTES_GONE
    with connection.transaction():
        chosen = list(permits)
        for permit in chosen:
            row = connection.execute(lost, {"lo": permit.lo, "hi": permit.hi}).fetchone()
            if row is not None and row[0] is not None:
                message = f"readings of {row[0]:%Y-%m-%d} were dropped, and a backfill would replace their rollups"
                raise UserError(message, "leave that day out of the file")
        until = now + OPEN_FOR
        ids = []
        for permit in chosen:
            row = connection.execute(OPEN, {**permit._asdict(), "now": now, "until": until}).fetchone()
            assert row is not None
            ids.append(int(row[0]))
        return ids


def close(connection: Connection, ids: list[int], now: datetime) -> None:
    """Let nothing more in; the days stay kept."""
    connection.execute(CLOSE, {"ids": ids, "now": now})


def retry_refused(connection: Connection, ids: list[int]) -> list[int]:
    """Let the stream try again what these backfills cover and was refused as too old; returns rows of quarantine."""
    return [row[0] for row in connection.execute(RETRY, {"ids": ids})]


def states(connection: Connection, rows: list[int]) -> dict[str, int]:
    """How many rows of the quarantine are in which state."""
    return dict(connection.execute(STATES, {"ids": rows}).fetchall())


def days(tenant: str, gateway: str, ep: str, times_ms: Iterable[int]) -> list[Permit]:
    """Permits for the days that these times (ms since 1970 UTC) touch, one for each run of days."""
    numbers = sorted({time_ms // _DAY_MS for time_ms in times_ms})
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1]:
            runs[-1][1] = number + 1
        else:
            runs.append([number, number + 1])
    return [
        Permit(tenant, gateway, ep, _EPOCH + first * storage.DAY, _EPOCH + end * storage.DAY) for first, end in runs
    ]


_DAY_MS: Final = 86_400_000
_EPOCH: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
