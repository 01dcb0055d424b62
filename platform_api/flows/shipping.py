"""From held units to a signature: dispatch and delivery, with stock, receivables and the order kept in step.

Locks are taken in one order everywhere: the order, the dealer's credit, the balances of stock.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any, Final
from uuid import UUID

from platform_api.finance import service as finance
from platform_api.flows import refilling
from platform_api.flows.ordering import bump, debtor_of, reference_of
from platform_api.kit.db import Connection
from platform_api.kit.errors import ApiError, not_found
from platform_api.kit.keys import new_key
from platform_api.logistics import queries
from platform_api.logistics.proofs import Proof
from platform_api.orders import queries as order_queries
from platform_api.orders.rules import Action, State
from platform_api.orders.service import Actor, change_line, gross_minor, lock_order, move, read_lines
from platform_api.orders.totals import invoice_part
from platform_api.stock import moving, reserving
from platform_api.stock.ledger import Move
from platform_api.stock.rules import LOSS, TRANSIT, MoveKind
from platform_api.stock.valuing import Leg

Row = Mapping[str, Any]

FUTURE_MAX: Final = timedelta(minutes=5)
"""A clock that is ahead by so much may still sign."""


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
    _invoice(tx, actor, leaving)
    by_sku = leaving.by_sku()
    reserving.consume(tx, actor.tenant_id, reference_of(order_id), order["ship_from"], by_sku)
    route = moving.Route(order["ship_from"], TRANSIT, now.date())
    legs = moving.transfer_legs(tx, actor.tenant_id, route, by_sku)
    moving.post_new(tx, actor.tenant_id, _move(MoveKind.ISSUE, legs, now, f"shipment:{shipment_id}", actor), now)
    _write(tx, actor, leaving, wanted)
    left = sum(line["units"] - line["shipped_units"] for line in lines.values()) - sum(by_sku.values())
    move(tx, actor, order, Action.SHIP_PART if left else Action.SHIP, f"shipment {shipment_id}")
    bump(tx, actor, order_id)
    return shipment_id


def deliver(tx: Connection, actor: Actor, shipment_id: UUID, proof: Proof, now: datetime) -> UUID:
    """Note who took a shipment: what was accepted is in the store, the rest is lost on the way. Returns its order.

    Raises ApiError (404, 409).
    """
    place: dict[str, object] = {**actor.scope, "shipment_id": shipment_id}
    known = tx.execute(queries.ORDER_OF, place).fetchone()
    if known is None:
        raise not_found("shipment")
    order = lock_order(tx, Actor(actor.tenant_id, actor.login, actor.user_id), known["order_id"])
    shipment = tx.execute(queries.LOCK_SHIPMENT, place).fetchone()
    assert shipment is not None
    if shipment["state"] == "delivered":
        raise ApiError(HTTPStatus.CONFLICT, "the shipment is delivered already")
    accepted = _accepted(shipment, proof)
    fates: dict[str, dict[str, int]] = {}
    for line in shipment["lines"]:
        arrived = accepted[line["line"]]
        fate = fates.setdefault(line["sku"], {shipment["ship_to"]: 0, LOSS: 0})
        fate[shipment["ship_to"]] += arrived
        fate[LOSS] += line["units"] - arrived
        tx.execute(queries.ACCEPT, {**place, "line_no": line["line"], "accepted": arrived})
        if arrived:
            change_line(tx, actor.tenant_id, order["order_id"], line["line"], delivered=arrived)
    legs = _arrivals(tx, actor.tenant_id, shipment_id, fates)
    moving.post_new(
        tx, actor.tenant_id, _move(MoveKind.TRANSFER, legs, proof.at, f"delivery:{shipment_id}", actor, late=True), now
    )
    tx.execute(
        queries.INSERT_PROOF,
        {
            **place,
            "user_id": actor.user_id,
            **{name: getattr(proof, name) for name in ("signer", "at", "lat", "lon", "signature", "photo", "note")},
        },
    )
    tx.execute(queries.DELIVER, {**place, "at": proof.at})
    _ask_store(tx, actor.tenant_id, shipment, fates, now)
    remaining = tx.execute(queries.UNDELIVERED, {**place, "order_id": order["order_id"]}).fetchone()
    assert remaining is not None
    if State(order["state"]) is State.SHIPPED and not remaining["n"]:
        move(tx, actor, order, Action.DELIVER, f"signed by {proof.signer}")
    bump(tx, actor, order["order_id"])
    order_id: UUID = order["order_id"]
    return order_id


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


def _invoice(tx: Connection, actor: Actor, leaving: _Leaving) -> None:
    order, amount = leaving.order, 0
    for number, count in leaving.units.items():
        line = leaving.lines[number]
        part = invoice_part(gross_minor(line), line["units"], line["invoiced_minor"], line["shipped_units"] + count)
        amount += part
        change_line(tx, actor.tenant_id, order["order_id"], number, reserved=-count, shipped=count, invoiced=part)
    if not amount:
        return  # a gift is not invoiced
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


def _write(tx: Connection, actor: Actor, leaving: _Leaving, wanted: Dispatch) -> None:
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
                {**place, "line_no": number, "sku": leaving.lines[number]["sku"], "units": count}
                for number, count in sorted(leaving.units.items())
            ],
        )


def _accepted(shipment: Row, proof: Proof) -> dict[int, int]:
    sent = {line["line"]: line["units"] for line in shipment["lines"]}
    if proof.accepted is None:
        return sent
    for number, count in proof.accepted.items():
        if number not in sent or count > sent[number]:
            raise ApiError(HTTPStatus.CONFLICT, f"line {number}: {sent.get(number, 0)} units were sent, not {count}")
    return {number: proof.accepted.get(number, 0) for number in sent}


def _ask_store(
    tx: Connection, tenant_id: str, shipment: Row, fates: Mapping[str, Mapping[str, int]], now: datetime
) -> None:
    for sku, fate in sorted(fates.items()):
        if fate[shipment["ship_to"]]:
            arrival = refilling.Arrival(
                site=shipment["ship_to"],
                sku=sku,
                units=fate[shipment["ship_to"]],
                source="shipment",
                source_id=shipment["shipment_id"],
                since=shipment["dispatched_at"],
            )
            refilling.ask(tx, tenant_id, arrival, now)


def _arrivals(tx: Connection, tenant_id: str, shipment_id: UUID, fates: Mapping[str, Mapping[str, int]]) -> list[Leg]:
    """The way of units out of transit, by SKU and place, in the lots that they went in with."""
    legs: list[Leg] = []
    place = {"tenant_id": tenant_id, "reference": f"shipment:{shipment_id}"}
    for sku, fate in sorted(fates.items()):
        rows = tx.execute(moving.LOTS_OF_MOVE, {**place, "sku": sku})
        legs += moving.spread_legs(sku, [(TRANSIT, row["lot_id"], row["units"]) for row in rows], fate)
    return legs


def _move(kind: MoveKind, legs: list[Leg], at: datetime, source: str, actor: Actor, *, late: bool = False) -> Move:
    name, _, number = source.partition(":")
    return Move(
        kind=kind,
        happened_at=at,
        legs=legs,
        source=name,
        source_event_id=number,
        reference=source,
        user_id=actor.user_id,
        late=late,
    )
