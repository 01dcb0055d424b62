"""What the platform leaves for later; the worker in ``deploy`` runs it on a schedule.

Plain functions on a connection of the owner in autocommit mode, for all tenants, each safe to repeat after a crash at
any point and to run in several workers at once.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final, cast

import psycopg
from psycopg.rows import DictRow, dict_row

from platform_api.flows import confirming, ordering, refilling, replenishing
from platform_api.imports import batch_queries
from platform_api.kit import idempotency
from platform_api.replenishment.planning import Planner
from platform_api.stock import booking, expiring, reconciling, reserving, tills, transferring
from platform_api.webhooks import delivering

ROUNDS_MAX = 20
"""Batches that one run of a job works off; the next run goes on."""


IMPORT_LIFE: Final = timedelta(days=7)
"""For so long an uploaded file waits to be committed."""
IMPORTS_KEPT: Final = timedelta(days=90)
"""For so long it is told what became of a file; what it brought stays."""


def book_stock(connection: psycopg.Connection[Any], now: datetime) -> int:
    """Book what shelves saw since, and then what tills told; returns how many events and lines were taken."""
    rows = _dicts(connection)
    taken = 0
    for _ in range(ROUNDS_MAX):
        round_ = booking.book_events(rows, now)
        taken += round_.taken
        if round_.taken < booking.BATCH_MAX:
            break
    for _ in range(ROUNDS_MAX):
        lines = tills.book_sales(rows, now)
        taken += lines
        if lines < tills.BATCH_MAX:
            break
    return taken


def reconcile_stock(connection: psycopg.Connection[Any], now: datetime) -> reconciling.Compared:
    """Compare shelves with the books."""
    return reconciling.reconcile(_dicts(connection), now)


def expire_reservations(connection: psycopg.Connection[Any], now: datetime) -> int:
    """Give back what was reserved for too long; returns how many reservations ended."""
    rows = _dicts(connection)
    with rows.transaction():
        return reserving.expire(rows, now)


def hold_expired(connection: psycopg.Connection[Any], now: datetime) -> int:
    """Put lots that have expired on hold; returns of how many articles at a place."""
    return expiring.hold_expired(_dicts(connection), now)


def allocate_back_orders(connection: psycopg.Connection[Any], now: datetime) -> int:
    """Hold units that have come for orders, and then for transfers, that wait for them; how many were looked at."""
    rows = _dicts(connection)
    return ordering.allocate_back_orders(rows, now) + transferring.hold_back_orders(rows)


def fulfil_proposals(connection: psycopg.Connection[Any], now: datetime, planner: Planner) -> int:
    """Order or move what was approved, and what policies order by themselves; returns how many were looked at."""
    return replenishing.fulfil_proposals(_dicts(connection), now, planner)


def confirm_refills(connection: psycopg.Connection[Any], now: datetime) -> int:
    """Let simulated carriers drive and shelves speak; returns how many cycles and shipments were settled."""
    rows = _dicts(connection)
    confirming.drive_simulated(rows, now)
    replenishing.take_in_transfers(rows, now)
    refilling.watch(rows, now)
    return confirming.confirm_deliveries(rows, now) + replenishing.close_proposals(rows, now)


def deliver_webhooks(
    connection: psycopg.Connection[Any],
    clock: Callable[[], datetime],
    sending: delivering.Sending,
    stopped: Callable[[], bool],
) -> int:
    """Tell subscribers what happened, until ``stopped`` or nothing is due; returns how many deliveries were tried."""
    return delivering.deliver(_dicts(connection), clock, sending, stopped)


def forget_events(connection: psycopg.Connection[Any], now: datetime) -> int:
    """Forget what can no longer be replayed, files that nobody committed, and old ones; returns how many events."""
    connection.execute(batch_queries.FORGET, {"before": now - IMPORT_LIFE})
    connection.execute(batch_queries.DELETE_OLD, {"before": now - IMPORTS_KEPT})
    return delivering.forget(_dicts(connection), now)


def forget_answers(connection: psycopg.Connection[Any]) -> int:
    """Forget the answers of idempotency keys that are a day old; returns how many."""
    return connection.execute(idempotency.FORGET, {"hours": idempotency.KEPT_HOURS}).rowcount


def _dicts(connection: psycopg.Connection[Any]) -> psycopg.Connection[DictRow]:
    connection.row_factory = dict_row
    return cast("psycopg.Connection[DictRow]", connection)
