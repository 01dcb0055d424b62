"""At the door: what was accepted is in the store, what was refused goes back, and only what was accepted is owed.

Locks are taken in one order everywhere: the order, the dealer's credit, the balances of stock.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any, Final
from uuid import UUID

from platform_api.finance import service as finance
from platform_api.flows import refilling
from platform_api.flows.ordering import bump, debtor_of
from platform_api.kit.db import Connection
from platform_api.kit.errors import ApiError, not_found
from platform_api.kit.keys import new_key
from platform_api.logistics import queries
from platform_api.logistics.proofs import Proof, ProofError, Taken, taken_of
from platform_api.orders import return_queries
from platform_api.orders.return_rules import ReturnState
from platform_api.orders.rules import Action, State
from platform_api.orders.service import Actor, change_line, lock_order, move
from platform_api.orders.totals import credit_part
from platform_api.stock import moving
from platform_api.stock.ledger import Move
from platform_api.stock.rules import LOSS, TRANSIT, MoveKind
from platform_api.stock.valuing import Leg

Row = Mapping[str, Any]

FUTURE_MAX: Final = timedelta(minutes=5)
"""A clock that is ahead by so much may still sign."""
UNSAID: Final = "refused at the door"


def deliver(tx: Connection, actor: Actor, shipment_id: UUID, proof: Proof, now: datetime) -> UUID:
    """Note who took a shipment, and what of it; the dealer is credited for the rest. Returns its order.

    What was refused stays in transit, in a return that its warehouse receives; what was missing is a loss.
    Raises ApiError (404, 409).
    """
    order, shipment = _lock(tx, actor, shipment_id)
    taken = _taken(shipment, proof)
    _credit(tx, actor, order, shipment, taken)
    _arrive(tx, actor, shipment, taken, proof, now)
    _send_back(tx, actor, shipment, taken, proof)
    place = {"tenant_id": actor.tenant_id, "shipment_id": shipment_id}
    said = {name: getattr(proof, name) for name in ("signer", "at", "lat", "lon", "signature", "photo", "note")}
    tx.execute(queries.INSERT_PROOF, {**place, "user_id": actor.user_id, **said})
    tx.execute(queries.DELIVER, {**place, "at": proof.at})
    _ask_store(tx, actor.tenant_id, shipment, taken, now)
    remaining = tx.execute(queries.UNDELIVERED, {**place, "order_id": order["order_id"]}).fetchone()
    assert remaining is not None
    if State(order["state"]) is State.SHIPPED and not remaining["n"]:
        move(tx, actor, order, Action.DELIVER, f"signed by {proof.signer}")
    bump(tx, actor, order["order_id"])
    order_id: UUID = order["order_id"]
    return order_id


def _lock(tx: Connection, actor: Actor, shipment_id: UUID) -> tuple[Row, Row]:
    place: dict[str, object] = {**actor.scope, "shipment_id": shipment_id}
    known = tx.execute(queries.ORDER_OF, place).fetchone()
    if known is None:
        raise not_found("shipment")
    order = lock_order(tx, Actor(actor.tenant_id, actor.login, actor.user_id), known["order_id"])
    shipment = tx.execute(queries.LOCK_SHIPMENT, place).fetchone()
    assert shipment is not None
    if shipment["state"] == "delivered":
        raise ApiError(HTTPStatus.CONFLICT, "the shipment is delivered already")
    return order, shipment


def _taken(shipment: Row, proof: Proof) -> dict[int, Taken]:
    try:
        return taken_of({line["line"]: line["units"] for line in shipment["lines"]}, proof)
    except ProofError as error:
        raise ApiError(HTTPStatus.CONFLICT, str(error)) from error


def _credit(tx: Connection, actor: Actor, order: Row, shipment: Row, taken: Mapping[int, Taken]) -> None:
    """Write down what became of each line, and credit what was invoiced for units that were not accepted."""
    amount = 0
    for line in shipment["lines"]:
        number, it = line["line"], taken[line["line"]]
        part = credit_part(line["invoiced_minor"], line["units"], it.lacking)
        amount += part
        key = {"tenant_id": actor.tenant_id, "shipment_id": shipment["shipment_id"], "line_no": number}
        tx.execute(queries.ACCEPT, {**key, "accepted": it.accepted, "missing": it.missing, "credited_minor": part})
        units = {"delivered": it.accepted, "refused": it.refused, "missing": it.missing}
        change_line(tx, actor.tenant_id, order["order_id"], number, **units, credited=part)
    if not amount:
        return
    entry = finance.Entry(
        kind=finance.EntryKind.CREDIT_NOTE,
        amount_minor=-amount,
        source=f"delivery:{shipment['shipment_id']}",
        order_id=order["order_id"],
        reference=shipment["tracking_no"],
        user_id=actor.user_id,
    )
    noted = finance.settle(tx, debtor_of(actor.tenant_id, order), entry)
    assert noted, entry


def _arrive(
    tx: Connection, actor: Actor, shipment: Row, taken: Mapping[int, Taken], proof: Proof, now: datetime
) -> None:
    """Bring what was accepted into the store and what was missing to the losses, in the lots that it left in."""
    fates: dict[str, dict[str, int]] = {}
    for line in shipment["lines"]:
        fate = fates.setdefault(line["sku"], {shipment["ship_to"]: 0, LOSS: 0})
        fate[shipment["ship_to"]] += taken[line["line"]].accepted
        fate[LOSS] += taken[line["line"]].missing
    legs: list[Leg] = []
    place = {"tenant_id": actor.tenant_id, "reference": f"shipment:{shipment['shipment_id']}"}
    for sku, fate in sorted(fates.items()):
        rows = tx.execute(moving.LOTS_OF_MOVE, {**place, "sku": sku})
        legs += moving.spread_legs(sku, [(TRANSIT, row["lot_id"], row["units"]) for row in rows], fate)
    if not legs:
        return  # all of it goes back
    arrival = Move(
        kind=MoveKind.TRANSFER,
        happened_at=proof.at,
        legs=legs,
        source="delivery",
        source_event_id=str(shipment["shipment_id"]),
        reference=f"delivery:{shipment['shipment_id']}",
        user_id=actor.user_id,
        late=True,
    )
    moving.post_new(tx, actor.tenant_id, arrival, now)


def _send_back(tx: Connection, actor: Actor, shipment: Row, taken: Mapping[int, Taken], proof: Proof) -> None:
    """Make a return of what was refused: nobody has to approve it, it is on the van."""
    refused = [(line, taken[line["line"]].refused) for line in shipment["lines"] if taken[line["line"]].refused]
    if not refused:
        return
    head = {
        "tenant_id": actor.tenant_id,
        "return_id": new_key(),
        "state": ReturnState.APPROVED,
        "reason": proof.note or UNSAID,
        "line_reason": "",
        "user_id": actor.user_id,
        **{name: shipment[name] for name in ("order_id", "org_id", "shipment_id")},
    }
    tx.execute(return_queries.INSERT_RETURN, head)
    with tx.cursor() as cursor:
        rows = [{**head, "line_no": line["line"], "sku": line["sku"], "units": units} for line, units in refused]
        cursor.executemany(return_queries.INSERT_LINE, rows)


def _ask_store(tx: Connection, tenant_id: str, shipment: Row, taken: Mapping[int, Taken], now: datetime) -> None:
    arrived: dict[str, int] = {}
    for line in shipment["lines"]:
        arrived[line["sku"]] = arrived.get(line["sku"], 0) + taken[line["line"]].accepted
    for sku, units in sorted(arrived.items()):
        if units:
            arrival = refilling.Arrival(
                site=shipment["ship_to"],
                sku=sku,
                units=units,
                source="shipment",
                source_id=shipment["shipment_id"],
                since=shipment["dispatched_at"],
            )
            refilling.ask(tx, tenant_id, arrival, now)
