"""Decisions about stock: what an event moves, which lots go first, and what a difference calls for. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from contracts.frames import EventKind
from platform_api.stock.valuing import Leg

SETTLED_AFTER: Final = timedelta(minutes=10)
"""Late data is not expected to arrive for a time further back than this."""
WINDOWS_NEEDED: Final = 3
"""A difference must last over so many quiet windows before anything is done about it."""
SMALL_UNITS: Final = 2
SMALL_PERCENT: Final = 5
TOLERANCE_UNITS: Final = 0
PERCENT: Final = 100


class MoveKind(StrEnum):
    """Why units move. Stored, so names never change."""

    OPENING = "opening"
    RECEIPT = "receipt"
    ISSUE = "issue"
    RETURN = "return"
    TRANSFER = "transfer"
    SALE = "sale"
    PUT_BACK = "put_back"
    RESTOCK = "restock"
    REMOVE = "remove"
    ADJUST = "adjust"
    COUNT = "count"
    RECONCILE = "reconcile"
    LOSS = "loss"
    HOLD = "hold"
    RELEASE = "release"


SUPPLIER: Final = ".supplier"
TRANSIT: Final = ".transit"
CUSTOMER: Final = ".customer"
LOSS: Final = ".loss"
ADJUST: Final = ".adjust"

STORING: Final = frozenset({"warehouse", "store"})
"""Kinds of locations that goods are sold and sent from."""
ON_HOLD: Final = "hold"
"""Kind of the place beside each of those for what may not be sold before somebody has decided."""
PHYSICAL: Final = STORING | {"shelf", "transit", ON_HOLD}
"""Kinds of locations that hold stock."""


def shelf_of(site: str) -> str:
    """Location of a store's shelf."""
    return f"{site}.shelf"


def is_hold(location: str) -> bool:
    """Whether a location is for stock on hold."""
    return location.endswith(f".{ON_HOLD}")


def hold_of(site: str) -> str:
    """Location of what a site has on hold."""
    return f"{site}.{ON_HOLD}"


EVENT_LEGS: Final[Mapping[EventKind, tuple[MoveKind, str]]] = {
    EventKind.SALE: (MoveKind.SALE, CUSTOMER),
    EventKind.PUT_BACK: (MoveKind.PUT_BACK, CUSTOMER),
    EventKind.RESTOCK: (MoveKind.RESTOCK, ""),
    EventKind.REMOVE: (MoveKind.REMOVE, ""),
    EventKind.ADJUST: (MoveKind.ADJUST, ADJUST),
}
"""What an event of a shelf books, and the other side of it ('' is the store that the shelf stands in)."""

DEPLETING: Final = frozenset({EventKind.SALE, EventKind.PUT_BACK})
"""Events that tell of sales: booked only where telemetry is the authority."""


def event_legs(kind: EventKind, site: str, sku: str, units: int, in_store: int) -> tuple[MoveKind, list[Leg]] | None:
    """What a shelf's event books; None when it moves nothing.

    ``units`` is the change on the slot. A refill comes from the store; what the store has not got by its books
    (``in_store`` are the units free there) comes from nowhere, which is told as an adjustment.
    """
    if kind not in EVENT_LEGS or units == 0:
        return None
    move, other = EVENT_LEGS[kind]
    if other:
        return move, [Leg(shelf_of(site), sku, units), Leg(other, sku, -units)]
    known = max(0, min(units, in_store)) if units > 0 else units
    legs = [Leg(shelf_of(site), sku, units)]
    if known:
        legs.append(Leg(site, sku, -known))
    if units != known:
        legs.append(Leg(ADJUST, sku, known - units))
    return move, legs


def till_legs(place: str, sku: str, units: int, free: int | None) -> tuple[list[Leg], int]:
    """What a line of a receipt books at the place that sold, and how much of it comes from nowhere.

    ``units`` is negative for what was taken back. From nowhere comes what was sold beyond the ``free`` units of a place
    that cannot go below 0 (None: it can).
    """
    known = units if free is None or units < 0 else max(0, min(units, free))
    legs = [Leg(CUSTOMER, sku, units)]
    if known:
        legs.append(Leg(place, sku, -known))
    if units != known:
        legs.append(Leg(ADJUST, sku, known - units))
    return legs, units - known


@dataclass(frozen=True, slots=True)
class LotStock:
    """Units of a lot at a place. ``expires_on`` None: it keeps."""

    lot_id: UUID
    expires_on: date | None
    units: int


def pick_lots(lots: Iterable[LotStock], units: int, today: date) -> list[tuple[UUID | None, int]]:
    """Which lots to take ``units`` from: first expired, first out, and nothing that has expired.

    What the lots do not cover comes from stock without a lot (None).
    """
    usable = [lot for lot in lots if lot.units > 0 and (lot.expires_on is None or lot.expires_on > today)]
    usable.sort(key=lambda lot: (lot.expires_on or date.max, lot.lot_id))
    picked: list[tuple[UUID | None, int]] = []
    for lot in usable:
        if units == 0:
            break
        taken = min(units, lot.units)
        picked.append((lot.lot_id, taken))
        units -= taken
    if units:
        picked.append((None, units))
    return picked


class Verdict(StrEnum):
    """What a difference between shelf and books calls for."""

    AGREES = "agrees"
    WATCH = "watch"
    POST = "post"
    """Small and lasting: corrected by itself, with its reason."""
    COUNT = "count"
    """Large and lasting: somebody shall look."""


def judge(observed: int, booked: int, windows: int) -> Verdict:
    """Verdict over a shelf as of one time. ``windows`` are the quiet ones in which it was so, this one included."""
    difference = abs(observed - booked)
    if difference <= TOLERANCE_UNITS:
        return Verdict.AGREES
    if windows < WINDOWS_NEEDED:
        return Verdict.WATCH
    small = max(SMALL_UNITS, booked * SMALL_PERCENT // PERCENT)
    return Verdict.POST if difference <= small else Verdict.COUNT


def available(on_hand: int, reserved: int, due: Sequence[int] = ()) -> int:
    """Units that can be promised: on hand, not reserved, and due in time. Never negative."""
    return max(0, on_hand - reserved + sum(due))


def atp_of(balance: Mapping[str, Any]) -> int:
    """What can be promised of a row of ``queries.BALANCES``: nothing that has expired.

    Nor anything on hold, on the road or on a shelf, from which no order and no transfer is promised anything.
    """
    if balance["kind"] not in STORING:
        return 0
    return available(balance["on_hand"] - balance["expired"], balance["reserved"], [balance["due"]])
