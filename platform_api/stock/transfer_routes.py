"""/v1/transfer-requests: units that a place asks another one for, sent and received in parts."""

from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

from fastapi import APIRouter, Response

from platform_api.kit.auth import Caller, Principal
from platform_api.kit.conditions import ExpectedVersion, etag
from platform_api.kit.db import Connection, Tx
from platform_api.kit.errors import CHANGE_RESPONSES, COMMON_RESPONSES, NOT_FOUND_RESPONSE, not_found, unprocessable
from platform_api.kit.idempotency import CREATE_RESPONSES, Made, OnceOnly
from platform_api.kit.keys import new_key
from platform_api.kit.paging import Listing, Paging
from platform_api.stock import transfer_queries as queries
from platform_api.stock import transferring
from platform_api.stock.parameters import Mover, require_place, require_skus, told
from platform_api.stock.rules import PHYSICAL
from platform_api.stock.transfer_models import (
    ArrivalRequest,
    CloseRequest,
    SendRequest,
    TransferRequest,
    TransferShown,
    shown,
)

router = APIRouter(tags=["stock"], responses=COMMON_RESPONSES)

ENDS: Final = PHYSICAL - {"transit"}
"""Kinds of places that a transfer goes from and to."""
MOVED: Final[dict[int | str, dict[str, Any]]] = {**CREATE_RESPONSES, **CHANGE_RESPONSES}


@router.get("/v1/transfer-requests", summary="List transfers that were asked for")
def list_transfers(caller: Caller, tx: Tx, page: Paging) -> Listing[TransferShown]:
    """Transfers from and to places that the caller sees, the newest first."""
    (after,) = page.after("transfer-requests", tuple[UUID]) or (None,)
    rows = tx.execute(queries.TRANSFERS, {**caller.scope, "after": after, "limit": page.limit + 1}).fetchall()
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
    """Units of one place for another. Nothing is held for it: it takes what is free when it is sent."""
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
        transferring.send(tx, caller, transferring.lock(tx, caller, transfer_id, version), body.units)

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
        row = transferring.lock(tx, caller, transfer_id, version)
        transferring.receive(tx, caller, row, body.received, body.missing)

    return once.answer(body, lambda: _made(tx, caller, transfer_id, act))


@router.post("/v1/transfer-requests/{transfer_id}:close", summary="Give up the rest", responses=CHANGE_RESPONSES)
def close(
    transfer_id: UUID, body: CloseRequest, caller: Mover, version: ExpectedVersion, tx: Tx, response: Response
) -> TransferShown:
    """What has not left is not sent any more; what is on its way may still be received."""
    transferring.close(tx, caller, transferring.lock(tx, caller, transfer_id, version), body.reason)
    found = _read(tx, caller, transfer_id)
    response.headers["ETag"] = etag(found.version)
    return found


def _ask(tx: Connection, caller: Principal, body: TransferRequest) -> Made:
    for field, place in (("from", body.from_), ("to", body.to)):
        if require_place(tx, caller, place) not in ENDS:
            raise unprocessable(f"body.{field}", "holds no stock")
    require_skus(tx, caller, [line.sku for line in body.lines])
    key = {"tenant_id": caller.tenant_id, "transfer_id": new_key()}
    head = {"origin": body.from_, "destination": body.to, "reference": body.reference, "user_id": caller.user_id}
    tx.execute(queries.INSERT_TRANSFER, {**key, **head})
    with tx.cursor() as cursor:
        cursor.executemany(queries.INSERT_LINE, [{**key, **line.model_dump()} for line in body.lines])
    return _made(tx, caller, key["transfer_id"], lambda: None)


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
