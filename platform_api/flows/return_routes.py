"""/v1/orders/{order_id}/returns and /v1/returns: what comes back, and what is credited for it."""

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from fastapi import Query, Response

from platform_api.flows import returning
from platform_api.flows.order_routes import Approver, Buyers, actor_of
from platform_api.kit.auth import Caller, Principal
from platform_api.kit.conditions import ExpectedVersion, etag
from platform_api.kit.db import Connection, Tx
from platform_api.kit.errors import CHANGE_RESPONSES, COMMON_RESPONSES, NOT_FOUND_RESPONSE
from platform_api.kit.idempotency import CREATE_RESPONSES, Made, OnceOnly
from platform_api.kit.paging import Listing, Paging
from platform_api.kit.work import Router
from platform_api.orders import return_queries as queries
from platform_api.orders.models import ReasonRequest
from platform_api.orders.return_models import ReceiveRequest, Return, ReturnRequest, return_of
from platform_api.orders.return_rules import Fate, ReturnAction
from platform_api.stock.parameters import told

router = Router(tags=["orders"], responses=COMMON_RESPONSES)

OrderName = Annotated[UUID | None, Query(description="Only those of this order")]


@router.get("/v1/returns", summary="List returns")
def list_returns(caller: Caller, tx: Tx, page: Paging, order: OrderName = None) -> Listing[Return]:
    """Returns, the newest first."""
    (after,) = page.after("returns", tuple[UUID]) or (None,)
    rows = tx.execute(
        queries.RETURNS, {**caller.org_scope, "order_id": order, "after": after, "limit": page.limit + 1}
    ).fetchall()
    return page.listing("returns", rows, key=lambda row: (row["return_id"],), item=return_of)


@router.get("/v1/returns/{return_id}", summary="Read a return", responses=NOT_FOUND_RESPONSE)
def read(return_id: UUID, caller: Caller, tx: Tx, response: Response) -> Return:
    """One return; its ETag is what a decision must name."""
    return _answer(tx, caller, return_id, response)


@router.post(
    "/v1/orders/{order_id}/returns",
    summary="Ask to send goods back",
    status_code=201,
    response_model=Return,
    responses={**CREATE_RESPONSES, **NOT_FOUND_RESPONSE},
)
def request_return(order_id: UUID, body: ReturnRequest, caller: Buyers, tx: Tx, once: OnceOnly) -> Response:
    """Units that were delivered, by line. Nothing moves before somebody approves it and the goods are there."""

    def make() -> Made:
        return_id = returning.request_return(tx, actor_of(caller), order_id, body.units, body.reason, body.reasons)
        return _made(tx, caller, return_id)

    return once.answer(body, make)


@router.post("/v1/returns/{return_id}:approve", summary="Approve a return", responses=CHANGE_RESPONSES)
def approve(return_id: UUID, caller: Approver, version: ExpectedVersion, tx: Tx, response: Response) -> Return:
    """The goods may come."""
    returning.decide(tx, actor_of(caller), return_id, version, ReturnAction.APPROVE, "")
    return _answer(tx, caller, return_id, response)


@router.post("/v1/returns/{return_id}:reject", summary="Reject a return", responses=CHANGE_RESPONSES)
def reject(
    return_id: UUID, body: ReasonRequest, caller: Approver, version: ExpectedVersion, tx: Tx, response: Response
) -> Return:
    """The goods stay where they are; also for goods that were to come and never did."""
    returning.decide(tx, actor_of(caller), return_id, version, ReturnAction.REJECT, body.reason)
    return _answer(tx, caller, return_id, response)


@router.post(
    "/v1/returns/{return_id}:receive",
    summary="Receive a return",
    status_code=201,
    response_model=Return,
    responses={**CREATE_RESPONSES, **CHANGE_RESPONSES},
)
def receive(
    return_id: UUID, body: ReceiveRequest, caller: Approver, version: ExpectedVersion, tx: Tx, once: OnceOnly
) -> Response:
    """The goods are there: back into stock, on hold or written off by line, and credited at what the dealer paid."""

    def make() -> Made:
        fates = (
            None
            if body.lines is None
            else {number: Fate(fate.restock, fate.write_off, fate.hold) for number, fate in body.lines.items()}
        )
        with told():
            returning.receive(tx, actor_of(caller), return_id, version, fates, datetime.now(UTC))
        return _made(tx, caller, return_id)

    return once.answer(body, make)


def _answer(tx: Connection, caller: Principal, return_id: UUID, response: Response) -> Return:
    found = returning.read_return(tx, actor_of(caller), return_id)
    response.headers["ETag"] = etag(found.version)
    return found


def _made(tx: Connection, caller: Principal, return_id: UUID) -> Made:
    found = returning.read_return(tx, actor_of(caller), return_id)
    return found, {"Location": f"/v1/returns/{return_id}", "ETag": etag(found.version)}
