"""/v1/transfer-lanes: what moving units between sites costs, where people know better than the distance."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Depends, Path, Response

from contracts.ids import IDENTIFIER_PATTERN
from platform_api.kit.auth import Caller, Principal, Role, require
from platform_api.kit.db import Tx
from platform_api.kit.errors import COMMON_RESPONSES, NOT_FOUND_RESPONSE, not_found, unprocessable
from platform_api.kit.money import MoneyText
from platform_api.kit.paging import Listing, Paging
from platform_api.kit.work import Router
from platform_api.replenishment import queries
from platform_api.replenishment.models import LaneRequest, TransferLane

router = Router(tags=["replenishment"], responses=COMMON_RESPONSES)

Row = Mapping[str, Any]
Planner = Annotated[Principal, Depends(require(Role.HQ, Role.OPS, Role.DEALER))]
SitePath = Annotated[str, Path(pattern=IDENTIFIER_PATTERN, max_length=32)]


@router.get("/v1/transfer-lanes", summary="List what moves cost")
def list_lanes(caller: Caller, tx: Tx, page: Paging) -> Listing[TransferLane]:
    """Ways between sites that the caller sees; between others the cost is estimated from the distance."""
    last = page.after("transfer-lanes", tuple[str, str]) or (None, None)
    values = {"after_origin": last[0], "after_destination": last[1], "limit": page.limit + 1}
    rows = tx.execute(queries.LANES, {**caller.scope, **values}).fetchall()
    return page.listing("transfer-lanes", rows, key=lambda row: (row["origin"], row["destination"]), item=_lane)


@router.put("/v1/transfer-lanes/{site}/{destination}", summary="Say what a move costs", responses=NOT_FOUND_RESPONSE)
def put_lane(site: SitePath, destination: SitePath, body: LaneRequest, caller: Planner, tx: Tx) -> TransferLane:
    """The way from ``site`` as a whole, so that there is no version to name; proposals weigh it from now on."""
    if site == destination:
        raise unprocessable("path.destination", "is where the way begins")
    values = {
        "origin": site,
        "destination": destination,
        "currency": body.cost.currency,
        "cost_minor": body.cost.minor,
        "allowed": body.allowed,
    }
    row = tx.execute(queries.PUT_LANE, {**caller.scope, **values}).fetchone()
    if row is None:
        raise not_found("site")
    return _lane(row)


@router.delete(
    "/v1/transfer-lanes/{site}/{destination}",
    summary="Estimate a move again",
    status_code=204,
    responses=NOT_FOUND_RESPONSE,
)
def delete_lane(site: SitePath, destination: SitePath, caller: Planner, tx: Tx) -> Response:
    """Its cost is estimated from the distance from now on."""
    place = {"origin": site, "destination": destination}
    if tx.execute(queries.DELETE_LANE, {**caller.scope, **place}).rowcount == 0:
        raise not_found("way")
    return Response(status_code=HTTPStatus.NO_CONTENT)


def _lane(row: Row) -> TransferLane:
    cost = MoneyText.of(row["cost_minor"], row["currency"])
    return TransferLane(origin=row["origin"], destination=row["destination"], cost=cost, allowed=row["allowed"])
