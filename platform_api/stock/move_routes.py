"""POST /v1/receipts, /v1/transfers, /v1/adjustments and /v1/due-receipts: what people book."""

from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Final, TypedDict, Unpack
from uuid import UUID

from fastapi import Response

from platform_api.kit.auth import Principal
from platform_api.kit.db import Connection, Tx
from platform_api.kit.errors import COMMON_RESPONSES, NOT_FOUND_RESPONSE, ApiError, not_found, unprocessable
from platform_api.kit.idempotency import CREATE_RESPONSES, Made, OnceOnly
from platform_api.kit.keys import new_key
from platform_api.kit.work import Router
from platform_api.stock import moving
from platform_api.stock.ledger import Move, keep_lot
from platform_api.stock.models import Adjustment, Due, DueRequest, Posted, Receipt, Transfer
from platform_api.stock.parameters import Controller, Mover, require_place, require_skus, told
from platform_api.stock.rules import ADJUST, LOSS, ON_HOLD, PHYSICAL, SUPPLIER, MoveKind
from platform_api.stock.valuing import Leg

router = Router(tags=["stock"], responses={**COMMON_RESPONSES, **CREATE_RESPONSES, **NOT_FOUND_RESPONSE})


class _Other(TypedDict, total=False):
    reason: str
    reference: str
    told_minor: dict[str, int]


FUTURE_MAX: Final = timedelta(minutes=5)

KEEP_DUE = """
INSERT INTO due_receipt (tenant_id, due_id, location_id, sku, units, due_at, reference)
VALUES (%(tenant_id)s, %(due_id)s, %(to)s, %(sku)s, %(units)s, %(due_at)s, %(reference)s)
"""
SETTLE_DUE = """
UPDATE due_receipt SET state = 'received'
WHERE tenant_id = %(tenant_id)s AND due_id = %(due)s AND location_id = %(to)s AND state = 'open'
"""


@router.post("/v1/receipts", summary="Receive goods", status_code=201, response_model=Posted)
def receive(body: Receipt, caller: Controller, tx: Tx, once: OnceOnly) -> Response:
    """Goods from a supplier are there, at what they cost. Without a cost they count at the average that lies there."""
    return once.answer(body, lambda: _receive(tx, caller, body))


@router.post("/v1/transfers", summary="Transfer stock", status_code=201, response_model=Posted)
def transfer(body: Transfer, caller: Mover, tx: Tx, once: OnceOnly) -> Response:
    """Units change places, now. What is reserved stays; lots that expire first go first."""
    return once.answer(body, lambda: _transfer(tx, caller, body))


@router.post("/v1/adjustments", summary="Correct stock", status_code=201, response_model=Posted)
def adjust(body: Adjustment, caller: Controller, tx: Tx, once: OnceOnly) -> Response:
    """A correction is a new move with its reason; nothing is rewritten."""
    return once.answer(body, lambda: _adjust(tx, caller, body))


@router.post("/v1/due-receipts", summary="Expect goods", status_code=201, response_model=Due)
def expect(body: DueRequest, caller: Controller, tx: Tx, once: OnceOnly) -> Response:
    """Goods that are promised: what can be promised in turn grows by them."""
    return once.answer(body, lambda: _expect(tx, caller, body))


def _receive(tx: Connection, caller: Principal, body: Receipt) -> Made:
    _require_held(tx, caller, body.to)
    by_lot = require_skus(tx, caller, [line.sku for line in body.lines])
    now = datetime.now(UTC)
    happened = body.happened or now
    if happened > now + FUTURE_MAX:
        raise unprocessable("body.happened", "lies in the future")
    legs: list[Leg] = []
    costs: dict[str, int] = {}
    with told():
        for number, line in enumerate(body.lines):
            if by_lot[line.sku] != bool(line.lot):
                raise unprocessable(f"body.lines.{number}.lot", "is for SKUs kept by lot, and needed for those")
            lot_id = keep_lot(tx, caller.tenant_id, line.sku, line.lot, line.expires) if line.lot else None
            legs += [Leg(body.to, line.sku, line.units, lot_id), Leg(SUPPLIER, line.sku, -line.units)]
            if line.cost is not None:
                costs[line.sku] = costs.get(line.sku, 0) + line.cost.minor
        if body.due is not None:
            place = {"tenant_id": caller.tenant_id, "due": body.due, "to": body.to}
            if tx.execute(SETTLE_DUE, place).rowcount == 0:
                raise not_found("expected receipt")
        move = _move(caller, MoveKind.RECEIPT, legs, happened, reference=body.reference, told_minor=costs)
        return _posted(moving.post_new(tx, caller.tenant_id, move, now))


def _transfer(tx: Connection, caller: Principal, body: Transfer) -> Made:
    for place in (body.from_, body.to):
        if _require_held(tx, caller, place) == ON_HOLD:
            raise ApiError(HTTPStatus.CONFLICT, f"{place} is for stock on hold: /v1/stock-holds says how that moves")
    require_skus(tx, caller, [line.sku for line in body.lines])
    now = datetime.now(UTC)
    with told():
        units = {line.sku: line.units for line in body.lines}
        route = moving.Route(body.from_, body.to, now.date())
        legs = moving.transfer_legs(tx, caller.tenant_id, route, units)
        move = _move(caller, MoveKind.TRANSFER, legs, now, reference=body.reference)
        return _posted(moving.post_new(tx, caller.tenant_id, move, now))


def _adjust(tx: Connection, caller: Principal, body: Adjustment) -> Made:
    _require_held(tx, caller, body.at)
    require_skus(tx, caller, [body.sku])
    now = datetime.now(UTC)
    other = LOSS if body.loss else ADJUST
    kind = MoveKind.LOSS if body.loss else MoveKind.ADJUST
    with told():
        if body.units < 0:
            route = moving.Route(body.at, other, None)
            legs = moving.transfer_legs(tx, caller.tenant_id, route, {body.sku: -body.units})
        else:
            legs = [Leg(body.at, body.sku, body.units), Leg(other, body.sku, -body.units)]
        move = _move(caller, kind, legs, now, reason=body.reason)
        return _posted(moving.post_new(tx, caller.tenant_id, move, now))


def _expect(tx: Connection, caller: Principal, body: DueRequest) -> Made:
    _require_held(tx, caller, body.to)
    require_skus(tx, caller, [body.sku])
    due = Due(id=new_key(), **body.model_dump())
    tx.execute(KEEP_DUE, {"tenant_id": caller.tenant_id, "due_id": due.id, **body.model_dump()})
    return due, {}


def _require_held(tx: Connection, caller: Principal, location: str) -> str:
    kind = require_place(tx, caller, location)
    if kind not in PHYSICAL:
        raise ApiError(HTTPStatus.CONFLICT, f"{location} holds no stock")
    return kind


def _move(caller: Principal, kind: MoveKind, legs: list[Leg], happened: datetime, **other: Unpack[_Other]) -> Move:
    return Move(
        kind=kind,
        happened_at=happened,
        legs=legs,
        source="people",
        source_event_id=str(new_key()),
        user_id=caller.user_id,
        **other,
    )


def _posted(move_id: UUID) -> Made:
    return Posted(move=move_id), {}
