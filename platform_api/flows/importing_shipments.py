"""Shipments from a file: dispatched, and signed for, as any other."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from platform_api.flows import delivering, shipping
from platform_api.imports import batch_queries
from platform_api.imports.document_rows import ShipmentRow
from platform_api.kit.db import Connection
from platform_api.kit.errors import not_found, unprocessable
from platform_api.logistics import queries
from platform_api.logistics.proofs import Proof
from platform_api.orders import queries as order_queries
from platform_api.orders.service import Actor

DELIVERY = ("signer", "delivered", "accepted", "missing")


def number_of(row: ShipmentRow) -> str:
    """What a shipment is known by."""
    return f"{row.carrier}/{row.tracking_no}"


def sent(rows: Sequence[ShipmentRow]) -> list[object]:
    """What left."""
    return [row.model_dump(mode="json", exclude=set(DELIVERY), exclude_defaults=True) for row in rows]


def signed(rows: Sequence[ShipmentRow]) -> list[object] | None:
    """What somebody signed for, None when nobody has yet."""
    if all(row.signer is None for row in rows):
        return None
    return [row.model_dump(mode="json", include={"line", *DELIVERY}, exclude_defaults=True) for row in rows]


def dispatch(tx: Connection, actor: Actor, rows: Sequence[ShipmentRow], now: datetime) -> UUID:
    """Send what the rows name. Raises ApiError (404, 409), InputError, StockError."""
    first = rows[0]
    _agree(rows, ("order", "org", "reference", "eta"))
    wanted = shipping.Dispatch(
        units={row.line: row.units for row in rows}, carrier=first.carrier, tracking_no=first.tracking_no, eta=first.eta
    )
    return shipping.dispatch(tx, actor, _order_of(tx, actor, first), None, wanted, now)


def deliver(tx: Connection, actor: Actor, rows: Sequence[ShipmentRow], now: datetime) -> UUID:
    """Note who took it. Raises ApiError (404, 409), InputError, StockError."""
    first = rows[0]
    _agree(rows, ("signer", "delivered"))
    assert first.signer is not None
    assert first.delivered is not None
    if first.delivered > now + delivering.FUTURE_MAX:
        raise unprocessable("body.delivered", "lies in the future")
    place = {"tenant_id": actor.tenant_id, "carrier": first.carrier, "tracking_no": first.tracking_no}
    shipment = tx.execute(queries.BY_TRACKING, place).fetchone()
    if shipment is None:
        raise not_found("shipment")
    missing = {row.line: row.missing for row in rows}
    accepted = {row.line: row.units - row.missing if row.accepted is None else row.accepted for row in rows}
    proof = Proof(signer=first.signer, at=first.delivered, accepted=accepted, missing=missing)
    delivering.deliver(tx, actor, shipment["shipment_id"], proof, now)
    shipment_id: UUID = shipment["shipment_id"]
    return shipment_id


def _order_of(tx: Connection, actor: Actor, row: ShipmentRow) -> UUID:
    if row.order is not None:
        found = tx.execute(order_queries.BY_NUMBER, {"tenant_id": actor.tenant_id, "number": row.order}).fetchone()
    else:
        place = {"tenant_id": actor.tenant_id, "kind": "orders", "number": f"{row.org}/{row.reference}"}
        found = tx.execute(batch_queries.DOCUMENT, place).fetchone()
    if found is None:
        raise unprocessable("body.order" if row.order is not None else "body.reference", "there is no such order")
    order_id: UUID = found["subject"]
    return order_id


def _agree(rows: Sequence[ShipmentRow], columns: Sequence[str]) -> None:
    for place, row in enumerate(rows):
        for column in columns:
            if getattr(row, column) != getattr(rows[0], column):
                raise unprocessable(f"body.lines.{place}.{column}", "differs from the shipment's first line")
