"""GET /v1/shipments, /v1/carriers, and what carriers send us."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import Depends, Header, Path, Query, Request, Response
from pydantic import ValidationError

from contracts.ids import IDENTIFIER_PATTERN
from platform_api.kit.auth import Caller, Head, Principal
from platform_api.kit.conditions import etag
from platform_api.kit.db import Connection, Tx, enter_tenant
from platform_api.kit.errors import COMMON_RESPONSES, NOT_FOUND_RESPONSE, ApiError, not_found, unprocessable
from platform_api.kit.money import MoneyText
from platform_api.kit.paging import Listing, Paging
from platform_api.kit.signatures import is_signed, new_secret
from platform_api.kit.work import Router
from platform_api.logistics import queries, service
from platform_api.logistics.models import (
    Carrier,
    CarrierEvent,
    MadeCarrier,
    NewCarrier,
    Proof,
    Shipment,
    ShipmentLine,
    ShipmentSummary,
    TrackingEvent,
)
from platform_api.logistics.proofs import media_type_of

router = Router(tags=["logistics"], responses=COMMON_RESPONSES)
open_router = Router(tags=["logistics"])

Row = Mapping[str, Any]
TenantPath = Annotated[str, Path(pattern=IDENTIFIER_PATTERN, max_length=32)]
CarrierPath = Annotated[str, Path(pattern=IDENTIFIER_PATTERN, max_length=32)]
TAKEN_RESPONSE: dict[int | str, dict[str, Any]] = {
    409: {**COMMON_RESPONSES[401], "description": "There is a carrier of this id already"}
}
HeaderText = Annotated[str, Header(max_length=1_000)]
IMAGE_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"image/jpeg": {}, "image/png": {}}, "description": "The picture"},
    **NOT_FOUND_RESPONSE,
}
OrderName = Annotated[UUID | None, Query(description="Only those of this order")]


@router.get("/v1/carriers", summary="List carriers")
def list_carriers(caller: Caller, tx: Tx, page: Paging) -> Listing[Carrier]:
    """Who may carry shipments, by id."""
    (after,) = page.after("carriers", tuple[str]) or (None,)
    rows = tx.execute(
        queries.CARRIERS, {"tenant_id": caller.tenant_id, "after": after, "limit": page.limit + 1}
    ).fetchall()
    return page.listing(
        "carriers",
        rows,
        key=lambda row: (row["carrier_id"],),
        item=lambda row: Carrier(id=row["carrier_id"], kind=row["kind"], name=row["name"]),
    )


@router.post("/v1/carriers", summary="Add a carrier", status_code=201, responses=TAKEN_RESPONSE)
def create_carrier(body: NewCarrier, caller: Head, tx: Tx) -> MadeCarrier:
    """A carrier. Its secret is shown this once; it signs what it sends by Standard Webhooks."""
    secret = new_secret() if body.kind == "webhook" else ""
    values = {"tenant_id": caller.tenant_id, "carrier": body.id, "secret": secret}
    if tx.execute(queries.INSERT_CARRIER, {**values, "kind": body.kind, "name": body.name}).rowcount == 0:
        raise ApiError(HTTPStatus.CONFLICT, f"there is a carrier {body.id} already")
    return MadeCarrier(secret=secret, **body.model_dump())


@router.get("/v1/shipments", summary="List shipments")
def list_shipments(caller: Caller, tx: Tx, page: Paging, order: OrderName = None) -> Listing[ShipmentSummary]:
    """Shipments, the newest first."""
    (after,) = page.after("shipments", tuple[UUID]) or (None,)
    rows = tx.execute(
        queries.SHIPMENTS, {**caller.org_scope, "order_id": order, "after": after, "limit": page.limit + 1}
    ).fetchall()
    return page.listing(
        "shipments",
        rows,
        key=lambda row: (row["shipment_id"],),
        item=lambda row: ShipmentSummary(**_shipment(row)),
    )


@router.get("/v1/shipments/{shipment_id}", summary="Follow a shipment", responses=NOT_FOUND_RESPONSE)
def read_shipment(shipment_id: UUID, caller: Caller, tx: Tx, response: Response) -> Shipment:
    """One shipment with its carrier's events and its proof of delivery."""
    place = {**caller.org_scope, "shipment_id": shipment_id}
    row = tx.execute(queries.SHIPMENT, place).fetchone()
    if row is None:
        raise not_found("shipment")
    proof = tx.execute(queries.PROOF, place).fetchone()
    events = [
        TrackingEvent(id=event["event_id"], **{name: event[name] for name in ("state", "place", "note", "at")})
        for event in tx.execute(queries.EVENTS, place)
    ]
    response.headers["ETag"] = etag(row["version"])
    return Shipment(**_shipment(row), events=events, proof=None if proof is None else Proof(**proof))


@router.get("/v1/shipments/{shipment_id}/signature", summary="See a signature", responses=IMAGE_RESPONSES)
def read_signature(shipment_id: UUID, caller: Caller, tx: Tx) -> Response:
    """What was drawn by whoever took the goods: JPEG or PNG."""
    return _picture(tx, caller, shipment_id, "signature")


@router.get("/v1/shipments/{shipment_id}/photo", summary="See a photo of a delivery", responses=IMAGE_RESPONSES)
def read_photo(shipment_id: UUID, caller: Caller, tx: Tx) -> Response:
    """What was photographed at the door: JPEG or PNG."""
    return _picture(tx, caller, shipment_id, "photo")


def _picture(tx: Connection, caller: Principal, shipment_id: UUID, name: str) -> Response:
    row = tx.execute(queries.IMAGE_OF, {**caller.org_scope, "shipment_id": shipment_id}).fetchone()
    if row is None or row[name] is None:
        raise not_found(name)
    picture = bytes(row[name])
    # Older ones were taken unseen: what is no picture is handed over as a file, never shown.
    media_type = media_type_of(picture)
    shown = "inline" if media_type else "attachment"
    headers = {"Content-Disposition": f'{shown}; filename="{name}-{shipment_id}"'}
    return Response(picture, media_type=media_type or "application/octet-stream", headers=headers)


async def raw_body(request: Request) -> bytes:
    """The bytes as they were signed."""
    return await request.body()


def _signed_body() -> dict[str, Any]:
    """The body as the document shows it: it is read as it was signed, so that no model takes it."""
    schema = CarrierEvent.model_json_schema()
    # Names of its own would be looked for in the document.
    schema["properties"]["state"] = schema.pop("$defs")["ShipmentState"]
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


@open_router.post(
    "/v1/carrier-events/{tenant}/{carrier}",
    summary="Tell what happened to a shipment",
    status_code=HTTPStatus.NO_CONTENT,
    openapi_extra=_signed_body(),
    responses={401: COMMON_RESPONSES[401], 404: NOT_FOUND_RESPONSE[404], 422: COMMON_RESPONSES[422]},
)
def take_event(
    tenant: TenantPath,
    carrier: CarrierPath,
    tx: Tx,
    body: Annotated[bytes, Depends(raw_body)],
    webhook_id: HeaderText = "",
    webhook_timestamp: HeaderText = "",
    webhook_signature: HeaderText = "",
) -> Response:
    """For carriers: one event of one shipment, signed by Standard Webhooks with the carrier's secret."""
    row = tx.execute(queries.KEY_OF, {"tenant_id": tenant, "carrier": carrier}).fetchone()
    assert row is not None
    proof = {
        "webhook-id": webhook_id,
        "webhook-timestamp": webhook_timestamp,
        "webhook-signature": webhook_signature,
    }
    signed = row["secret"] is not None and is_signed(row["secret"], proof, body)
    if not signed:
        raise ApiError(HTTPStatus.UNAUTHORIZED, "the signature does not fit", headers={"WWW-Authenticate": "Bearer"})
    enter_tenant(tx, tenant)
    try:
        event = CarrierEvent.model_validate_json(body)
    except ValidationError as error:
        raise unprocessable("body", f"is no event of a shipment ({error.error_count()} mistakes)") from error
    if not service.take_event(tx, tenant, carrier, event):
        raise not_found("shipment")
    return Response(status_code=HTTPStatus.NO_CONTENT)


def _shipment(row: Row) -> dict[str, Any]:
    same = ("ship_from", "ship_to", "tracking_no", "state", "shelf_verdict", "shelf_seen", "eta", "version")
    return {
        "id": row["shipment_id"],
        "order": row["order_id"],
        "org": row["org_id"],
        "carrier": row["carrier_id"],
        "dispatched": row["dispatched_at"],
        "delivered": row["delivered_at"],
        "lines": [_line(line, row["currency"]) for line in row["lines"]],
        **{name: row[name] for name in same},
    }


def _line(line: Row, currency: str) -> ShipmentLine:
    known = line["accepted"] is not None
    return ShipmentLine(
        line=line["line"],
        sku=line["sku"],
        units=line["units"],
        accepted=line["accepted"],
        refused=line["units"] - line["accepted"] - line["missing"] if known else None,
        missing=line["missing"] if known else None,
        invoiced=MoneyText.of(line["invoiced_minor"], currency),
        credited=MoneyText.of(line["credited_minor"], currency),
    )
