"""What carriers tell: simulated ones by the clock, others by signed webhooks."""

from collections.abc import Mapping
from typing import Any

from platform_api.kit.db import Connection
from platform_api.logistics import queries
from platform_api.logistics.models import CarrierEvent
from platform_api.logistics.rules import ShipmentState, state_after


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
