"""/v1/skus and /v1/catalogue: articles, and what an organisation may order at which price."""

from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import quote

import psycopg
from fastapi import Path, Query, Response

from platform_api.catalogue import queries, service
from platform_api.catalogue.models import CatalogueItem, NewSku, SkuRequest, SkuShown
from platform_api.catalogue.pricing import Wanted, is_entitled, resolve
from platform_api.kit.auth import Caller, Head, Principal
from platform_api.kit.conditions import ExpectedVersion, etag, stale
from platform_api.kit.db import Connection, Tx
from platform_api.kit.errors import (
    CHANGE_RESPONSES,
    COMMON_RESPONSES,
    NOT_FOUND_RESPONSE,
    ApiError,
    not_found,
    unprocessable,
)
from platform_api.kit.idempotency import CREATE_RESPONSES, Made, OnceOnly
from platform_api.kit.money import CURRENCY_PATTERN, MoneyText
from platform_api.kit.paging import Listing, Paging
from platform_api.kit.work import Router

router = Router(tags=["catalogue"], responses=COMMON_RESPONSES)

Row = Mapping[str, Any]
SkuPath = Annotated[str, Path(max_length=64)]
SearchText = Annotated[
    str | None, Query(alias="q", max_length=64, pattern=r"^[^\x00]*$", description="In name or number")
]
OrgName = Annotated[
    str | None, Query(max_length=64, pattern=r"^[^\x00]*$", description="Whose; the caller's own unless given")
]
CurrencyName = Annotated[str, Query(pattern=CURRENCY_PATTERN)]


@router.get("/v1/skus", summary="List SKUs")
def list_skus(caller: Caller, tx: Tx, page: Paging, text: SearchText = None) -> Listing[SkuShown]:
    """Articles with their packs, by SKU."""
    (after,) = page.after("skus", tuple[str]) or (None,)
    rows = tx.execute(
        queries.SKUS, {"tenant_id": caller.tenant_id, "after": after, "text": text, "limit": page.limit + 1}
    ).fetchall()
    return page.listing("skus", rows, key=lambda row: (row["sku"],), item=_sku)


@router.get("/v1/skus/{sku}", summary="Read a SKU", responses=NOT_FOUND_RESPONSE)
def read_sku(sku: SkuPath, caller: Caller, tx: Tx, response: Response) -> SkuShown:
    """One article."""
    return _answer(_one(tx, caller, sku), response)


@router.post("/v1/skus", summary="Add a SKU", status_code=201, responses=CREATE_RESPONSES, response_model=SkuShown)
def create_sku(body: NewSku, caller: Head, tx: Tx, once: OnceOnly) -> Response:
    """A new article with its packs. GTINs are unique in the tenant, their check digits right."""
    return once.answer(body, lambda: _create(tx, caller, body))


@router.put("/v1/skus/{sku}", summary="Change a SKU", responses=CHANGE_RESPONSES)
def update_sku(
    sku: SkuPath, body: SkuRequest, caller: Head, version: ExpectedVersion, tx: Tx, response: Response
) -> SkuShown:
    """The article as it shall be. What was ordered keeps the packs that it had."""
    place = {"tenant_id": caller.tenant_id, "sku": sku}
    row = tx.execute(queries.LOCK_SKU, place).fetchone()
    if row is None:
        raise not_found("SKU")
    if row["version"] != version:
        raise stale("SKU")
    tx.execute(queries.UPDATE_SKU, {**place, **_values(body)})
    tx.execute(queries.DELETE_PACKS, place)
    _write_packs(tx, place, body)
    return _answer(_one(tx, caller, sku), response)


@router.get("/v1/catalogue", summary="List what may be ordered, and for how much", responses=NOT_FOUND_RESPONSE)
def list_catalogue(
    caller: Caller,
    tx: Tx,
    page: Paging,
    org: OrgName = None,
    text: SearchText = None,
    currency: CurrencyName = "CNY",
) -> Listing[CatalogueItem]:
    """Active articles that the organisation is entitled to, in their largest pack, with the price of one pack now.

    A page holds the entitled ones among ``limit`` articles, so it may be shorter than that and still have a next one.
    """
    name = org or caller.org_id
    if name is None:
        raise unprocessable("query.org", "say whose catalogue")
    if not caller.sees_org(name):
        raise not_found("organisation")
    try:
        buyer = service.buyer_of(tx, caller.tenant_id, name, currency)
    except service.UnknownOrgError as error:
        raise not_found("organisation") from error
    (after,) = page.after("catalogue", tuple[str]) or (None,)
    rows = tx.execute(
        queries.SKUS, {"tenant_id": caller.tenant_id, "after": after, "text": text, "limit": page.limit + 1}
    ).fetchall()
    skus = [row["sku"] for row in rows]
    items = service.read_items(tx, caller.tenant_id, buyer, skus)
    words = service.read_entitlements(tx, caller.tenant_id, buyer, skus)
    now = datetime.now(UTC)

    def shown(row: Row) -> CatalogueItem:
        article = service.article_of(row)
        uom, factor = max(article.factors.items(), key=lambda pack: pack[1])
        price = resolve(Wanted(article.sku, uom, 1), buyer, items, now)
        return CatalogueItem(
            sku=article.sku,
            name_zh=row["name_zh"],
            name_en=row["name_en"],
            uom=uom,
            factor=factor,
            price=None if price is None else MoneyText.of(price.amount_minor, currency),
            explanation={} if price is None else price.explanation,
        )

    listing = page.listing("catalogue", rows, key=lambda row: (row["sku"],), item=shown)
    orderable = {row["sku"] for row in rows if row["state"] == "active" and is_entitled(row["sku"], buyer.orgs, words)}
    return Listing(items=[item for item in listing.items if item.sku in orderable], next=listing.next)


def _create(tx: Connection, caller: Principal, body: NewSku) -> Made:
    place = {"tenant_id": caller.tenant_id, "sku": body.sku}
    if tx.execute(queries.INSERT_SKU, {**place, **_values(body)}).fetchone() is None:
        raise ApiError(HTTPStatus.CONFLICT, f"there is a SKU {body.sku} already")
    _write_packs(tx, place, body)
    return _sku(_one(tx, caller, body.sku)), {"Location": f"/v1/skus/{quote(body.sku)}", "ETag": etag(1)}


def _write_packs(tx: Connection, place: Mapping[str, object], body: SkuRequest) -> None:
    try:
        with tx.cursor() as cursor:
            cursor.executemany(queries.INSERT_PACK, [{**place, **pack.model_dump()} for pack in body.packs])
    except psycopg.errors.UniqueViolation as error:
        raise ApiError(HTTPStatus.CONFLICT, "another pack has this GTIN already") from error


def _values(body: SkuRequest) -> dict[str, object]:
    values = body.model_dump(exclude={"packs", "sku"})
    # What the edge and the stream know as the pack is the largest one.
    return {**values, "pack_units": max((pack.factor for pack in body.packs), default=1)}


def _one(tx: Connection, caller: Principal, sku: str) -> Row:
    row = tx.execute(queries.SKU, {"tenant_id": caller.tenant_id, "sku": sku}).fetchone()
    if row is None:
        raise not_found("SKU")
    return row


def _answer(row: Row, response: Response) -> SkuShown:
    response.headers["ETag"] = etag(row["version"])
    return _sku(row)


def _sku(row: Row) -> SkuShown:
    return SkuShown.model_validate({name: row[name] for name in SkuShown.model_fields})
