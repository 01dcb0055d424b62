"""Moves that other parts of the API make: from place to place with their lots, and posted for sure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from platform_api.stock.ledger import Balance, Connection, Move, NotEnoughError, hold, lots_at, post
from platform_api.stock.lots import Shelved, keep_lots, with_lots
from platform_api.stock.rules import LotStock, pick_lots
from platform_api.stock.valuing import Leg, Place


def post_new(tx: Connection, tenant_id: str, move: Move, now: datetime) -> UUID:
    """Post a move that is not posted yet. Raises StockError."""
    move_id = post(tx, tenant_id, move, now)
    assert move_id is not None, move
    return move_id


@dataclass(frozen=True, slots=True)
class Route:
    """From where to where. Lots that have expired by ``today`` stay; None takes them too (they are written off)."""

    source: str
    target: str
    today: date | None


def transfer_legs(tx: Connection, tenant_id: str, route: Route, units: dict[str, int]) -> list[Leg]:
    """Both sides of units by SKU that go from place to place, first expired first; the places are locked then.

    Raises UnknownPlaceError, NotEnoughError where what has not expired does not reach.
    """
    balances = hold(tx, tenant_id, [(place, sku) for sku in units for place in (route.source, route.target)])
    lots = lots_at(tx, tenant_id, route.source, units)
    legs: list[Leg] = []
    for sku, wanted in sorted(units.items()):
        picked = pick_lots(lots[sku], wanted, route.today or date.min)
        source = balances.get((route.source, sku))
        if source is not None and not source.unbounded:
            _require_fresh(route.source, sku, picked, lots[sku], source)
        target = balances.get((route.target, sku))
        came = keep_lots(picked, 0 if target is None else target.on_hand)
        legs += [Leg(route.source, sku, -taken, lot_id) for lot_id, taken in picked]
        legs += [Leg(route.target, sku, taken, lot_id) for lot_id, taken in came]
    return legs


def _require_fresh(
    place: str, sku: str, picked: Iterable[tuple[UUID | None, int]], lots: Iterable[LotStock], balance: Balance
) -> None:
    """Units without a lot are those beyond all lots: what has expired does not leave as one of them."""
    lotless = sum(units for lot_id, units in picked if lot_id is None)
    in_lots = sum(lot.units for lot in lots)
    if lotless > max(0, balance.on_hand - in_lots) and in_lots:
        raise NotEnoughError(f"{place} has not so many units of {sku} that have not expired")


def fefo_legs(tx: Connection, tenant_id: str, legs: Sequence[Leg], balances: Mapping[Place, Balance]) -> list[Leg]:
    """Legs that name no lot, with the lots that go first at the places that lose units.

    ``balances`` are those of the places, which are locked.
    """
    known = {
        (location, sku): lots
        for location in {leg.location for leg in legs if (leg.location, leg.sku) in balances}
        for sku, lots in lots_at(tx, tenant_id, location, {leg.sku for leg in legs}).items()
    }
    places = {place: Shelved(one.on_hand, known[place]) for place, one in balances.items() if place in known}
    return with_lots(legs, places)


def spread_legs(sku: str, parts: Iterable[tuple[str, UUID | None, int]], targets: Mapping[str, int]) -> list[Leg]:
    """Both sides of units (place, lot, units) of a SKU that go to several places: each gets what it is due, in turn."""
    left = dict(targets)
    legs: list[Leg] = []
    for source, lot_id, units in parts:
        remaining = units
        for target, wanted in left.items():
            taken = min(remaining, wanted)
            if taken:
                legs += [Leg(source, sku, -taken, lot_id), Leg(target, sku, taken, lot_id)]
                left[target] = wanted - taken
                remaining -= taken
    return legs


LOTS_OF_MOVE = """
SELECT e.lot_id, sum(e.units)::int AS units FROM stock_entry e JOIN stock_move m USING (tenant_id, move_id)
WHERE e.tenant_id = %(tenant_id)s AND m.reference = %(reference)s AND e.sku = %(sku)s AND e.units > 0
GROUP BY e.lot_id ORDER BY e.lot_id NULLS LAST
"""

# What of the units that some moves brought to a place others have not taken from it, by lot.
LOTS_LEFT = """
SELECT e.lot_id, sum(e.units)::int AS units FROM stock_entry e JOIN stock_move m USING (tenant_id, move_id)
WHERE e.tenant_id = %(tenant_id)s AND m.reference = ANY(%(references)s) AND e.location_id = %(location)s
  AND e.sku = %(sku)s
GROUP BY e.lot_id HAVING sum(e.units) > 0 ORDER BY e.lot_id NULLS LAST
"""
