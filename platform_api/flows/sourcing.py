"""Where the units of a proposal come from: what the dealer can spare, or packs of the supplier; a planner decides."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from platform_api.catalogue import service as catalogue
from platform_api.catalogue.pricing import Buyer, Wanted
from platform_api.kit.db import Connection
from platform_api.replenishment import flow_queries as queries
from platform_api.replenishment.planning import Lane, Need, Planner, Point, Ways

PRICELESS_MINOR: Final = 10**9
"""Price of a unit that nobody sells: any lane is cheaper."""
ROOM_MAX: Final = 1_000_000
"""Room of a shelf whose capacity nobody knows."""

Row = Mapping[str, Any]


class BlockedError(Exception):
    """What keeps a proposal from being fulfilled, in a sentence."""


def find_ways(tx: Connection, tenant_id: str, spare: Sequence[Row], lacking: Sequence[Row], currency: str) -> Ways:
    """What moving units costs between what has them to spare and what lacks them."""
    origins, destinations = ([row["site_id"] for row in rows] for rows in (spare, lacking))
    place = {"tenant_id": tenant_id, "currency": currency, "origins": origins, "destinations": destinations}
    said = {
        (row["origin"], row["destination"]): row["cost_minor"] if row["allowed"] else None
        for row in tx.execute(queries.LANES_BETWEEN, place)
    }
    return Ways(said, {row["site_id"]: Point(row["lat"], row["lon"]) for row in (*spare, *lacking)})


def cheapest(
    row: Row, spare: Sequence[Row], lacking: Sequence[Row], ways: Ways, price_minor: int, planner: Planner
) -> dict[str, int]:
    """Units by source that this proposal gets when moves are planned for all that wait for the SKU."""
    lack = {one["site_id"]: int(one["units"]) for one in lacking}
    lanes = [
        Lane(one["site_id"], other["site_id"], cost)
        for one in spare
        for other in lacking
        if one["site_id"] != other["site_id"]
        and (cost := ways.cost_minor(one["site_id"], other["site_id"])) is not None
    ]
    planned = planner.moves({one["site_id"]: one["units"] for one in spare}, lack, lanes, price_minor)
    return {move.origin: move.units for move in planned if move.destination == row["site_id"] and move.origin}


def unit_price(tx: Connection, row: Row, buyer: Buyer, now: datetime) -> int:
    """What a unit costs from the supplier, in its cheapest pack; more than any lane where it has no price."""
    prices = []
    for uom, factor in _packs_of(tx, row, buyer, now):
        wanted = Wanted(row["sku"], uom, max(1, row["units"] // factor))
        (offer,) = catalogue.find_offers(tx, row["tenant_id"], buyer, [wanted], now)
        if offer is not None and offer.price is not None:
            prices.append(offer.price.amount_minor // factor)
    return min(prices, default=PRICELESS_MINOR)


def packs_to_order(tx: Connection, row: Row, buyer: Buyer, now: datetime, planner: Planner) -> tuple[Wanted, int, str]:
    """The pack to order in, the price of a unit, and what to say of it.

    The largest pack with a price of which a whole number fits on the shelf, beside what lies there and not less than
    the minimum. Where none does, the back room holds what the shelf cannot: then all of the shelf counts as room.
    """
    packs = _packs_of(tx, row, buyer, now)
    capacity = row["capacity"]
    rooms = [(ROOM_MAX, "")]
    if capacity is not None:
        whole = max(capacity, row["units"], row["min_order"])
        rooms = [(max(0, capacity - row["on_hand"]), ""), (whole, "; the back room holds what the shelf cannot")]
    for room, beyond in rooms:
        for uom, factor in packs:
            need = Need(wanted=row["units"], pack=factor, minimum=row["min_order"], room=room)
            units = planner.fit(need)
            if not units:
                continue
            wanted = Wanted(row["sku"], uom, units // factor)
            (offer,) = catalogue.find_offers(tx, row["tenant_id"], buyer, [wanted], now)
            if offer is not None and offer.price is not None:
                return wanted, offer.price.amount_minor // factor, beyond
    msg = f"nobody has set a price of {row['sku']} in a pack that fits"
    raise BlockedError(msg)


def _packs_of(tx: Connection, row: Row, buyer: Buyer, now: datetime) -> list[tuple[str, int]]:
    """Packs of the SKU with their units, the largest first."""
    (probe,) = catalogue.find_offers(tx, row["tenant_id"], buyer, [Wanted(row["sku"], "unit", 1)], now)
    if probe is None:
        msg = f"there is no SKU {row['sku']}"
        raise BlockedError(msg)
    return sorted(probe.article.factors.items(), key=lambda pack: -pack[1])
