"""Orders from a file: filled and submitted as any other cart."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from platform_api.catalogue.pricing import Wanted
from platform_api.flows import ordering
from platform_api.imports.document_rows import OrderRow
from platform_api.kit.db import Connection
from platform_api.kit.errors import unprocessable
from platform_api.orders.service import Actor


def number_of(row: OrderRow) -> str:
    """What an order is known by."""
    return f"{row.org}/{row.reference}"


def post(tx: Connection, actor: Actor, rows: Sequence[OrderRow], now: datetime) -> UUID:
    """Order what the rows name. Raises ApiError (403, 404, 409), InputError."""
    first = rows[0]
    for place, row in enumerate(rows):
        for column in ("ship_to", "ship_from", "currency", "submit"):
            if getattr(row, column) != getattr(first, column):
                raise unprocessable(f"body.lines.{place}.{column}", "differs from the order's first line")
    cart = ordering.Cart(
        org=first.org,
        ship_to=first.ship_to,
        ship_from=first.ship_from,
        currency=first.currency,
        reference=first.reference,
        wanted=[Wanted(row.sku, row.uom, row.packs) for row in rows],
    )
    order_id = ordering.fill(tx, actor, cart, None, now)
    if first.submit:
        ordering.submit(tx, actor, order_id, None, now)
    return order_id
