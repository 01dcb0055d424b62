"""Goods that come back: asked for, decided, received; with stock, receivables and the order kept in step.

Locks are taken in one order everywhere: the order, its return, the dealer's credit, the balances of stock.
"""

from collections.abc import Mapping
from datetime import date, datetime
from http import HTTPStatus
from typing import Any, Final
from uuid import UUID

from platform_api.finance import service as finance
from platform_api.flows.ordering import bump, debtor_of
from platform_api.kit.conditions import stale
from platform_api.kit.db import Connection
from platform_api.kit.errors import ApiError, not_found, unprocessable
from platform_api.kit.keys import new_key
from platform_api.logistics import queries as logistics
from platform_api.orders import return_queries as queries
from platform_api.orders.return_models import Return, return_of
from platform_api.orders.return_rules import Fate, ReturnAction, ReturnState, state_after
from platform_api.orders.service import Actor, change_line, lock_order, note, read_lines
from platform_api.orders.totals import credit_part
from platform_api.stock import moving
from platform_api.stock.ledger import Move, hold, lots_at
from platform_api.stock.rules import ADJUST, LOSS, TRANSIT, MoveKind, hold_of, pick_lots
from platform_api.stock.valuing import Leg

NO_REASONS: Final[Mapping[int, str]] = {}

Row = Mapping[str, Any]


def read_return(tx: Connection, actor: Actor, return_id: UUID) -> Return:
    """The return as it is shown. Raises ApiError (404)."""
    return return_of(_find(tx, queries.RETURN, actor, return_id))


def request_return(
    tx: Connection,
    actor: Actor,
    order_id: UUID,
    units: Mapping[int, int],
    reason: str,
    reasons: Mapping[int, str] = NO_REASONS,
) -> UUID:
    """Ask to send units back, by line: at most what was delivered, less what is back or on its way.

    ``reasons`` by line, where they are not that of all. Raises ApiError (404, 409), InputError (422) for a reason of a
    line that does not come back.
    """
    if strays := sorted(reasons.keys() - units.keys()):
        raise unprocessable(f"body.reasons.{strays[0]}", "is of a line that does not come back")
    order = lock_order(tx, actor, order_id)
    place = {"tenant_id": actor.tenant_id, "order_id": order_id}
    lines = {line["line_no"]: line for line in read_lines(tx, actor.tenant_id, order_id)}
    under_way = {row["line_no"]: row["units"] for row in tx.execute(queries.UNDER_WAY, place)}
    for number, count in units.items():
        line = lines.get(number)
        free = 0 if line is None else line["delivered_units"] - line["returned_units"] - under_way.get(number, 0)
        if count > free:
            raise ApiError(HTTPStatus.CONFLICT, f"line {number}: {free} units can be sent back, not {count}")
    return_id = new_key()
    head = {
        **place,
        "return_id": return_id,
        "org_id": order["org_id"],
        "shipment_id": None,
        "state": ReturnState.REQUESTED,
        "reason": reason,
        "user_id": actor.user_id,
    }
    tx.execute(queries.INSERT_RETURN, head)
    with tx.cursor() as cursor:
        cursor.executemany(
            queries.INSERT_LINE,
            [
                {
                    **head,
                    "line_no": number,
                    "sku": lines[number]["sku"],
                    "units": count,
                    "line_reason": reasons.get(number, ""),
                }
                for number, count in sorted(units.items())
            ],
        )
    note(tx, actor, order, "return_request", reason)
    return return_id


def decide(
    tx: Connection, actor: Actor, return_id: UUID, version: int, action: ReturnAction, reason: str
) -> ReturnState:
    """Approve or reject a return. Raises ApiError (404, 409, 412)."""
    order, back = _lock(tx, actor, return_id, version)
    if back["shipment_id"] is not None:
        raise ApiError(HTTPStatus.CONFLICT, "it was refused at the door and is on its way: receive what comes of it")
    return _move(tx, actor, order, back, action, reason)


def receive(
    tx: Connection, actor: Actor, return_id: UUID, version: int, fates: Mapping[int, Fate] | None, now: datetime
) -> UUID:
    """Goods are back: in the warehouse that they came from, on hold there, or written off; all is credited.

    ``fates`` by line of the order, None: all as agreed, to be restocked. What the store has not got by its books comes
    from nowhere, which the move says. What was refused at the door was credited there and comes out of transit; what
    of it does not come is lost. Returns the order. Raises ApiError (404, 409, 412), StockError.
    """
    order, back = _lock(tx, actor, return_id, version)
    came = _came(back, fates)
    _move(tx, actor, order, back, ReturnAction.RECEIVE, "")
    if back["shipment_id"] is None:
        _credit(tx, actor, order, return_id, came)
        legs, reason = _legs_from_store(tx, actor.tenant_id, order, back, came)
    else:
        _note_fates(tx, actor.tenant_id, return_id, came, {})
        legs, reason = _legs_from_transit(tx, actor.tenant_id, order, back, came)
    moving.post_new(
        tx,
        actor.tenant_id,
        Move(
            kind=MoveKind.RETURN,
            happened_at=now,
            legs=legs,
            source="return",
            source_event_id=str(return_id),
            reason=reason or back["reason"],
            reference=f"return:{return_id}",
            user_id=actor.user_id,
        ),
        now,
    )
    bump(tx, actor, order["order_id"])
    order_id: UUID = order["order_id"]
    return order_id


def _find(tx: Connection, query: str, actor: Actor, return_id: UUID) -> Row:
    row = tx.execute(query, {**actor.scope, "return_id": return_id}).fetchone()
    if row is None:
        raise not_found("return")
    return row


def _lock(tx: Connection, actor: Actor, return_id: UUID, version: int) -> tuple[Row, Row]:
    known = _find(tx, queries.RETURN, actor, return_id)
    order = lock_order(tx, actor, known["order_id"])
    back = _find(tx, queries.LOCK_RETURN, actor, return_id)
    if back["version"] != version:
        raise stale("return")
    return order, back


def _move(tx: Connection, actor: Actor, order: Row, back: Row, action: ReturnAction, reason: str) -> ReturnState:
    following = state_after(ReturnState(back["state"]), action)
    if following is None:
        raise ApiError(HTTPStatus.CONFLICT, f"cannot {action} a return that is {back['state']}")
    key = {"tenant_id": actor.tenant_id, "return_id": back["return_id"]}
    tx.execute(queries.SET_STATE, {**key, "state": following, "decision": reason or back["decision"]})
    note(tx, actor, order, f"return_{action}", reason)
    return following


def _came(back: Row, fates: Mapping[int, Fate] | None) -> dict[int, Fate]:
    agreed = {line["line_no"]: line["units"] for line in back["lines"]}
    if fates is None:
        return {number: Fate(units, 0) for number, units in agreed.items()}
    for number, fate in fates.items():
        if fate.units > agreed.get(number, 0):
            message = f"line {number}: {agreed.get(number, 0)} units were to come back, not {fate.units}"
            raise ApiError(HTTPStatus.CONFLICT, message)
    came = {number: fate for number, fate in fates.items() if fate.units}
    if not came and back["shipment_id"] is None:
        raise ApiError(HTTPStatus.CONFLICT, "nothing came back: reject the return instead")
    return came


def _credit(tx: Connection, actor: Actor, order: Row, return_id: UUID, came: Mapping[int, Fate]) -> None:
    """Credit what comes back, out of what is owed for units that were accepted and have not come back yet."""
    place = {"tenant_id": actor.tenant_id, "order_id": order["order_id"]}
    coming = {row["line_no"]: row["minor"] for row in tx.execute(logistics.INVOICED_ON_THE_WAY, place)}
    parts: dict[int, int] = {}
    for line in read_lines(tx, actor.tenant_id, order["order_id"]):
        fate = came.get(line["line_no"])
        if fate is None:
            continue
        owed = line["invoiced_minor"] - line["credited_minor"] - coming.get(line["line_no"], 0)
        part = credit_part(max(0, owed), line["delivered_units"] - line["returned_units"], fate.units)
        parts[line["line_no"]] = part
        change_line(tx, actor.tenant_id, order["order_id"], line["line_no"], returned=fate.units, credited=part)
    _note_fates(tx, actor.tenant_id, return_id, came, parts)
    amount = sum(parts.values())
    if not amount:
        return  # a gift that comes back
    entry = finance.Entry(
        kind=finance.EntryKind.CREDIT_NOTE,
        amount_minor=-amount,
        source=f"return:{return_id}",
        order_id=order["order_id"],
        user_id=actor.user_id,
    )
    noted = finance.settle(tx, debtor_of(actor.tenant_id, order), entry)
    assert noted, entry


def _note_fates(
    tx: Connection, tenant_id: str, return_id: UUID, came: Mapping[int, Fate], credited: Mapping[int, int]
) -> None:
    place = {"tenant_id": tenant_id, "return_id": return_id}
    for number, fate in came.items():
        values = {"line_no": number, "restocked": fate.restock, "written_off": fate.write_off, "held": fate.hold}
        tx.execute(queries.SET_FATE, {**place, **values, "credited_minor": credited.get(number, 0)})


def _legs_from_transit(
    tx: Connection, tenant_id: str, order: Row, back: Row, came: Mapping[int, Fate]
) -> tuple[list[Leg], str]:
    """The way of what was refused, in the lots that were not accepted; what did not come back is lost, and said."""
    fates: dict[str, dict[str, int]] = {}
    lost = 0
    for line in back["lines"]:
        it = came.get(line["line_no"], Fate(0, 0))
        fate = fates.setdefault(line["sku"], {order["ship_from"]: 0, hold_of(order["ship_from"]): 0, LOSS: 0})
        fate[order["ship_from"]] += it.restock
        fate[hold_of(order["ship_from"])] += it.hold
        fate[LOSS] += line["units"] - it.restock - it.hold
        lost += line["units"] - it.units
    legs: list[Leg] = []
    references = [f"shipment:{back['shipment_id']}", f"delivery:{back['shipment_id']}"]
    for sku, fate in sorted(fates.items()):
        place = {"tenant_id": tenant_id, "references": references, "location": TRANSIT, "sku": sku}
        rows = tx.execute(moving.LOTS_LEFT, place)
        legs += moving.spread_legs(sku, [(TRANSIT, row["lot_id"], row["units"]) for row in rows], fate)
    return legs, f"{lost} of the units that were refused did not come back" if lost else ""


def _legs_from_store(
    tx: Connection, tenant_id: str, order: Row, back: Row, came: Mapping[int, Fate]
) -> tuple[list[Leg], str]:
    """The way of what came back, first expired first; what the store has not got by its books is said."""
    store, warehouse = order["ship_to"], order["ship_from"]
    fates: dict[str, dict[str, int]] = {}
    for line in back["lines"]:
        if line["line_no"] in came:
            fate = fates.setdefault(line["sku"], {warehouse: 0, hold_of(warehouse): 0, LOSS: 0})
            fate[warehouse] += came[line["line_no"]].restock
            fate[hold_of(warehouse)] += came[line["line_no"]].hold
            fate[LOSS] += came[line["line_no"]].write_off
    balances = hold(tx, tenant_id, [
        (place, sku) for sku, fate in fates.items() for place in {store, *(to for to, units in fate.items() if units)}
    ])  # fmt: skip
    lots = lots_at(tx, tenant_id, store, fates)
    legs: list[Leg] = []
    unbooked = 0
    for sku, fate in sorted(fates.items()):
        wanted = sum(fate.values())
        known = max(0, min(wanted, balances[store, sku].free))
        parts = [(store, lot_id, units) for lot_id, units in pick_lots(lots[sku], known, date.min)]
        if wanted > known:
            parts.append((ADJUST, None, wanted - known))
            unbooked += wanted - known
        legs += moving.spread_legs(sku, parts, fate)
    return legs, f"{unbooked} units that {store} has not got by its books" if unbooked else ""
