"""From held units to goods on the road: dispatch, with stock, receivables and the order kept in step.

Locks are taken in one order everywhere: the order, the dealer's credit, the balances of stock.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any
from uuid import UUID

from platform_api.finance import service as finance
from platform_api.flows.ordering import bump, debtor_of, reference_of
from platform_api.kit.db import Connection
from platform_api.kit.errors import ApiError, not_found
from platform_api.kit.keys import new_key
from platform_api.logistics import queries
from platform_api.orders import queries as order_queries
from platform_api.orders.rules import Action
from platform_api.orders.service import Actor, change_line, gross_minor, lock_order, move, read_lines
from platform_api.orders.totals import invoice_part
from platform_api.stock import moving, reserving
from platform_api.stock.ledger import Move, hold
from platform_api.stock.rules import TRANSIT, MoveKind
from platform_api.stock.valuing import Leg

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatch:
    """What shall leave: units by line (None: all that is held), with whom, and when it should arrive."""

    units: Mapping[int, int] | None
    carrier: str
    tracking_no: str
    eta: datetime | None


@dataclass(frozen=True, slots=True)
class _Leaving:
    """What leaves of an order: its lines, and units of some of them."""

    order: Row
    lines: Mapping[int, Row]
    units: Mapping[int, int]
    shipment_id: UUID

    def by_sku(self) -> dict[str, int]:
        sums: dict[str, int] = {}
        for number, count in self.units.items():
            sku = self.lines[number]["sku"]
            sums[sku] = sums.get(sku, 0) + count
        return sums


def dispatch(
    tx: Connection, actor: Actor, order_id: UUID, version: int | None, wanted: Dispatch, now: datetime
) -> UUID:
    """Send held units of an order; what has left is owed from now on. Returns the shipment.

    Raises ApiError (404, 409, 412), StockError.
    """
    order = lock_order(tx, actor, order_id, version)
    lines = {line["line_no"]: line for line in read_lines(tx, actor.tenant_id, order_id)}
    leaving = _Leaving(order, lines, _units_of(lines, wanted), new_key())
    shipment_id = leaving.shipment_id
    invoiced = _invoice(tx, actor, leaving)
    by_sku = leaving.by_sku()
    # Both sides at once and in order: what comes back from the door holds them both too.
    hold(tx, actor.tenant_id, [(place, sku) for sku in by_sku for place in (order["ship_from"], TRANSIT)])
    reserving.consume(tx, actor.tenant_id, reference_of(order_id), order["ship_from"], by_sku)
    route = moving.Route(order["ship_from"], TRANSIT, now.date())
    legs = moving.transfer_legs(tx, actor.tenant_id, route, by_sku)
    moving.post_new(tx, actor.tenant_id, _move(legs, now, f"shipment:{shipment_id}", actor), now)
    _write(tx, actor, leaving, wanted, invoiced)
    left = sum(line["units"] - line["shipped_units"] for line in lines.values()) - sum(by_sku.values())
    move(tx, actor, order, Action.SHIP_PART if left else Action.SHIP, f"shipment {shipment_id}")
    bump(tx, actor, order_id)
    return shipment_id


def _units_of(lines: Mapping[int, Row], wanted: Dispatch) -> dict[int, int]:
    asked = wanted.units
    if asked is None:
        asked = {number: line["reserved_units"] for number, line in lines.items()}
    units = {number: count for number, count in asked.items() if count}
    for number, count in units.items():
        if number not in lines or count > lines[number]["reserved_units"]:
            held = lines[number]["reserved_units"] if number in lines else 0
            raise ApiError(HTTPStatus.CONFLICT, f"line {number}: {held} units are held, not {count}")
    if not units:
        raise ApiError(HTTPStatus.CONFLICT, "no units are held for this order")
    return units


def _invoice(tx: Connection, actor: Actor, leaving: _Leaving) -> dict[int, int]:
    """Let what leaves be owed; minor units by line."""
    order, parts = leaving.order, dict[int, int]()
    for number, count in leaving.units.items():
        line = leaving.lines[number]
        part = invoice_part(gross_minor(line), line["units"], line["invoiced_minor"], line["shipped_units"] + count)
        parts[number] = part
        change_line(tx, actor.tenant_id, order["order_id"], number, reserved=-count, shipped=count, invoiced=part)
    amount = sum(parts.values())
    if not amount:
        return parts  # a gift is not invoiced
    invoiced = finance.invoice(
        tx,
        debtor_of(actor.tenant_id, order),
        finance.Entry(
            kind=finance.EntryKind.INVOICE,
            amount_minor=amount,
            source=f"shipment:{leaving.shipment_id}",
            order_id=order["order_id"],
            user_id=actor.user_id,
        ),
        override=order["credit_overridden"],
    )
    if not invoiced:
        raise ApiError(HTTPStatus.CONFLICT, "the dealer is beyond their credit by now")
    place = {"tenant_id": actor.tenant_id, "order_id": order["order_id"]}
    tx.execute(order_queries.ADD_COMMITTED, {**place, "amount_minor": -amount})
    return parts


def _write(tx: Connection, actor: Actor, leaving: _Leaving, wanted: Dispatch, invoiced: Mapping[int, int]) -> None:
    place = {"tenant_id": actor.tenant_id, "shipment_id": leaving.shipment_id}
    if tx.execute(queries.CARRIER, {**place, "carrier": wanted.carrier}).fetchone() is None:
        raise not_found("carrier")
    values = {
        **place,
        "carrier": wanted.carrier,
        "tracking_no": wanted.tracking_no or str(leaving.shipment_id),
        "eta": wanted.eta,
        **{name: leaving.order[name] for name in ("order_id", "org_id", "ship_from", "ship_to")},
    }
    if tx.execute(queries.INSERT_SHIPMENT, values).rowcount == 0:
        raise ApiError(HTTPStatus.CONFLICT, f"{wanted.carrier} has a shipment {wanted.tracking_no} already")
    with tx.cursor() as cursor:
        cursor.executemany(
            queries.INSERT_LINE,
            [
                {
                    **place,
                    "line_no": number,
                    "sku": leaving.lines[number]["sku"],
                    "units": count,
                    "invoiced_minor": invoiced[number],
                }
                for number, count in sorted(leaving.units.items())
            ],
        )


def _move(legs: list[Leg], at: datetime, reference: str, actor: Actor) -> Move:
    source, _, number = reference.partition(":")
    return Move(
        kind=MoveKind.ISSUE,
        happened_at=at,
        legs=legs,
        source=source,
        source_event_id=number,
        reference=reference,
        user_id=actor.user_id,
    )
