"""Lots that have expired go on hold by themselves, so that somebody sees them and decides. For the worker.

Of warehouses and back rooms: from a shelf whoever stands before it takes them. Units that are promised stay until their
promise ends: nobody is sent what has expired (reserving.py), and no promise loses its units to a job.
"""

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

from platform_api.kit.keys import new_key
from platform_api.stock import moving, queries
from platform_api.stock.ledger import Connection, Move, StockError, hold
from platform_api.stock.rules import MoveKind, hold_of
from platform_api.stock.valuing import Leg

Row = Mapping[str, Any]

REASON: Final = "expired"


def hold_expired(tx: Connection, now: datetime) -> int:
    """Put what has expired and is promised to nobody on hold; how many places of SKUs it was taken from.

    Of all tenants, each place in a transaction of its own; what was moved is not found again.
    """
    taken = 0
    for row in tx.execute(queries.EXPIRED_PLACES).fetchall():
        # One that a reset has taken away, or that moves meanwhile, ends the turn of no other.
        with suppress(StockError), tx.transaction():
            taken += _take(tx, row, now)
    return taken


def _take(tx: Connection, row: Row, now: datetime) -> bool:
    tenant_id, location, sku = row["tenant_id"], row["location_id"], row["sku"]
    place, target = (location, sku), hold_of(location)
    left = hold(tx, tenant_id, [place, (target, sku)])[place].free
    legs: list[Leg] = []
    for lot in tx.execute(queries.EXPIRED_LOTS, row):
        units = min(lot["units"], left)
        if units > 0:
            legs += [Leg(location, sku, -units, lot["lot_id"]), Leg(target, sku, units, lot["lot_id"])]
            left -= units
    if not legs:
        return False
    move = Move(
        kind=MoveKind.HOLD,
        happened_at=now,
        legs=legs,
        source="expiry",
        source_event_id=str(new_key()),
        reason=REASON,
    )
    moving.post_new(tx, tenant_id, move, now)
    return True
