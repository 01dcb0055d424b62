"""/v1/price-lists and /v1/orgs/{org}/entitlements: what headquarters decides about prices and assortments."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any, Final

import psycopg
from fastapi import Depends, Path, Response

from contracts.ids import IDENTIFIER_PATTERN
from platform_api.catalogue import queries, service
from platform_api.catalogue.models import (
    EntitlementRequest,
    EntitlementShown,
    NewPriceList,
    PriceItem,
    PriceListRequest,
    PriceListShown,
)
from platform_api.kit.auth import AnyHead, Caller, Head, Principal, Role, require
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
from platform_api.kit.filters import OrgPath
from platform_api.kit.idempotency import CREATE_RESPONSES, Made, OnceOnly
from platform_api.kit.money import MoneyText
from platform_api.kit.paging import Listing, Paging
from platform_api.kit.quotas import Quota, check_quota
from platform_api.kit.work import Router

router = Router(tags=["catalogue"], responses=COMMON_RESPONSES)

Row = Mapping[str, Any]
Reader = Annotated[Principal, Depends(require(Role.HQ, Role.OPS, Role.AUDITOR))]
ListPath = Annotated[str, Path(pattern=IDENTIFIER_PATTERN, max_length=32)]
TIES_TOLD: Final = 5


@router.get("/v1/price-lists", summary="List price lists")
def list_lists(caller: Reader, tx: Tx, page: Paging) -> Listing[PriceListShown]:
    """Price lists with their prices, by id."""
    (after,) = page.after("price-lists", tuple[str]) or (None,)
    rows = tx.execute(
        queries.LISTS, {"tenant_id": caller.tenant_id, "after": after, "limit": page.limit + 1}
    ).fetchall()
    return page.listing("price-lists", rows, key=lambda row: (row["list_id"],), item=_list)


@router.get("/v1/price-lists/{list_id}", summary="Read a price list", responses=NOT_FOUND_RESPONSE)
def read_list(list_id: ListPath, caller: Reader, tx: Tx, response: Response) -> PriceListShown:
    """One price list."""
    return _answer(tx, caller, list_id, response)


@router.post(
    "/v1/price-lists",
    summary="Add a price list",
    status_code=201,
    responses=CREATE_RESPONSES,
    response_model=PriceListShown,
)
def create_list(body: NewPriceList, caller: Head, tx: Tx, once: OnceOnly) -> Response:
    """A draft; it gives no price before it is published."""
    return once.answer(body, lambda: _create(tx, caller, body))


@router.put("/v1/price-lists/{list_id}", summary="Change a draft", responses=CHANGE_RESPONSES)
def update_list(
    list_id: ListPath, body: PriceListRequest, caller: Head, version: ExpectedVersion, tx: Tx, response: Response
) -> PriceListShown:
    """The list as it shall be. A published list does not change: withdraw it, or publish another one."""
    place = _lock(tx, caller, list_id, version, "draft")
    tx.execute(queries.UPDATE_LIST, {**place, **body.model_dump(exclude={"items"})})
    tx.execute(queries.DELETE_ITEMS, place)
    _write_items(tx, place, body)
    return _answer(tx, caller, list_id, response)


@router.post("/v1/price-lists/{list_id}:publish", summary="Publish a price list", responses=CHANGE_RESPONSES)
def publish_list(
    list_id: ListPath, caller: Head, version: ExpectedVersion, tx: Tx, response: Response
) -> PriceListShown:
    """Its prices hold from now on. Refused (409) when one ties with another: that is not left to the order."""
    tx.execute(queries.LOCK_PUBLICATION, {"tenant_id": caller.tenant_id})
    place = _lock(tx, caller, list_id, version, "draft")
    found = service.publish(tx, place)
    if found:
        told = "; ".join(
            f"{tie.first.sku} {tie.first.uom} from {tie.first.min_qty}: {tie.first.list_id} and {tie.second.list_id}"
            for tie in found[:TIES_TOLD]
        )
        raise ApiError(HTTPStatus.CONFLICT, f"nothing decides between {len(found)} pairs of prices: {told}")
    return _answer(tx, caller, list_id, response)


@router.post("/v1/price-lists/{list_id}:withdraw", summary="Withdraw a price list", responses=CHANGE_RESPONSES)
def withdraw_list(
    list_id: ListPath, caller: Head, version: ExpectedVersion, tx: Tx, response: Response
) -> PriceListShown:
    """Its prices hold no longer. What was ordered keeps its price."""
    place = _lock(tx, caller, list_id, version, "published")
    tx.execute(queries.SET_LIST_STATE, {**place, "state": "withdrawn"})
    return _answer(tx, caller, list_id, response)


@router.get("/v1/orgs/{org}/entitlements", summary="Read what an organisation may order", responses=NOT_FOUND_RESPONSE)
def read_entitlements(org: OrgPath, caller: Caller, tx: Tx) -> EntitlementShown:
    """What is said at this organisation itself."""
    if not caller.sees_org(org):
        raise not_found("organisation")
    _require_org(tx, caller, org)
    rows = tx.execute(queries.ENTITLEMENTS, {"tenant_id": caller.tenant_id, "chain": [org], "skus": None})
    return EntitlementShown(org=org, skus={row["sku"]: row["allowed"] for row in rows})


@router.put("/v1/orgs/{org}/entitlements", summary="Say what an organisation may order", responses=NOT_FOUND_RESPONSE)
def write_entitlements(org: OrgPath, body: EntitlementRequest, caller: AnyHead, tx: Tx) -> EntitlementShown:
    """Replaces what was said here before, as a whole, so that there is no version to name."""
    if not caller.sees_org(org):
        raise not_found("organisation")
    _require_org(tx, caller, org)
    place = {"tenant_id": caller.tenant_id, "org_id": org}
    tx.execute(queries.DELETE_ENTITLEMENTS, place)
    with tx.cursor() as cursor:
        cursor.executemany(
            queries.INSERT_ENTITLEMENT,
            [{**place, "sku": sku, "allowed": allowed} for sku, allowed in sorted(body.skus.items())],
        )
    return EntitlementShown(org=org, skus=body.skus)


def _create(tx: Connection, caller: Principal, body: NewPriceList) -> Made:
    place = {"tenant_id": caller.tenant_id, "list_id": body.id}
    count = tx.execute(queries.COUNT_LISTS, place).fetchone()
    assert count is not None
    check_quota(tx, caller.tenant_id, Quota.PRICE_LISTS, count["n"])
    if tx.execute(queries.INSERT_LIST, {**place, **body.model_dump(exclude={"items", "id"})}).fetchone() is None:
        raise ApiError(HTTPStatus.CONFLICT, f"there is a price list {body.id} already")
    _write_items(tx, place, body)
    made = tx.execute(queries.LIST, place).fetchone()
    assert made is not None
    return _list(made), {"Location": f"/v1/price-lists/{body.id}", "ETag": etag(1)}


def _write_items(tx: Connection, place: Mapping[str, object], body: PriceListRequest) -> None:
    rows = [
        {**place, **item.model_dump(exclude={"price"}), "item_no": number, "amount_minor": item.price.minor}
        for number, item in enumerate(body.items, start=1)
    ]
    try:
        with tx.cursor() as cursor:
            cursor.executemany(queries.INSERT_ITEM, rows)
    except psycopg.errors.ForeignKeyViolation as error:
        raise unprocessable("body.items", "a price is of a SKU that does not exist") from error


def _lock(tx: Connection, caller: Principal, list_id: str, version: int, state: str) -> dict[str, object]:
    place: dict[str, object] = {"tenant_id": caller.tenant_id, "list_id": list_id}
    row = tx.execute(queries.LOCK_LIST, place).fetchone()
    if row is None:
        raise not_found("price list")
    if row["version"] != version:
        raise stale("price list")
    if row["state"] != state:
        raise ApiError(HTTPStatus.CONFLICT, f"the price list is {row['state']}")
    return place


def _require_org(tx: Connection, caller: Principal, org: str) -> None:
    if not tx.execute(queries.CHAIN, {"tenant_id": caller.tenant_id, "org_id": org}).fetchall():
        raise not_found("organisation")


def _answer(tx: Connection, caller: Principal, list_id: str, response: Response) -> PriceListShown:
    row = tx.execute(queries.LIST, {"tenant_id": caller.tenant_id, "list_id": list_id}).fetchone()
    if row is None:
        raise not_found("price list")
    response.headers["ETag"] = etag(row["version"])
    return _list(row)


def _list(row: Row) -> PriceListShown:
    items = [
        PriceItem(
            price=MoneyText.of(item["amount_minor"], row["currency"]),
            **{name: item[name] for name in ("sku", "uom", "min_qty", "valid_from", "valid_to")},
        )
        for item in row["items"]
    ]
    same = {name: row[name] for name in ("name", "level", "target", "currency", "state", "version")}
    return PriceListShown(id=row["list_id"], items=items, **same)
