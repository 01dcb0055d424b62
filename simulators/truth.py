"""Ground truth: what really happened, one JSON object a line, for tests and for judging detectors.

``kind`` of an event: ``count`` (opening stock), ``sale``, ``put_back``, ``restock``, ``theft``; ``misplace`` and
``tidy`` (``units`` of a foreign ``sku`` laid on or taken off the slot); ``lost`` (wanted, but the slot was empty);
``tare`` (0 units). ``on_shelf`` counts the slot's own SKU after it. ``kind`` of a fault is that of its action.
"""

from enum import StrEnum

import msgspec


class EventKind(StrEnum):
    """What happened at a slot."""

    COUNT = "count"
    SALE = "sale"
    PUT_BACK = "put_back"
    RESTOCK = "restock"
    THEFT = "theft"
    MISPLACE = "misplace"
    TIDY = "tidy"
    LOST = "lost"
    TARE = "tare"


class TruthEvent(msgspec.Struct, frozen=True):
    """A change at a slot. ``units`` as in the protocol: what left is negative; of ``lost``, the units wanted."""

    t_ms: int
    site: str
    gateway: str
    slot: str
    sku: str
    kind: EventKind
    units: int
    on_shelf: int


class TruthFault(msgspec.Struct, frozen=True):
    """A fault or a rush, from ``t_ms`` to ``end_ms``. ``place`` is that of the action (a SKU for a rush)."""

    t_ms: int
    kind: str
    place: str
    end_ms: int


TruthLine = TruthEvent | TruthFault

_encode = msgspec.json.Encoder().encode


def line(truth: TruthLine) -> bytes:
    """One line of a truth file, newline included."""
    return _encode(truth) + b"\n"
