"""Prices and entitlement of one buyer, for the catalogue's own routes and for the flows that order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from platform_api.catalogue import queries
from platform_api.catalogue.pricing import UNIT, Buyer, Item, Level, Price, Tie, Wanted, is_entitled, resolve, ties
from platform_api.kit.db import Connection


class UnknownOrgError(LookupError):
    """There is no such organisation in the tenant."""


@dataclass(frozen=True, slots=True)
class Article:
    """What an order needs to know of a SKU. ``factors`` holds units by pack."""

    sku: str
    is_active: bool
    by_lot: bool
    tax_basis_points: int
    factors: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Offer:
    """What a buyer may have: the article, whether they are entitled to it, and its price (None: nobody has set one)."""

    article: Article
    entitled: bool
    price: Price | None


def buyer_of(tx: Connection, tenant_id: str, org_id: str, currency: str) -> Buyer:
    """An organisation as a buyer. Raises UnknownOrgError."""
    rows = tx.execute(queries.CHAIN, {"tenant_id": tenant_id, "org_id": org_id}).fetchall()
    if not rows:
        raise UnknownOrgError(org_id)
    # The nearest segment that is named counts.
    segment = next((row["segment"] for row in rows if row["segment"]), "")
    return Buyer([row["org_id"] for row in rows], segment, currency)


def find_offers(
    tx: Connection, tenant_id: str, buyer: Buyer, wanted: Sequence[Wanted], now: datetime
) -> list[Offer | None]:
    """For each thing wanted its offer now; None for a SKU or pack that does not exist."""
    skus = sorted({one.sku for one in wanted})
    scope = {"tenant_id": tenant_id, "skus": skus}
    articles = {row["sku"]: article_of(row) for row in tx.execute(queries.SKUS_BY_NAME, scope)}
    items = read_items(tx, tenant_id, buyer, skus)
    words = read_entitlements(tx, tenant_id, buyer, skus)
    offers: list[Offer | None] = []
    for one in wanted:
        article = articles.get(one.sku)
        if article is None or one.uom not in article.factors:
            offers.append(None)
            continue
        entitled = is_entitled(one.sku, buyer.orgs, words)
        offers.append(Offer(article, entitled, resolve(one, buyer, items, now)))
    return offers


def read_items(tx: Connection, tenant_id: str, buyer: Buyer, skus: Sequence[str]) -> list[Item]:
    """Published prices that may concern a buyer."""
    rows = tx.execute(
        queries.PRICES,
        {
            "tenant_id": tenant_id,
            "skus": list(skus),
            "currency": buyer.currency,
            "segment": buyer.segment,
            "chain": list(buyer.orgs),
        },
    )
    return [item_of(row) for row in rows]


def read_entitlements(tx: Connection, tenant_id: str, buyer: Buyer, skus: Sequence[str]) -> dict[tuple[str, str], bool]:
    """What is said about SKUs, and about everything, at the buyer's organisation and above it."""
    rows = tx.execute(queries.ENTITLEMENTS, {"tenant_id": tenant_id, "chain": list(buyer.orgs), "skus": [*skus, "*"]})
    return {(row["org_id"], row["sku"]): row["allowed"] for row in rows}


def publish(tx: Connection, place: Mapping[str, Any]) -> list[Tie]:
    """Let the prices of a locked draft list hold; the ties that forbid it, and then nothing has changed.

    ``place`` is tenant_id and list_id. Hold ``queries.LOCK_PUBLICATION`` first: two lists could tie with one another.
    """
    found = ties(item_of(row) for row in tx.execute(queries.RIVALS, place))
    if not found:
        tx.execute(queries.SET_LIST_STATE, {**place, "state": "published"})
    return found


def article_of(row: Mapping[str, Any]) -> Article:
    """An article from its row."""
    return Article(
        sku=row["sku"],
        is_active=row["state"] == "active",
        by_lot=row["by_lot"],
        tax_basis_points=row["tax_basis_points"],
        factors={UNIT: 1, **{pack["uom"]: pack["factor"] for pack in row["packs"]}},
    )


def item_of(row: Mapping[str, Any]) -> Item:
    """A price from its row."""
    return Item(**{**row, "level": Level(row["level"])})
