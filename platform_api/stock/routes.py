"""GET /v1/locations, /v1/stock, /v1/stock-moves and /v1/lots."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Query

from platform_api.kit.auth import Caller
from platform_api.kit.db import Tx
from platform_api.kit.errors import COMMON_RESPONSES, NOT_FOUND_RESPONSE
from platform_api.kit.filters import Since, SkuName, Until, bounds
from platform_api.kit.money import MoneyText
from platform_api.kit.paging import Listing, Paging
from platform_api.kit.times import Instant
from platform_api.kit.work import Router
from platform_api.stock import queries
from platform_api.stock.models import Balance, Location, Lot, MoveEntry
from platform_api.stock.parameters import require_place
from platform_api.stock.rules import atp_of

router = Router(tags=["stock"], responses=COMMON_RESPONSES)

Row = Mapping[str, Any]
LocationName = Annotated[str | None, Query(max_length=64, pattern=r"^[^\x00]*$")]
StoredKind = Literal["warehouse", "store", "shelf", "transit", "hold"]
Reference = Annotated[str | None, Query(max_length=200, pattern=r"^[^\x00]*$")]


@router.get("/v1/locations", summary="List locations")
def list_locations(caller: Caller, tx: Tx, page: Paging) -> Listing[Location]:
    """Where units can be, by id."""
    (after,) = page.after("locations", tuple[str]) or (None,)
    rows = tx.execute(queries.LOCATIONS, {**caller.scope, "after": after, "limit": page.limit + 1}).fetchall()
    return page.listing("locations", rows, key=lambda row: (row["location_id"],), item=_location)


@router.get("/v1/stock", summary="List stock by the books")
def list_stock(
    caller: Caller,
    tx: Tx,
    page: Paging,
    location: LocationName = None,
    sku: SkuName = None,
    kind: Annotated[StoredKind | None, Query(description="Only places of this kind")] = None,
    until: Annotated[Instant | None, Query(alias="by", description="Count what is due by then")] = None,
) -> Listing[Balance]:
    """What each place holds, what of it is reserved, and what can be promised (ATP)."""
    last = page.after("stock", tuple[str, str]) or (None, None)
    rows = tx.execute(
        queries.BALANCES,
        {
            **caller.scope,
            "location": location,
            "sku": sku,
            "kind": kind,
            "site": None,
            "least": None,
            "until": until,
            "after_location": last[0],
            "after_sku": last[1],
            "limit": page.limit + 1,
        },
    ).fetchall()
    return page.listing("stock", rows, key=lambda row: (row["location_id"], row["sku"]), item=_balance)


@router.get("/v1/stock-moves", summary="List the ledger of stock")
def list_moves(
    caller: Caller,
    tx: Tx,
    page: Paging,
    location: LocationName = None,
    sku: SkuName = None,
    reference: Reference = None,
    since: Since = None,
    until: Until = None,
) -> Listing[MoveEntry]:
    """Entries of moves, those posted last first; ``from`` and ``to`` bound when they happened."""
    last = page.after("stock-moves", tuple[UUID, int]) or (None, None)
    at_any = location is None and reference is None and since is None and until is None
    rows = tx.execute(
        queries.MOVES if caller.sites is None or not at_any else queries.MOVES_OF_PART,
        {
            **caller.scope,
            **bounds(since, until),
            "location": location,
            "sku": sku,
            "reference": reference,
            "after_move": last[0],
            "after_entry": last[1],
            "limit": page.limit + 1,
        },
    ).fetchall()
    return page.listing("stock-moves", rows, key=lambda row: (row["move_id"], row["entry_no"]), item=_entry)


@router.get("/v1/lots", summary="List lots at a place", responses=NOT_FOUND_RESPONSE)
def list_lots(
    caller: Caller,
    tx: Tx,
    location: Annotated[str, Query(max_length=64, pattern=r"^[^\x00]*$")],
    sku: Annotated[str, Query(max_length=64, pattern=r"^[^\x00]*$")],
) -> list[Lot]:
    """Lots of a SKU at a place, first expired first: the order in which they are taken."""
    require_place(tx, caller, location)
    rows = tx.execute(queries.LOTS_AT, {"tenant_id": caller.tenant_id, "location": location, "skus": [sku]})
    return [Lot(lot=row["code"], expires=row["expires_on"], units=row["units"]) for row in rows]


def _location(row: Row) -> Location:
    return Location(
        id=row["location_id"], kind=row["kind"], site=row["site_id"], parent=row["parent_id"], name=row["name"]
    )


def _balance(row: Row) -> Balance:
    same = {name: row[name] for name in ("kind", "sku", "name_zh", "name_en", "on_hand", "reserved", "expired", "due")}
    return Balance(
        location=row["location_id"],
        site=row["site_id"],
        atp=atp_of(row),
        value=MoneyText.of(row["value_minor"], row["currency"]),
        updated=row["updated_at"],
        **same,
    )


def _entry(row: Row) -> MoveEntry:
    same = {name: row[name] for name in ("kind", "sku", "lot", "units", "reason", "reference")}
    return MoveEntry(
        move=row["move_id"],
        entry=row["entry_no"],
        location=row["location_id"],
        value=MoneyText.of(row["value_minor"], row["currency"]),
        happened=row["happened_at"],
        booked=row["booked_at"],
        **same,
    )
