"""Stock moves from a file: each row is a move of its own, posted by the ledger."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from platform_api.imports.document_rows import MoveRow
from platform_api.kit.db import Connection
from platform_api.kit.errors import unprocessable
from platform_api.orders.service import Actor
from platform_api.stock import moving, queries
from platform_api.stock.ledger import Move, hold, keep_lot
from platform_api.stock.rules import ADJUST, LOSS, SUPPLIER, MoveKind, is_hold
from platform_api.stock.valuing import Leg

FUTURE_MAX: Final = timedelta(minutes=5)
OTHER_SIDE: Final = {"opening": ADJUST, "receipt": SUPPLIER, "adjust": ADJUST, "loss": LOSS}
"""Where units come from, and go to when they are taken away."""


def number_of(row: MoveRow) -> str:
    """What a move is known by."""
    return f"{row.reference}/{row.line}"


def post(tx: Connection, actor: Actor, rows: Sequence[MoveRow], now: datetime) -> UUID:
    """Post a row. Raises StockError, InputError."""
    (row,) = rows
    happened = row.happened or now
    if happened > now + FUTURE_MAX:
        raise unprocessable("body.happened", "lies in the future")
    move = Move(
        kind=MoveKind(row.kind),
        happened_at=happened,
        legs=_legs(tx, actor.tenant_id, row, happened),
        source="import",
        source_event_id=number_of(row),
        reason=row.reason,
        reference=row.reference,
        user_id=actor.user_id,
        told_minor={} if row.value_minor is None else {row.sku: row.value_minor},
    )
    return moving.post_new(tx, actor.tenant_id, move, now)


def _legs(tx: Connection, tenant_id: str, row: MoveRow, happened: datetime) -> list[Leg]:
    sku = tx.execute(queries.KNOWN_SKUS, {"tenant_id": tenant_id, "skus": [row.sku]}).fetchone()
    if sku is None:
        raise unprocessable("body.sku", f"there is no SKU {row.sku!r}")
    places = {"location": row.location, **({} if row.to is None else {"to": row.to})}
    held = hold(tx, tenant_id, [(place, row.sku) for place in places.values()])
    for column, place in places.items():
        if (place, row.sku) not in held:
            raise unprocessable(f"body.{column}", "holds no stock")
    if row.to is not None:
        for column, place in places.items():
            if is_hold(place):
                raise unprocessable(f"body.{column}", "is for stock on hold, which /v1/stock-holds moves")
        return moving.transfer_legs(
            tx, tenant_id, moving.Route(row.location, row.to, happened.date()), {row.sku: row.units}
        )
    other = OTHER_SIDE[row.kind]
    if row.kind == "loss" or row.units < 0:
        return moving.transfer_legs(tx, tenant_id, moving.Route(row.location, other, None), {row.sku: abs(row.units)})
    if row.kind != "adjust" and bool(row.lot) is not sku["by_lot"]:
        raise unprocessable("body.lot", "is for SKUs kept by lot, and needed for those")
    lot_id = keep_lot(tx, tenant_id, row.sku, row.lot, row.expires) if row.lot else None
    return [Leg(row.location, row.sku, row.units, lot_id), Leg(other, row.sku, -row.units)]
