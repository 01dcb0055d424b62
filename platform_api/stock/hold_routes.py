"""POST /v1/stock-holds: what is taken out of sale, given back to it, or written off. /v1/stock?kind=hold shows it."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from fastapi import Response
from pydantic import ConfigDict, StringConstraints

from platform_api.kit.auth import Principal
from platform_api.kit.db import Connection, Tx
from platform_api.kit.errors import COMMON_RESPONSES, NOT_FOUND_RESPONSE, ApiError
from platform_api.kit.idempotency import CREATE_RESPONSES, Made, OnceOnly
from platform_api.kit.inputs import Input
from platform_api.kit.work import Router
from platform_api.stock import holding
from platform_api.stock.models import Place, Posted, Reason, Sku, Units
from platform_api.stock.parameters import Controller, Mover, require_place, require_skus, told
from platform_api.stock.rules import STORING

router = Router(tags=["stock"], responses={**COMMON_RESPONSES, **CREATE_RESPONSES, **NOT_FOUND_RESPONSE})

Act = Callable[[Connection, str, UUID, holding.Held], UUID]


class HoldRequest(Input):
    """Units at a warehouse or store, and why. Without ``lot`` those that expire first, expired ones included."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"at": "wh-east", "sku": "tea-500", "units": 1, "reason": "the carton is crushed"}]
        },
    )

    at: Place
    sku: Sku
    units: Units
    lot: Annotated[str, StringConstraints(max_length=64, pattern=r"^[^\x00]*$")] = ""
    reason: Reason


@router.post("/v1/stock-holds", summary="Put stock on hold", status_code=201, response_model=Posted)
def put(body: HoldRequest, caller: Mover, tx: Tx, once: OnceOnly) -> Response:
    """Free units are not sold, promised or moved any more until somebody decides."""
    return once.answer(body, lambda: _act(tx, caller, body, holding.put))


@router.post("/v1/stock-holds:release", summary="Release stock on hold", status_code=201, response_model=Posted)
def release(body: HoldRequest, caller: Controller, tx: Tx, once: OnceOnly) -> Response:
    """Units are where they were, and can be sold again; those that have expired are promised to nobody all the same."""
    return once.answer(body, lambda: _act(tx, caller, body, holding.release))


@router.post("/v1/stock-holds:write-off", summary="Write off stock on hold", status_code=201, response_model=Posted)
def write_off(body: HoldRequest, caller: Controller, tx: Tx, once: OnceOnly) -> Response:
    """Units are a loss."""
    return once.answer(body, lambda: _act(tx, caller, body, holding.write_off))


def _act(tx: Connection, caller: Principal, body: HoldRequest, act: Act) -> Made:
    if require_place(tx, caller, body.at) not in STORING:
        raise ApiError(HTTPStatus.CONFLICT, f"{body.at} is no warehouse or store")
    require_skus(tx, caller, [body.sku])
    held = holding.Held(site=body.at, sku=body.sku, units=body.units, lot=body.lot, reason=body.reason)
    with told():
        return Posted(move=act(tx, caller.tenant_id, caller.user_id, held)), {}
