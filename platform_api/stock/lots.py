"""Which lots go when nobody says so: first expired, first out; and none is kept where nothing lies. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from platform_api.stock.rules import LotStock, pick_lots
from platform_api.stock.valuing import Leg, Place

Part = tuple[UUID | None, int]
"""Units of a lot, or of none."""


@dataclass(frozen=True, slots=True)
class Shelved:
    """What a place has of a SKU: units by the books (of a shelf perhaps below 0), and its lots."""

    on_hand: int
    lots: Sequence[LotStock]


def with_lots(legs: Sequence[Leg], places: Mapping[Place, Shelved]) -> list[Leg]:
    """The same units out of the lots of the places that lose them, expired ones too: they are gone all the same.

    Units beyond all lots have none. What another place gains comes in the lots that were taken (``keep_lots``).
    ``places`` are the physical ones, each losing or gaining a SKU; ``legs`` name no lot and balance by SKU.
    """
    written: list[Leg] = []
    for sku in sorted({leg.sku for leg in legs}):
        parts: list[Part] = []
        for leg in legs:
            if leg.sku == sku and leg.units < 0:
                place = places.get((leg.location, sku))
                taken = pick_lots([] if place is None else place.lots, -leg.units, date.min)
                written += [Leg(leg.location, sku, -units, lot_id) for lot_id, units in taken]
                parts += taken
        for leg in legs:
            if leg.sku == sku and leg.units > 0:
                place = places.get((leg.location, sku))
                came = keep_lots(_cut(parts, leg.units), 0 if place is None else place.on_hand)
                written += [Leg(leg.location, sku, units, lot_id) for lot_id, units in came]
    return written


def keep_lots(parts: Iterable[Part], on_hand: int) -> Iterator[Part]:
    """What comes to a place, and of which lots: units that it lacks by its books have left it already, and have none.

    So lots are never more than what is on hand.
    """
    gap = max(0, -on_hand)
    for lot_id, units in parts:
        gone = min(gap, units)
        gap -= gone
        for of, count in ((None, gone), (lot_id, units - gone)):
            if count:
                yield of, count


def _cut(parts: list[Part], wanted: int) -> list[Part]:
    """Take the first ``wanted`` units from parts, which are less then."""
    cut: list[Part] = []
    while wanted:
        lot_id, units = parts.pop(0)
        came = min(wanted, units)
        if units > came:
            parts.insert(0, (lot_id, units - came))
        cut.append((lot_id, came))
        wanted -= came
    return cut
