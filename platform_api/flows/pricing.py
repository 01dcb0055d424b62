"""What an order would cost now: catalogue's prices, put together by the rules of orders."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from platform_api.catalogue import service as catalogue
from platform_api.catalogue.pricing import Buyer, Wanted
from platform_api.kit.db import Connection
from platform_api.kit.errors import FieldProblem, InputError, not_found, unprocessable
from platform_api.kit.money import AMOUNT_MAX_MINOR
from platform_api.orders import queries
from platform_api.orders.service import DraftLine
from platform_api.orders.totals import NO_DISCOUNTS, Discount, PricedLine, Totals, total_up


@dataclass(frozen=True, slots=True)
class Priced:
    """Lines at their prices, and what they come to."""

    lines: list[DraftLine]
    totals: Totals


def buyer_of(tx: Connection, tenant_id: str, org_id: str, currency: str) -> Buyer:
    """An organisation as a buyer. Raises ApiError (404)."""
    try:
        return catalogue.buyer_of(tx, tenant_id, org_id, currency)
    except catalogue.UnknownOrgError as error:
        raise not_found("organisation") from error


def price_lines(
    tx: Connection,
    tenant_id: str,
    buyer: Buyer,
    wanted: Sequence[Wanted],
    now: datetime,
    discounts: Mapping[int, Discount] = NO_DISCOUNTS,
) -> Priced:
    """Each line at its price, less ``discounts`` by line number.

    Raises InputError (422) that names every line that cannot be ordered, and why.
    """
    offers = catalogue.find_offers(tx, tenant_id, buyer, wanted, now)
    lines, problems = [], []
    for number, (one, offer) in enumerate(zip(wanted, offers, strict=True)):
        fault = _fault(offer)
        if offer is None or offer.price is None or fault:
            problems.append(FieldProblem(where=f"body.lines.{number}", message=fault))
            continue
        lines.append(
            DraftLine(
                sku=one.sku,
                uom=one.uom,
                factor=offer.article.factors[one.uom],
                packs=one.packs,
                unit_price_minor=offer.price.amount_minor,
                tax_basis_points=offer.article.tax_basis_points,
                explanation=offer.price.explanation,
            )
        )
    if problems:
        raise InputError(problems)
    totals = total_up(
        [
            PricedLine(number, line.packs, line.unit_price_minor, line.tax_basis_points)
            for number, line in enumerate(lines, start=1)
        ],
        discounts,
    )
    if totals.total_minor > AMOUNT_MAX_MINOR:
        raise unprocessable("body.lines", "the order is beyond what can be paid")
    return Priced(lines, totals)


def choose_warehouse(tx: Connection, tenant_id: str, buyer: Buyer, wanted: str | None) -> str:
    """Where an order is shipped from: unless ``wanted``, from somebody above, since nobody buys of themselves.

    Raises InputError (422).
    """
    if wanted is None:
        row = tx.execute(queries.DEFAULT_WAREHOUSE, {"tenant_id": tenant_id, "chain": list(buyer.orgs[1:])}).fetchone()
        if row is None:
            raise unprocessable("body.ship_from", "there is no warehouse above the organisation: name one")
        return str(row["location_id"])
    for place in _place(tx, tenant_id, wanted):
        if place["kind"] == "warehouse" and (place["org_id"] is None or place["org_id"] in buyer.orgs):
            return wanted
    raise unprocessable("body.ship_from", "is no warehouse of an organisation above")


def require_target(tx: Connection, tenant_id: str, ship_to: str, sites: Sequence[str] | None) -> None:
    """Refuse a place that takes no goods or is not the buyer's. Raises InputError (422)."""
    for row in _place(tx, tenant_id, ship_to):
        if row["kind"] in {"store", "warehouse"} and (sites is None or row["site_id"] in sites):
            return
    raise unprocessable("body.ship_to", "is no store or warehouse of yours")


def _place(tx: Connection, tenant_id: str, location: str) -> list[Mapping[str, Any]]:
    return list(tx.execute(queries.PLACE, {"tenant_id": tenant_id, "location": location}).fetchall())


def _fault(offer: catalogue.Offer | None) -> str:
    if offer is None:
        return "no such SKU or pack"
    if not offer.article.is_active:
        return "is no longer sold"
    if not offer.entitled:
        return "is not in your assortment"
    if offer.price is None:
        return "nobody has set a price"
    return ""
