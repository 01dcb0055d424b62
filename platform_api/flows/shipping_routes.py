"""POST /v1/orders/{order_id}/shipments and /v1/shipments/{shipment_id}:deliver."""

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Response

from platform_api.flows import delivering, shipping
from platform_api.flows.order_routes import actor_of
from platform_api.kit.auth import Principal, Role, require
from platform_api.kit.conditions import ExpectedVersion, etag
from platform_api.kit.db import Connection, Tx
from platform_api.kit.errors import CHANGE_RESPONSES, COMMON_RESPONSES, unprocessable
from platform_api.kit.idempotency import CREATE_RESPONSES, Made, OnceOnly
from platform_api.kit.work import Router
from platform_api.logistics.models import ProofRequest, ShipmentRequest
from platform_api.logistics.proofs import Proof
from platform_api.orders.models import Order
from platform_api.orders.service import read_order
from platform_api.stock.parameters import told

router = Router(tags=["logistics"], responses={**COMMON_RESPONSES, **CREATE_RESPONSES, **CHANGE_RESPONSES})

Shipper = Annotated[Principal, Depends(require(Role.HQ, Role.OPS))]
Receiver = Annotated[Principal, Depends(require(Role.HQ, Role.OPS, Role.DEALER, Role.REP, Role.STORE))]


@router.post("/v1/orders/{order_id}/shipments", summary="Send what is held", status_code=201, response_model=Order)
def dispatch(
    order_id: UUID, body: ShipmentRequest, caller: Shipper, version: ExpectedVersion, tx: Tx, once: OnceOnly
) -> Response:
    """Units leave the warehouse, first expired first, and are owed from now on; the rest may follow later."""

    def make() -> Made:
        wanted = shipping.Dispatch(units=body.units, carrier=body.carrier, tracking_no=body.tracking_no, eta=body.eta)
        with told():
            shipment_id = shipping.dispatch(tx, actor_of(caller), order_id, version, wanted, datetime.now(UTC))
        return _order(tx, caller, order_id, f"/v1/shipments/{shipment_id}")

    return once.answer(body, make)


@router.post(
    "/v1/shipments/{shipment_id}:deliver", summary="Sign for a delivery", status_code=201, response_model=Order
)
def deliver(shipment_id: UUID, body: ProofRequest, caller: Receiver, tx: Tx, once: OnceOnly) -> Response:
    """Proof of delivery: accepted units are in the store by the books, refused ones go back, missing ones are a loss.

    The dealer is credited at once for what was not accepted; its warehouse receives the return that is made of it.
    A shipment is signed for once, so that there is no version to name.
    """
    if body.at > datetime.now(UTC) + delivering.FUTURE_MAX:
        raise unprocessable("body.at", "lies in the future")

    def make() -> Made:
        proof = Proof(**{name: getattr(body, name) for name in ProofRequest.model_fields})
        with told():
            order_id = delivering.deliver(tx, actor_of(caller), shipment_id, proof, datetime.now(UTC))
        return _order(tx, caller, order_id, f"/v1/shipments/{shipment_id}")

    return once.answer(body, make)


def _order(tx: Connection, caller: Principal, order_id: UUID, location: str) -> Made:
    order = read_order(tx, actor_of(caller), order_id)
    return order, {"Location": location, "ETag": etag(order.version)}
