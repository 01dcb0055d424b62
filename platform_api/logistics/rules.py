"""How far a shipment is, and what shelves say of it. Pure."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

SHELF_DAYS: Final = timedelta(days=7)
"""Refills that shelves see within this time after dispatch may be those of the shipment."""
TOLERANCE_PERCENT: Final = 2
TOLERANCE_UNITS: Final = 1
PERCENT: Final = 100


class ShipmentState(StrEnum):
    """How far a shipment is. Stored, so names never change."""

    DISPATCHED = "dispatched"
    IN_TRANSIT = "in_transit"
    OUT_FOR_DELIVERY = "out_for_delivery"
    DELIVERED = "delivered"
    EXCEPTION = "exception"


_PROGRESS: Final = {
    ShipmentState.DISPATCHED: 0,
    ShipmentState.IN_TRANSIT: 1,
    ShipmentState.OUT_FOR_DELIVERY: 2,
    ShipmentState.DELIVERED: 3,
}


def state_after(state: ShipmentState, told: ShipmentState) -> ShipmentState:
    """State after a carrier's event, which may come late or twice: progress never goes back.

    Only a proof of delivery ends a shipment; a carrier that says "delivered" brings it to the door.
    """
    if state is ShipmentState.DELIVERED:
        return state
    if told is ShipmentState.DELIVERED:
        return ShipmentState.OUT_FOR_DELIVERY
    if told is ShipmentState.EXCEPTION or state is ShipmentState.EXCEPTION:
        return told
    return told if _PROGRESS[told] > _PROGRESS[state] else state


class ShelfVerdict(StrEnum):
    """What the shelves of a store say of a delivery. Stored, so names never change."""

    WAITING = "waiting"
    CONFIRMED = "confirmed"
    DISPUTED = "disputed"
    UNKNOWN = "unknown"
    """No shelf of the store counts these SKUs."""


def judge_refill(
    accepted: Mapping[str, int], seen: Mapping[str, int | None], dispatched_at: datetime, now: datetime
) -> ShelfVerdict:
    """Verdict over a delivered shipment: units accepted by SKU, and units refilled since dispatch.

    ``seen`` is None for a SKU that no shelf there counts. Partial refills add up; until SHELF_DAYS are over a shortfall
    may still come from the back room.
    """
    counted = {sku: units for sku, units in accepted.items() if seen.get(sku) is not None and units > 0}
    if not counted:
        return ShelfVerdict.UNKNOWN
    short = [sku for sku, units in counted.items() if (seen[sku] or 0) < units - tolerance(units)]
    if not short:
        return ShelfVerdict.CONFIRMED
    return ShelfVerdict.DISPUTED if now >= dispatched_at + SHELF_DAYS else ShelfVerdict.WAITING


def tolerance(units: int) -> int:
    """Units that may be missing without a dispute: the larger of 1 and 2 %."""
    return max(TOLERANCE_UNITS, units * TOLERANCE_PERCENT // PERCENT)
