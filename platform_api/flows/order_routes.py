"""/v1/orders and /v1/quotes: cart, quote, submit, approve, override, cancel."""

from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Query, Response

from platform_api.catalogue.pricing import Buyer, Wanted
from platform_api.flows import ordering
from platform_api.flows.pricing import Priced
from platform_api.kit.auth import AnyHead, Caller, Principal, Role, require
from platform_api.kit.conditions import ExpectedVersion, etag
from platform_api.kit.db import Connection, Tx
from platform_api.kit.errors import (
    CHANGE_RESPONSES,
    COMMON_RESPONSES,
    NOT_FOUND_RESPONSE,
    ApiError,
    not_found,
    unprocessable,
)
from platform_api.kit.filters import OrgName
from platform_api.kit.idempotency import CREATE_RESPONSES, Made, OnceOnly
from platform_api.kit.money import MoneyText
from platform_api.kit.paging import Listing, Paging
from platform_api.kit.work import Router
from platform_api.orders import queries
from platform_api.orders.models import (
    DiscountsRequest,
    Order,
    OrderRequest,
    OrderSummary,
    Quote,
    QuoteLine,
    ReasonRequest,
    adjustment_of,
    summary_of,
)
from platform_api.orders.rules import State
from platform_api.orders.service import Actor, lock_order, read_order, write_discounts, write_lines
from platform_api.orders.totals import WHOLE, Discount
from platform_api.stock import queries as stock_queries
from platform_api.stock.rules import atp_of

router = Router(tags=["orders"], responses=COMMON_RESPONSES)

Buyers = Annotated[Principal, Depends(require(Role.HQ, Role.OPS, Role.DEALER, Role.REP, Role.STORE))]
Approver = Annotated[Principal, Depends(require(Role.HQ, Role.OPS))]
States = Annotated[list[State] | None, Query(description="Only these states", max_length=len(State))]


def actor_of(caller: Principal) -> Actor:
    """The caller, as orders know them."""
    return Actor(caller.tenant_id, caller.login, caller.user_id, caller.orgs)


@router.get("/v1/orders", summary="List orders")
def list_orders(
    caller: Caller, tx: Tx, page: Paging, org: OrgName = None, state: States = None
) -> Listing[OrderSummary]:
    """Orders without their lines, the newest first."""
    (after,) = page.after("orders", tuple[UUID]) or (None,)
    rows = tx.execute(
        queries.ORDERS,
        {**caller.org_scope, "org_id": org, "states": state, "after": after, "limit": page.limit + 1},
    ).fetchall()
    return page.listing(
        "orders", rows, key=lambda row: (row["order_id"],), item=lambda row: OrderSummary(**summary_of(row))
    )


@router.get("/v1/orders/{order_id}", summary="Read an order", responses=NOT_FOUND_RESPONSE)
def read(order_id: UUID, caller: Caller, tx: Tx, response: Response) -> Order:
    """One order with its lines, the explanation of each price, and its history."""
    return _answer(tx, caller, order_id, response)


@router.post("/v1/quotes", summary="Ask what an order would cost", responses=NOT_FOUND_RESPONSE)
def quote(body: OrderRequest, caller: Buyers, tx: Tx) -> Quote:
    """Prices now, each unit of money explained, and what could be promised at once. Nothing is stored or held."""
    org, buyer, warehouse, priced = _price(tx, caller, body)
    free = {
        row["sku"]: atp_of(row)
        for line in body.lines
        for row in tx.execute(stock_queries.BALANCES, _at(caller, warehouse, line.sku))
    }
    return Quote(
        org=org,
        ship_from=warehouse,
        net=MoneyText.of(priced.totals.net_minor, buyer.currency),
        adjustments=MoneyText.of(priced.totals.adjustment_minor, buyer.currency),
        total=MoneyText.of(priced.totals.total_minor, buyer.currency),
        lines=_quote_lines(priced, buyer.currency, free),
    )


@router.post(
    "/v1/orders",
    summary="Fill a cart",
    status_code=201,
    response_model=Order,
    responses={**CREATE_RESPONSES, **NOT_FOUND_RESPONSE},
)
def create(body: OrderRequest, caller: Buyers, tx: Tx, once: OnceOnly) -> Response:
    """A draft at the prices of now; it promises nothing before it is submitted."""
    return once.answer(body, lambda: _create(tx, caller, body))


@router.put("/v1/orders/{order_id}", summary="Change a cart", responses=CHANGE_RESPONSES)
def change(
    order_id: UUID, body: OrderRequest, caller: Buyers, version: ExpectedVersion, tx: Tx, response: Response
) -> Order:
    """The draft as it shall be, at the prices of now; discounts were agreed for what it was, and end."""
    order = lock_order(tx, actor_of(caller), order_id, version)
    if order["state"] != State.DRAFT:
        raise ApiError(HTTPStatus.CONFLICT, f"the order is {order['state']}")
    org, _, warehouse, priced = _price(tx, caller, body)
    if (org, body.currency) != (order["org_id"], order["currency"]):
        raise unprocessable("body.org", "an order keeps its buyer and its currency")
    write_discounts(tx, caller.tenant_id, order_id, {})
    write_lines(
        tx,
        caller.tenant_id,
        order_id,
        priced.lines,
        priced.totals,
        ship_from=warehouse,
        ship_to=body.ship_to,
        reference=body.reference,
    )
    ordering.bump(tx, actor_of(caller), order_id)
    return _answer(tx, caller, order_id, response)


@router.put("/v1/orders/{order_id}/discounts", summary="Agree on discounts", responses=CHANGE_RESPONSES)
def discount(
    order_id: UUID, body: DiscountsRequest, caller: Approver, version: ExpectedVersion, tx: Tx, response: Response
) -> Order:
    """Taken off a draft, in place of those before: first of lines, then of the whole; tax is on what is left."""
    asked = {**body.lines, **({} if body.order is None else {WHOLE: body.order})}
    order = lock_order(tx, actor_of(caller), order_id, version)
    discounts = {}
    for number, one in asked.items():
        if one.amount is not None and one.amount.currency != order["currency"]:
            where = "body.order" if number == WHOLE else f"body.lines.{number}"
            raise unprocessable(f"{where}.amount", f"the order is in {order['currency']}")
        discounts[number] = Discount(one.basis_points or 0, one.reason, 0 if one.amount is None else one.amount.minor)
    ordering.discount(tx, actor_of(caller), order_id, version, discounts, datetime.now(UTC))
    return _answer(tx, caller, order_id, response)


@router.post("/v1/orders/{order_id}:submit", summary="Order what is in the cart", responses=CHANGE_RESPONSES)
def submit(order_id: UUID, caller: Buyers, version: ExpectedVersion, tx: Tx, response: Response) -> Order:
    """Priced anew, and within the dealer's credit; beyond it the order is held."""
    ordering.submit(tx, actor_of(caller), order_id, version, datetime.now(UTC))
    return _answer(tx, caller, order_id, response)


@router.post("/v1/orders/{order_id}:approve", summary="Approve an order", responses=CHANGE_RESPONSES)
def approve(order_id: UUID, caller: Approver, version: ExpectedVersion, tx: Tx, response: Response) -> Order:
    """What there is of it is held; the rest waits on back-order."""
    ordering.approve(tx, actor_of(caller), order_id, version)
    return _answer(tx, caller, order_id, response)


@router.post("/v1/orders/{order_id}:override", summary="Approve beyond the credit", responses=CHANGE_RESPONSES)
def override(
    order_id: UUID, body: ReasonRequest, caller: AnyHead, version: ExpectedVersion, tx: Tx, response: Response
) -> Order:
    """An order held for credit goes on all the same; who decided so, and why, stays in its history."""
    ordering.override(tx, actor_of(caller), order_id, version, body.reason)
    return _answer(tx, caller, order_id, response)


@router.post("/v1/orders/{order_id}:cancel", summary="Cancel an order", responses=CHANGE_RESPONSES)
def cancel(
    order_id: UUID, body: ReasonRequest, caller: Buyers, version: ExpectedVersion, tx: Tx, response: Response
) -> Order:
    """Before anything has left: credit and units are free again. Afterwards goods are returned."""
    ordering.cancel(tx, actor_of(caller), order_id, version, body.reason)
    return _answer(tx, caller, order_id, response)


def _create(tx: Connection, caller: Principal, body: OrderRequest) -> Made:
    order_id = ordering.fill(tx, actor_of(caller), _cart(caller, body), caller.sites, datetime.now(UTC))
    made = read_order(tx, actor_of(caller), order_id)
    return made, {"Location": f"/v1/orders/{order_id}", "ETag": etag(made.version)}


def _cart(caller: Principal, body: OrderRequest) -> ordering.Cart:
    """What is wanted. Raises InputError (422) when nobody buys, ApiError (404) when the caller does not see who."""
    org = body.org or caller.org_id
    if org is None:
        raise unprocessable("body.org", "say who buys")
    if not caller.sees_org(org):
        raise not_found("organisation")
    same = {name: getattr(body, name) for name in ("ship_to", "ship_from", "currency", "reference")}
    return ordering.Cart(org=org, wanted=[Wanted(line.sku, line.uom, line.packs) for line in body.lines], **same)


def _price(tx: Connection, caller: Principal, body: OrderRequest) -> tuple[str, Buyer, str, Priced]:
    cart = _cart(caller, body)
    return cart.org, *ordering.price(tx, caller.tenant_id, cart, caller.sites, datetime.now(UTC))


def _quote_lines(priced: Priced, currency: str, free: Mapping[str, int]) -> list[QuoteLine]:
    by_line: dict[int, list[dict[str, Any]]] = {}
    for one in priced.totals.adjustments:
        shown = {"kind": one.kind, "amount_minor": one.amount_minor, "explanation": one.explanation}
        by_line.setdefault(one.line_no, []).append(adjustment_of(shown, currency))
    return [
        QuoteLine(
            sku=line.sku,
            uom=line.uom,
            packs=line.packs,
            units=line.packs * line.factor,
            unit_price=MoneyText.of(line.unit_price_minor, currency),
            net=MoneyText.of(line.packs * line.unit_price_minor, currency),
            explanation=dict(line.explanation),
            adjustments=by_line.get(number, []),
            available=free.get(line.sku, 0),
        )
        for number, line in enumerate(priced.lines, start=1)
    ]


def _at(caller: Principal, location: str, sku: str) -> dict[str, object]:
    # What the supplier's warehouse can promise is told to its buyers, who see nothing else of it.
    return {
        "tenant_id": caller.tenant_id,
        "sites": None,
        "location": location,
        "sku": sku,
        "kind": None,
        "site": None,
        "least": None,
        "until": datetime.now(UTC),
        "after_location": None,
        "after_sku": None,
        "limit": 1,
    }


def _answer(tx: Connection, caller: Principal, order_id: UUID, response: Response) -> Order:
    order = read_order(tx, actor_of(caller), order_id)
    response.headers["ETag"] = etag(order.version)
    return order
