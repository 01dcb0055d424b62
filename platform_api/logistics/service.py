"""What carriers tell: simulated ones by the clock, others by signed webhooks."""

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from platform_api.kit.db import Connection
from platform_api.logistics import queries
from platform_api.logistics.models import CarrierEvent
from platform_api.logistics.rules import ShipmentState, state_after

KEY_PREFIX: Final = "whsec_"
SIGNATURES_MAX: Final = 10
_TIMESTAMP: Final = re.compile(r"\A[0-9]{1,12}\Z")
AGE_MAX: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Signature:
    """What the headers ``webhook-id``, ``-timestamp`` and ``-signature`` say."""

    message_id: str
    timestamp: str
    signatures: str


def is_signed(secret: str, told: Signature, body: bytes, now: datetime) -> bool:
    """Whether a body was signed with the secret, and lately (Standard Webhooks 1.0, symmetric signatures).

    There may be several signatures, of which one must fit.
    """
    if _TIMESTAMP.match(told.timestamp) is None:
        return False
    if abs(now.timestamp() - int(told.timestamp)) > AGE_MAX.total_seconds():
        return False
    signed = f"{told.message_id}.{told.timestamp}.".encode() + body
    key = base64.b64decode(secret.removeprefix(KEY_PREFIX))
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest())
    versions = (one.partition(",") for one in told.signatures.split(" ")[:SIGNATURES_MAX])
    return any(version == "v1" and hmac.compare_digest(value.encode(), expected) for version, _, value in versions)


def take_event(tx: Connection, tenant_id: str, carrier: str, event: CarrierEvent) -> bool:
    """Note an event and move its shipment on; False when there is no such shipment."""
    place = {"tenant_id": tenant_id, "carrier": carrier, "tracking_no": event.tracking_no}
    shipment = tx.execute(queries.BY_TRACKING, place).fetchone()
    if shipment is None:
        return False
    note(tx, tenant_id, shipment, event)
    return True


def note(tx: Connection, tenant_id: str, shipment: Mapping[str, Any], event: CarrierEvent) -> None:
    """Note an event of a locked shipment, once."""
    place = {"tenant_id": tenant_id, "shipment_id": shipment["shipment_id"]}
    values = {name: getattr(event, name) for name in ("event_id", "state", "place", "note", "at")}
    if tx.execute(queries.INSERT_EVENT, {**place, **values}).rowcount == 0:
        return
    following = state_after(ShipmentState(shipment["state"]), event.state)
    tx.execute(queries.SET_STATE, {**place, "state": following, "eta": event.eta})
