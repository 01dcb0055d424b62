"""From a cart to units that are held for it: submit, credit, approval, allocation, cancellation.

Locks are taken in one order everywhere: the order, the dealer's credit, the balances of stock.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any
from uuid import UUID

from platform_api.catalogue.pricing import Buyer, Wanted
from platform_api.finance import service as finance
from platform_api.finance.service import Debtor
from platform_api.flows.pricing import Priced, buyer_of, choose_warehouse, price_lines, require_target
from platform_api.kit.db import Connection
from platform_api.kit.errors import ApiError, unprocessable
from platform_api.kit.keys import new_key
from platform_api.kit.quotas import Quota, check_quota
from platform_api.orders import queries
from platform_api.orders.rules import WAITING, Action, State
from platform_api.orders.service import (
    Actor,
    change_line,
    lock_if_there,
    lock_order,
    move,
    note,
    read_discounts,
    read_lines,
    write_discounts,
    write_lines,
)
from platform_api.orders.totals import WHOLE, Discount
from platform_api.stock import reserving

Row = Mapping[str, Any]


def reference_of(order_id: UUID) -> str:
    """What reservations and moves of an order carry."""
    return f"order:{order_id}"


def debtor_of(tenant_id: str, order: Row) -> Debtor:
    """Who owes an order."""
    return Debtor(tenant_id, order["org_id"], order["currency"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Cart:
    """Packs of SKUs that ``org`` wants, brought to ``ship_to`` from ``ship_from`` (None: from somebody above)."""

    org: str
    ship_to: str
    ship_from: str | None
    currency: str
    reference: str
    wanted: Sequence[Wanted]


def price(
    tx: Connection, tenant_id: str, cart: Cart, sites: Sequence[str] | None, now: datetime
) -> tuple[Buyer, str, Priced]:
    """Who buys, from which warehouse, and for how much. ``sites`` bound where goods may go (None: anywhere).

    Raises ApiError (404), InputError (422).
    """
    buyer = buyer_of(tx, tenant_id, cart.org, cart.currency)
    require_target(tx, tenant_id, cart.ship_to, sites)
    warehouse = choose_warehouse(tx, tenant_id, buyer, cart.ship_from)
    return buyer, warehouse, price_lines(tx, tenant_id, buyer, cart.wanted, now)


def fill(tx: Connection, actor: Actor, cart: Cart, sites: Sequence[str] | None, now: datetime) -> UUID:
    """Make a draft at the prices of now. Raises ApiError (403, 404), InputError (422)."""
    count = tx.execute(queries.COUNT_OPEN, {"tenant_id": actor.tenant_id}).fetchone()
    assert count is not None
    check_quota(tx, actor.tenant_id, Quota.OPEN_ORDERS, count["n"])
    _, warehouse, priced = price(tx, actor.tenant_id, cart, sites, now)
    order_id = new_key()
    values = {
        "tenant_id": actor.tenant_id,
        "order_id": order_id,
        "org_id": cart.org,
        "ship_from": warehouse,
        "ship_to": cart.ship_to,
        "currency": cart.currency,
        "reference": cart.reference,
        "proposal_id": None,
        "user_id": actor.user_id,
    }
    tx.execute(queries.INSERT_ORDER, values)
    write_lines(tx, actor.tenant_id, order_id, priced.lines, priced.totals)
    return order_id


def submit(tx: Connection, actor: Actor, order_id: UUID, version: int | None, now: datetime) -> State:
    """Order what is in the cart, at the prices of now and within the dealer's credit; beyond it the order is held.

    Where the dealer's orders need no approval, units are held for it at once. Raises ApiError (404, 409, 412),
    InputError (422) for lines that can no longer be ordered.
    """
    order = lock_order(tx, actor, order_id, version)
    if order["state"] == State.DRAFT:
        _reprice(tx, actor, order, now)
        order = lock_order(tx, actor, order_id)
    grant = finance.commit(tx, debtor_of(actor.tenant_id, order), order["total_minor"])
    following = move(tx, actor, order, Action.SUBMIT if grant.given else Action.HOLD)
    if grant.auto_approve:
        following = _approve(tx, actor, {**order, "state": following}, Action.APPROVE, "within credit")
    bump(tx, actor, order_id, committed_minor=order["total_minor"] if grant.given else 0)
    return following


def discount(
    tx: Connection,
    actor: Actor,
    order_id: UUID,
    version: int,
    discounts: Mapping[int, Discount],
    now: datetime,
) -> None:
    """Agree on discounts of a draft, in place of those before, and price it anew.

    Raises ApiError (404, 409, 412), InputError (422) for a line that there is not.
    """
    order = lock_order(tx, actor, order_id, version)
    if order["state"] != State.DRAFT:
        raise ApiError(HTTPStatus.CONFLICT, f"the order is {order['state']}")
    known = {line["line_no"] for line in read_lines(tx, actor.tenant_id, order_id)} | {WHOLE}
    if unknown := sorted(set(discounts) - known):
        raise unprocessable(f"body.lines.{unknown[0]}", "there is no such line")
    write_discounts(tx, actor.tenant_id, order_id, discounts)
    _reprice(tx, actor, order, now)
    note(tx, actor, order, "discount", "; ".join(sorted({one.reason for one in discounts.values()})))
    bump(tx, actor, order_id)


def approve(tx: Connection, actor: Actor, order_id: UUID, version: int) -> State:
    """Approve a submitted order, and hold what there is for it."""
    order = lock_order(tx, actor, order_id, version)
    following = _approve(tx, actor, order, Action.APPROVE, "")
    bump(tx, actor, order_id)
    return following


def override(tx: Connection, actor: Actor, order_id: UUID, version: int, reason: str) -> State:
    """Approve an order that is held for credit all the same."""
    order = lock_order(tx, actor, order_id, version)
    committed_minor = 0
    if order["state"] == State.CREDIT_HOLD:
        committed_minor = order["total_minor"]
        finance.commit(tx, debtor_of(actor.tenant_id, order), committed_minor, override=True)
        tx.execute(queries.OVERRIDE_CREDIT, {"tenant_id": actor.tenant_id, "order_id": order_id})
    following = _approve(tx, actor, order, Action.OVERRIDE, reason)
    bump(tx, actor, order_id, committed_minor=committed_minor)
    return following


def cancel(tx: Connection, actor: Actor, order_id: UUID, version: int, reason: str) -> State:
    """Give up an order of which nothing has left: credit and units are free again."""
    order = lock_order(tx, actor, order_id, version)
    following = move(tx, actor, order, Action.CANCEL, reason)
    finance.uncommit(tx, debtor_of(actor.tenant_id, order), order["committed_minor"])
    reserving.release(tx, actor.tenant_id, reference_of(order_id))
    tx.execute(queries.RELEASE_LINES, {"tenant_id": actor.tenant_id, "order_id": order_id})
    bump(tx, actor, order_id, committed_minor=-order["committed_minor"])
    return following


def allocate(tx: Connection, actor: Actor, order: Row) -> State:
    """Hold units for what a locked order still lacks, the first lines first; the rest stays on back-order."""
    state = State(order["state"])
    if state not in WAITING:
        return state
    lines = read_lines(tx, actor.tenant_id, order["order_id"])
    lacking = {line["line_no"]: line["units"] - line["reserved_units"] - line["shipped_units"] for line in lines}
    wanted: dict[str, int] = {}
    for line in lines:
        if lacking[line["line_no"]]:
            wanted[line["sku"]] = wanted.get(line["sku"], 0) + lacking[line["line_no"]]
    if not wanted:
        return state
    granted = reserving.reserve(tx, actor.tenant_id, order["ship_from"], wanted, reference_of(order["order_id"]))
    if not any(granted.values()):
        return state
    for line in lines:
        taken = min(lacking[line["line_no"]], granted.get(line["sku"], 0))
        if taken:
            granted[line["sku"]] -= taken
            change_line(tx, actor.tenant_id, order["order_id"], line["line_no"], reserved=taken)
    return move(tx, actor, order, Action.ALLOCATE) if state is not State.PART_SHIPPED else state


def allocate_back_orders(tx: Connection, now: datetime) -> int:
    """Hold units that have come for orders that wait for them, the oldest first; how many were looked at.

    For the worker, of all tenants, each order in a transaction of its own.
    """
    del now
    rows = tx.execute(queries.BACK_ORDERS).fetchall()
    for row in rows:
        actor = Actor(row["tenant_id"], "platform")
        with tx.transaction():
            order = lock_if_there(tx, actor, row["order_id"])
            if order is not None and State(order["state"]) in WAITING:
                allocate(tx, actor, order)
                bump(tx, actor, row["order_id"])
    return len(rows)


def bump(tx: Connection, actor: Actor, order_id: UUID, *, committed_minor: int = 0) -> None:
    """The order has changed: earlier ETags are stale. ``committed_minor`` is added to what it takes of the credit."""
    place = {"tenant_id": actor.tenant_id, "order_id": order_id}
    tx.execute(queries.BUMP, {**place, "committed_minor": committed_minor})


def _approve(tx: Connection, actor: Actor, order: Row, action: Action, reason: str) -> State:
    following = move(tx, actor, order, action, reason)
    return allocate(tx, actor, {**order, "state": following})


def _reprice(tx: Connection, actor: Actor, order: Row, now: datetime) -> None:
    buyer = buyer_of(tx, actor.tenant_id, order["org_id"], order["currency"])
    lines = read_lines(tx, actor.tenant_id, order["order_id"])
    wanted = [Wanted(line["sku"], line["uom"], line["packs"]) for line in lines]
    discounts = read_discounts(tx, actor.tenant_id, order["order_id"])
    priced = price_lines(tx, actor.tenant_id, buyer, wanted, now, discounts)
    write_lines(tx, actor.tenant_id, order["order_id"], priced.lines, priced.totals)
