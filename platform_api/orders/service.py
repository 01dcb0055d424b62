"""Writes orders and their states; for the flows, which know prices, credit and stock."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from platform_api.kit.conditions import stale
from platform_api.kit.db import Connection
from platform_api.kit.errors import ApiError, not_found
from platform_api.orders import queries
from platform_api.orders.models import Order, OrderEvent, line_of, summary_of
from platform_api.orders.rules import Action, State, state_after
from platform_api.orders.totals import Discount, Totals

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something to an order. ``orgs`` None: to any; the platform itself acts with a name and no id."""

    tenant_id: str
    login: str
    user_id: UUID | None = None
    orgs: tuple[str, ...] | None = None

    @property
    def scope(self) -> dict[str, object]:
        """Parameters of the filter that every query carries."""
        return {"tenant_id": self.tenant_id, "orgs": None if self.orgs is None else list(self.orgs)}


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftLine:
    """A line to write."""

    sku: str
    uom: str
    factor: int
    packs: int
    unit_price_minor: int
    tax_basis_points: int
    explanation: Mapping[str, Any]


def lock_order(tx: Connection, actor: Actor, order_id: UUID, version: int | None = None) -> Row:
    """The order's row, held until the transaction ends. Raises ApiError: 404, or 412 for another version."""
    row = lock_if_there(tx, actor, order_id)
    if row is None:
        raise not_found("order")
    if version is not None and row["version"] != version:
        raise stale("order")
    return row


def lock_if_there(tx: Connection, actor: Actor, order_id: UUID) -> Row | None:
    """The same, None when it is gone: a reset of a sandbox may be quicker than the worker."""
    return tx.execute(queries.ORDER_FOR_UPDATE, {**actor.scope, "order_id": order_id}).fetchone()


def read_lines(tx: Connection, tenant_id: str, order_id: UUID) -> list[Row]:
    """The order's lines."""
    return list(tx.execute(queries.LINES, {"tenant_id": tenant_id, "order_id": order_id}).fetchall())


def read_order(tx: Connection, actor: Actor, order_id: UUID) -> Order:
    """The order as it is shown. Raises ApiError (404)."""
    row = tx.execute(queries.ORDER, {**actor.scope, "order_id": order_id}).fetchone()
    if row is None:
        raise not_found("order")
    history = tx.execute(queries.HISTORY, {"tenant_id": actor.tenant_id, "order_id": order_id})
    lines = read_lines(tx, actor.tenant_id, order_id)
    return Order(
        **summary_of(row),
        lines=[line_of(line, row["currency"]) for line in lines],
        history=[OrderEvent(**event) for event in history],
    )


def write_lines(
    tx: Connection, tenant_id: str, order_id: UUID, lines: Sequence[DraftLine], totals: Totals, **changes: str | None
) -> None:
    """Replace the lines of a draft, and its totals. ``changes``: ship_from, ship_to, reference."""
    place = {"tenant_id": tenant_id, "order_id": order_id}
    tx.execute(queries.DELETE_LINES, place)
    rows = [
        {
            **place,
            "line_no": number,
            "sku": line.sku,
            "uom": line.uom,
            "factor": line.factor,
            "packs": line.packs,
            "units": line.packs * line.factor,
            "unit_price_minor": line.unit_price_minor,
            "net_minor": line.packs * line.unit_price_minor,
            "tax_basis_points": line.tax_basis_points,
            "explanation": Jsonb(dict(line.explanation)),
        }
        for number, line in enumerate(lines, start=1)
    ]
    adjustments = [
        {
            **place,
            "line_no": one.line_no,
            "kind": one.kind,
            "amount_minor": one.amount_minor,
            "explanation": Jsonb(one.explanation),
        }
        for one in totals.adjustments
    ]
    with tx.cursor() as cursor:
        cursor.executemany(queries.INSERT_LINE, rows)
        cursor.executemany(queries.INSERT_ADJUSTMENT, adjustments)
    money = {
        "net_minor": totals.net_minor,
        "adjustment_minor": totals.adjustment_minor,
        "total_minor": totals.total_minor,
    }
    same = dict.fromkeys(("ship_from", "ship_to", "reference"))
    tx.execute(queries.SET_TOTALS, {**place, **money, **same, **changes})


def read_discounts(tx: Connection, tenant_id: str, order_id: UUID) -> dict[int, Discount]:
    """What was agreed to be taken off, by line number."""
    rows = tx.execute(queries.DISCOUNTS, {"tenant_id": tenant_id, "order_id": order_id})
    return {row["line_no"]: Discount(row["basis_points"], row["reason"], row["amount_minor"]) for row in rows}


def write_discounts(tx: Connection, tenant_id: str, order_id: UUID, discounts: Mapping[int, Discount]) -> None:
    """Replace what was agreed to be taken off; the order is to be priced anew then."""
    place = {"tenant_id": tenant_id, "order_id": order_id}
    tx.execute(queries.DELETE_DISCOUNTS, place)
    for number, one in sorted(discounts.items()):
        share = {"basis_points": one.basis_points, "amount_minor": one.amount_minor}
        tx.execute(queries.INSERT_DISCOUNT, {**place, "line_no": number, "reason": one.reason, **share})


def move(tx: Connection, actor: Actor, order: Row, action: Action, reason: str = "") -> State:
    """Do an action to a locked order and note it. Raises ApiError (409) when its state does not allow it."""
    state = State(order["state"])
    following = state_after(state, action)
    if following is None:
        raise ApiError(HTTPStatus.CONFLICT, f"cannot {action.replace('_', ' ')} an order that is {state}")
    place = {"tenant_id": actor.tenant_id, "order_id": order["order_id"]}
    if following is not state:
        tx.execute(queries.SET_STATE, {**place, "state": following})
    event = {"action": action, "from_state": state, "to_state": following, "reason": reason, "login": actor.login}
    tx.execute(queries.INSERT_EVENT, {**place, **event})
    return following


def note(tx: Connection, actor: Actor, order: Row, action: str, reason: str) -> None:
    """Write something into an order's history that leaves its state as it is."""
    place = {"tenant_id": actor.tenant_id, "order_id": order["order_id"]}
    event = {"action": action, "from_state": order["state"], "to_state": order["state"], "reason": reason}
    tx.execute(queries.INSERT_EVENT, {**place, **event, "login": actor.login})


def change_line(tx: Connection, tenant_id: str, order_id: UUID, line_no: int, **changes: int) -> None:
    """Add to a line: ``reserved``, ``shipped``, ``delivered``, ``refused``, ``missing`` or ``returned`` units.

    ``invoiced`` and ``credited`` are in minor units.
    """
    units = ("reserved", "shipped", "delivered", "refused", "missing", "returned")
    none = dict.fromkeys((*units, "invoiced", "credited"), 0)
    place = {"tenant_id": tenant_id, "order_id": order_id, "line_no": line_no}
    tx.execute(queries.CHANGE_LINE, {**place, **none, **changes})


def gross_minor(line: Row) -> int:
    """What a line costs with all that is added and taken."""
    return int(line["net_minor"]) + sum(int(one["amount_minor"]) for one in line["adjustments"])
