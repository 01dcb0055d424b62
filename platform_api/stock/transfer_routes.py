"""/v1/transfer-requests: units that a place asks another one for, sent and received in parts."""

from collections.abc import Callable
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import Query, Response

from platform_api.kit.auth import Caller, Principal
from platform_api.kit.conditions import ExpectedVersion, etag
from platform_api.kit.db import Connection, Tx
from platform_api.kit.errors import CHANGE_RESPONSES, COMMON_RESPONSES, NOT_FOUND_RESPONSE, not_found, unprocessable
from platform_api.kit.idempotency import CREATE_RESPONSES, Made, OnceOnly
from platform_api.kit.paging import Listing, Paging
from platform_api.kit.work import Router
from platform_api.stock import transfer_queries as queries
from platform_api.stock import transferring
from platform_api.stock.parameters import Mover, require_place, require_skus, told
from platform_api.stock.rules import STORING
from platform_api.stock.transfer_models import (
    ArrivalRequest,
    CloseRequest,
    SendRequest,
    TransferRequest,
    TransferShown,
    shown,
)
from platform_api.stock.transfer_rules import TransferState

router = Router(tags=["stock"], responses=COMMON_RESPONSES)

ENDS: Final = STORING | {"shelf"}
"""Kinds of places that a transfer goes from and to."""
States = Annotated[list[TransferState] | None, Query(alias="state", description="Only those in one of these states")]
MOVED: Final[dict[int | str, dict[str, Any]]] = {**CREATE_RESPONSES, **CHANGE_RESPONSES}


@router.get("/v1/transfer-requests", summary="List transfers that were asked for")
def list_transfers(caller: Caller, tx: Tx, page: Paging, states: States = None) -> Listing[TransferShown]:
    """Transfers from and to places that the caller sees, the newest first."""
    (after,) = page.after("transfer-requests", tuple[UUID]) or (None,)
    values = {"states": states or None, "after": after, "limit": page.limit + 1}
    query = queries.TRANSFERS if caller.sites is None else queries.TRANSFERS_OF_PART
    rows = tx.execute(query, {**caller.scope, **values}).fetchall()
    return page.listing("transfer-requests", rows, key=lambda row: (row["transfer_id"],), item=shown)


@router.get("/v1/transfer-requests/{transfer_id}", summary="Read a transfer", responses=NOT_FOUND_RESPONSE)
def read(transfer_id: UUID, caller: Caller, tx: Tx, response: Response) -> TransferShown:
    """One transfer; its ETag is what a change must name."""
    found = _read(tx, caller, transfer_id)
    response.headers["ETag"] = etag(found.version)
    return found


@router.post(
    "/v1/transfer-requests",
    summary="Ask for a transfer",
    status_code=201,
    response_model=TransferShown,
    responses={**CREATE_RESPONSES, **NOT_FOUND_RESPONSE},
)
def ask(body: TransferRequest, caller: Mover, tx: Tx, once: OnceOnly) -> Response:
    """Units of one place for another. What is there is held for it at once, the rest as it comes."""
    return once.answer(body, lambda: _ask(tx, caller, body))


@router.post(
    "/v1/transfer-requests/{transfer_id}:send",
    summary="Send a transfer, or a part of it",
    status_code=201,
    response_model=TransferShown,
    responses=MOVED,
)
def send(
    transfer_id: UUID, body: SendRequest, caller: Mover, version: ExpectedVersion, tx: Tx, once: OnceOnly
) -> Response:
    """Units leave their place, first expired first; the rest waits, to be sent later or given up."""

    def act() -> None:
        row = transferring.lock(tx, hand_of(caller), transfer_id, version)
        require_place(tx, caller, row["origin"])
        transferring.send(tx, hand_of(caller), row, body.units)

    return once.answer(body, lambda: _made(tx, caller, transfer_id, act))


@router.post(
    "/v1/transfer-requests/{transfer_id}:receive",
    summary="Receive a transfer, or a part of it",
    status_code=201,
    response_model=TransferShown,
    responses=MOVED,
)
def receive(
    transfer_id: UUID, body: ArrivalRequest, caller: Mover, version: ExpectedVersion, tx: Tx, once: OnceOnly
) -> Response:
    """Units are there by the books, in the lots in which they left; what is missing is a loss."""

    def act() -> None:
        row = transferring.lock(tx, hand_of(caller), transfer_id, version)
        require_place(tx, caller, row["destination"])
        transferring.receive(tx, hand_of(caller), row, body.received, body.missing)

    return once.answer(body, lambda: _made(tx, caller, transfer_id, act))


@router.post("/v1/transfer-requests/{transfer_id}:close", summary="Give up the rest", responses=CHANGE_RESPONSES)
def close(
    transfer_id: UUID, body: CloseRequest, caller: Mover, version: ExpectedVersion, tx: Tx, response: Response
) -> TransferShown:
    """What has not left is not sent any more; what is on its way may still be received."""
    hand = hand_of(caller)
    transferring.close(tx, hand, transferring.lock(tx, hand, transfer_id, version), body.reason)
    found = _read(tx, caller, transfer_id)
    response.headers["ETag"] = etag(found.version)
    return found


def hand_of(caller: Principal) -> transferring.Hand:
    """The hand of a person."""
    return transferring.Hand(caller.tenant_id, caller.user_id, caller.sites)


def _ask(tx: Connection, caller: Principal, body: TransferRequest) -> Made:
    for field, place in (("from", body.from_), ("to", body.to)):
        if require_place(tx, caller, place) not in ENDS:
            raise unprocessable(f"body.{field}", "holds no stock")
    require_skus(tx, caller, [line.sku for line in body.lines])
    wish = transferring.Wish(
        origin=body.from_,
        destination=body.to,
        units={line.sku: line.units for line in body.lines},
        reference=body.reference,
    )
    with told():
        transfer_id = transferring.ask(tx, hand_of(caller), wish)
    assert transfer_id is not None  # no proposal asks
    return _made(tx, caller, transfer_id, lambda: None)


def _made(tx: Connection, caller: Principal, transfer_id: Any, act: Callable[[], None]) -> Made:
    with told():
        act()
    found = _read(tx, caller, transfer_id)
    return found, {"Location": f"/v1/transfer-requests/{transfer_id}", "ETag": etag(found.version)}


def _read(tx: Connection, caller: Principal, transfer_id: UUID) -> TransferShown:
    row = tx.execute(queries.TRANSFER, {**caller.scope, "transfer_id": transfer_id}).fetchone()
    if row is None:
        raise not_found("transfer")
    return shown(row)
