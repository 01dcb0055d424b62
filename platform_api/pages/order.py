"""An order, read for its page: its money explained, what has left, what comes back, and what the caller may do."""

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from platform_api.kit.auth import Principal, Role
from platform_api.kit.db import Connection
from platform_api.kit.money import format_minor
from platform_api.logistics import queries as logistics
from platform_api.orders import return_queries as returns
from platform_api.orders.models import Order
from platform_api.orders.rules import TRANSITIONS, WAITING, Action, State
from platform_api.orders.service import Actor, read_order
from platform_api.pages import queries

SHOWN_MAX: Final = 50
BUYERS: Final = frozenset({Role.HQ, Role.OPS, Role.DEALER, Role.REP, Role.STORE})
"""As the routes of orders have it."""
APPROVERS: Final = frozenset({Role.HQ, Role.OPS})
SENDING: Final = TRANSITIONS[Action.SHIP].allowed

Row = Mapping[str, Any]


def read_page(tx: Connection, caller: Principal, actor: Actor, order_id: UUID, locale: str) -> dict[str, Any]:
    """What /orders/{order_id} shows. Raises ApiError (404)."""
    order = read_order(tx, actor, order_id)
    key = {"tenant_id": caller.tenant_id, "order_id": order_id}
    named = {**key, "skus": [line.sku for line in order.lines], "ids": [order.ship_from, order.ship_to]}
    wanted = {**caller.org_scope, "order_id": order_id, "after": None, "limit": SHOWN_MAX}
    under_way = {row["line_no"]: row["units"] for row in tx.execute(returns.UNDER_WAY, key)}
    free = {line.line: line.delivered - line.returned - under_way.get(line.line, 0) for line in order.lines}
    may_buy, may_approve = caller.role in BUYERS, caller.role in APPROVERS
    shipments = [_shipment(row) for row in tx.execute(logistics.SHIPMENTS, wanted)]
    may_ship = may_approve and order.state in SENDING and any(line.reserved for line in order.lines)
    return {
        "order": order,
        "names": {
            row["sku"]: (row["name_zh"] if locale == "zh" else row["name_en"]) or row["sku"]
            for row in tx.execute(queries.SKU_NAMES, named)
        },
        "places": {row["id"]: row["name"] or row["id"] for row in tx.execute(queries.LOCATION_NAMES, named)},
        "waits": order.state in WAITING,
        "shipments": shipments,
        "told": {f"shipment {row['shipment_id']}": row["tracking_no"] for row in shipments},
        "carriers": _carriers(tx, caller) if may_ship else [],
        "returns": [_return(row) for row in tx.execute(returns.RETURNS, wanted)],
        "returnable": {number: units for number, units in free.items() if units > 0} if may_buy else {},
        "may_submit": may_buy and order.state is State.DRAFT,
        "may_approve": may_approve and order.state is State.SUBMITTED,
        "may_override": caller.role is Role.HQ and order.state is State.CREDIT_HOLD,
        "may_cancel": may_buy and order.state in TRANSITIONS[Action.CANCEL].allowed,
        "may_sign": may_buy,
        "may_decide": may_approve,
        "cart": _cart(order),
    }


def _carriers(tx: Connection, caller: Principal) -> list[Row]:
    values = {"tenant_id": caller.tenant_id, "after": None, "limit": SHOWN_MAX}
    return list(tx.execute(logistics.CARRIERS, values).fetchall())


def _shipment(row: Row) -> dict[str, Any]:
    taken = [line for line in row["lines"] if line["accepted"] is not None]
    missing = sum(line["missing"] for line in taken)
    return {
        **row,
        "missing": missing,
        "refused": sum(line["units"] - line["accepted"] for line in taken) - missing,
        "credited": format_minor(sum(line["credited_minor"] for line in row["lines"]), row["currency"]),
    }


def _return(row: Row) -> dict[str, Any]:
    credited = sum(line["credited_minor"] for line in row["lines"])
    sums = {name: sum(line[name] for line in row["lines"]) for name in ("units", "held", "written_off")}
    return {**row, "credited": format_minor(credited, row["currency"]), **sums}


def _cart(order: Order) -> dict[str, Any]:
    """The draft as a request would send it back."""
    return {
        "org": order.org,
        "ship_from": order.ship_from,
        "ship_to": order.ship_to,
        "currency": order.total.currency,
        "reference": order.reference,
        "lines": [{"sku": line.sku, "uom": line.uom, "packs": line.packs} for line in order.lines],
    }
