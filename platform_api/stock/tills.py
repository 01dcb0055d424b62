"""Books what tills sold, where their word counts: each line of a receipt becomes a move once. For the worker.

A SKU that the store's shelves count leaves its shelf; one that no shelf counts leaves the store as a whole. Lots that
expire first go first.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, Final

from platform_api.stock import moving
from platform_api.stock import till_queries as queries
from platform_api.stock.ledger import Connection, Move, StockError, hold, post
from platform_api.stock.rules import MoveKind, shelf_of, till_legs

BATCH_MAX: Final = 500
AGAIN_AFTER: Final = timedelta(minutes=5)
POS: Final = "pos"

Row = Mapping[str, Any]


def book_sales(connection: Connection, now: datetime) -> int:
    """Book up to BATCH_MAX lines in one transaction; how many were taken. Several workers may do so at once."""
    with connection.transaction():
        rows = connection.execute(queries.TAKE, {"now": now, "limit": BATCH_MAX}).fetchall()
        for tenant_id, group in groupby(rows, key=lambda row: str(row["tenant_id"])):
            told = list(group)
            sales = [row for row in told if row["source"] == POS]
            others = [row["sale_id"] for row in told if row["source"] != POS]
            connection.execute(queries.SETTLE_ALL, {"tenant_id": tenant_id, "sale_ids": others})
            # All places at once and in order: another worker may be booking for the same stores.
            hold(connection, tenant_id, (_place(row) for row in sales))
            for row in sales:
                _settle(connection, row, now)
    return len(rows)


def _settle(connection: Connection, row: Row, now: datetime) -> None:
    """Book a line and forget it, or put it off."""
    try:
        with connection.transaction():
            _book(connection, row, now)
    except StockError as error:
        connection.execute(queries.PUT_OFF, {**row, "error": str(error), "retry_at": now + AGAIN_AFTER})
        return
    connection.execute(queries.SETTLE, row)


def _book(connection: Connection, row: Row, now: datetime) -> None:
    if row["counts"] and row["counted_at"] is None:
        msg = "the shelf has not been counted yet"
        raise StockError(msg)
    if row["counts"] and row["sold_at"] < row["counted_at"]:
        return  # the first count of the shelf has it in it
    place = _place(row)
    balance = hold(connection, row["tenant_id"], [place])[place]
    legs, unbooked = till_legs(place[0], row["sku"], row["units"], None if balance.unbounded else balance.free)
    post(
        connection,
        row["tenant_id"],
        Move(
            kind=MoveKind.SALE if row["units"] > 0 else MoveKind.PUT_BACK,
            happened_at=row["sold_at"],
            legs=moving.fefo_legs(connection, row["tenant_id"], legs, {place: balance}),
            source=POS,
            source_event_id=f"{row['site_id']}/{row['receipt']}/{row['line']}",
            reason=f"{unbooked} units that {place[0]} has not got by its books" if unbooked else "",
            reference=place[0],
            late=True,
        ),
        now,
    )


def _place(row: Row) -> tuple[str, str]:
    return (shelf_of(row["site_id"]) if row["counts"] else row["site_id"], row["sku"])
