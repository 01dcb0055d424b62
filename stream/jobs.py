"""What the stream leaves for later: rollups, partitions ahead, retention, expiry of proposals.

Plain functions on a connection in autocommit mode, each safe to repeat after a crash at any point. The worker process
in ``deploy`` runs them on a schedule.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Final

from contracts.facts import ProposalState
from stream import storage
from stream.spans import Span, slices
from stream.storage import Connection, Tier

ROUND_S: Final = 2.5
"""A round of refreshing starts no further slice after this time."""
DIRTY_MAX: Final = 50_000
"""Dirty ranges that one round takes; about seven hours of epochs."""
REFRESH_LOCK: Final = 0x5348_454C_4633
"""Advisory lock: one process refreshes at a time, since two would do the same work twice."""
AHEAD: Final = timedelta(days=3)
BEHIND: Final = timedelta(days=1)
EXPIRES_AFTER: Final = {
    ProposalState.OPEN: timedelta(days=14),
    ProposalState.APPROVED: timedelta(days=14),
    ProposalState.ORDERED: timedelta(days=30),
}
"""How long a live proposal may stay in a state; then the shelf is free for a new cycle."""

TAKE_DIRTY: Final = "SELECT dirty_id, lo, hi FROM rollup_dirty ORDER BY dirty_id DESC LIMIT %(limit)s"
SETTLE_DIRTY: Final = "DELETE FROM rollup_dirty WHERE dirty_id = ANY(%(ids)s)"
KEEP_DIRTY: Final = (
    "INSERT INTO rollup_dirty (lo, hi) SELECT unnest(%(lo)s::timestamptz[]), unnest(%(hi)s::timestamptz[])"
)
TRY_LOCK: Final = "SELECT pg_try_advisory_lock(%(key)s)"
UNLOCK: Final = "SELECT pg_advisory_unlock(%(key)s)"
EXPIRE_PROPOSALS: Final = """
    UPDATE proposal SET state = 'expired', updated_at = %(now)s, version = version + 1
    WHERE state = %(state)s AND updated_at < %(before)s
"""


@dataclass(frozen=True)
class Refreshed:
    """Outcome of a round: dirty ranges taken, and slices of an hour at most that were refreshed or left."""

    taken: int = 0
    done: int = 0
    left: int = 0


def refresh_dirty(connection: Connection, tier: Tier, clock_s: Callable[[], float]) -> Refreshed:
    """Refresh the rollups of what the sink noted as dirty, newest first, for about ``ROUND_S``.

    ``clock_s`` is a steady clock. What is not reached is noted again. Ranges are only forgotten after their refresh,
    so a crash repeats work and loses none, also in the tier where a refresh cannot run in a transaction.
    """
    if not _scalar(connection, TRY_LOCK, REFRESH_LOCK):
        return Refreshed()
    try:
        return _refresh_round(connection, tier, clock_s)
    finally:
        _scalar(connection, UNLOCK, REFRESH_LOCK)


def extend_partitions(connection: Connection, tier: Tier, now: datetime) -> None:
    """Create the days around ``now`` before anyone needs them."""
    storage.ensure_partitions(connection, tier, now - BEHIND, now + AHEAD)


def apply_retention(connection: Connection, tier: Tier, now: datetime, keep: timedelta) -> list[str]:
    """Drop readings older than ``keep``; returns the names of the dropped partitions or chunks."""
    return storage.drop_before(connection, tier, now - keep)


def expire_proposals(connection: Connection, now: datetime) -> int:
    """Expire live proposals that nobody moved for as long as their state allows; returns how many."""
    expired = 0
    for state, after in EXPIRES_AFTER.items():
        cursor = connection.execute(EXPIRE_PROPOSALS, {"state": state, "now": now, "before": now - after})
        expired += cursor.rowcount
    return expired


def _refresh_round(connection: Connection, tier: Tier, clock_s: Callable[[], float]) -> Refreshed:
    rows = connection.execute(TAKE_DIRTY, {"limit": DIRTY_MAX}).fetchall()
    if not rows:
        return Refreshed()
    deadline_s = clock_s() + ROUND_S
    todo = list(slices(Span(lo, hi) for _, lo, hi in rows))
    done = 0
    for span in todo:
        if clock_s() >= deadline_s:
            break
        storage.refresh(connection, tier, span.lo, span.hi)
        done += 1
    left = [Span(lo, hi - _TICK) for lo, hi in islice(todo, done, None)]
    with connection.transaction():
        connection.execute(SETTLE_DIRTY, {"ids": [row[0] for row in rows]})
        connection.execute(KEEP_DIRTY, {"lo": [span.lo for span in left], "hi": [span.hi for span in left]})
    return Refreshed(taken=len(rows), done=done, left=len(left))


# A noted range includes both ends; a span excludes its end.
_TICK: Final = timedelta(microseconds=1)


def _scalar(connection: Connection, query: str, key: int) -> object:
    row = connection.execute(query.encode(), {"key": key}).fetchone()
    assert row is not None
    return row[0]
