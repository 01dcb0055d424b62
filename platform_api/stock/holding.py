"""Stock on hold: out of what is sold until somebody has decided, then released or written off, each with its reason."""

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from platform_api.kit.db import Connection
from platform_api.kit.keys import new_key
from platform_api.stock import moving, queries
from platform_api.stock.ledger import Move, StockError, hold
from platform_api.stock.rules import LOSS, MoveKind, hold_of
from platform_api.stock.valuing import Leg


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Units of a SKU at a warehouse or in a store's back room, and why they move; of one lot unless that is ''."""

    site: str
    sku: str
    units: int
    lot: str
    reason: str


def put(tx: Connection, tenant_id: str, user_id: UUID, held: Held) -> UUID:
    """Take free units out of what is sold. Raises StockError when less is there and promised to nobody."""
    return _move(tx, tenant_id, user_id, held, (MoveKind.HOLD, held.site, hold_of(held.site)))


def release(tx: Connection, tenant_id: str, user_id: UUID, held: Held) -> UUID:
    """Let units be sold again. Raises StockError when less is on hold."""
    return _move(tx, tenant_id, user_id, held, (MoveKind.RELEASE, hold_of(held.site), held.site))


def write_off(tx: Connection, tenant_id: str, user_id: UUID, held: Held) -> UUID:
    """Lose units that are on hold. Raises StockError when less is."""
    return _move(tx, tenant_id, user_id, held, (MoveKind.LOSS, hold_of(held.site), LOSS))


def _move(tx: Connection, tenant_id: str, user_id: UUID, held: Held, way: tuple[MoveKind, str, str]) -> UUID:
    kind, source, target = way
    hold(tx, tenant_id, [(place, held.sku) for place in (source, target)])
    now = datetime.now(UTC)
    move = Move(
        kind=kind,
        happened_at=now,
        legs=_legs(tx, tenant_id, held, source, target),
        source="hold",
        source_event_id=str(new_key()),
        reason=held.reason,
        user_id=user_id,
    )
    return moving.post_new(tx, tenant_id, move, now)


def _legs(tx: Connection, tenant_id: str, held: Held, source: str, target: str) -> list[Leg]:
    if not held.lot:  # first expired first, and what has expired too
        return moving.transfer_legs(tx, tenant_id, moving.Route(source, target, None), {held.sku: held.units})
    place = {"tenant_id": tenant_id, "location": source, "skus": [held.sku]}
    for row in tx.execute(queries.LOTS_AT, place):
        if row["code"] == held.lot:
            lot_id = row["lot_id"]
            return [Leg(source, held.sku, -held.units, lot_id), Leg(target, held.sku, held.units, lot_id)]
    msg = f"{source} has no lot {held.lot} of {held.sku}"
    raise StockError(msg)
