"""GET /v1/shelf-positions and /v1/events."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query

from contracts.frames import EventKind
from platform_api.inventory import queries
from platform_api.inventory.models import ShelfEvent, ShelfPosition
from platform_api.kit.auth import Caller
from platform_api.kit.db import Tx
from platform_api.kit.errors import COMMON_RESPONSES
from platform_api.kit.filters import Name, Since, SkuName, Until, bounds
from platform_api.kit.paging import Listing, Paging

router = APIRouter(tags=["inventory"], responses=COMMON_RESPONSES)

Row = Mapping[str, Any]
Kinds = Annotated[list[EventKind] | None, Query(description="Only these kinds", max_length=len(EventKind))]


@router.get("/v1/shelf-positions", summary="List what lies on the shelves")
def list_positions(
    caller: Caller, tx: Tx, page: Paging, site: Name = None, sku: SkuName = None
) -> Listing[ShelfPosition]:
    """Every slot with its capacity, policy and newest count, by gateway and slot."""
    gateway_id, slot_id = page.after("shelf-positions", tuple[str, str]) or (None, None)
    rows = tx.execute(
        queries.POSITIONS,
        {
            **caller.scope,
            "site": site,
            "sku": sku,
            "after_gateway": gateway_id,
            "after_slot": slot_id,
            "limit": page.limit + 1,
        },
    ).fetchall()
    return page.listing("shelf-positions", rows, key=lambda row: (row["gateway_id"], row["slot_id"]), item=_position)


@router.get("/v1/events", summary="List sales, restocks and other shelf events")
def list_events(
    caller: Caller,
    tx: Tx,
    page: Paging,
    site: Name = None,
    gateway: Name = None,
    slot: Name = None,
    sku: SkuName = None,
    kind: Kinds = None,
    since: Since = None,
    until: Until = None,
) -> Listing[ShelfEvent]:
    """Shelf events, those received last first; ``from`` and ``to`` bound when they happened."""
    received_at, gateway_id, event_id = page.after("events", tuple[datetime, str, str]) or (None, None, None)
    rows = tx.execute(
        queries.EVENTS,
        {
            **caller.scope,
            **bounds(since, until),
            "site": site,
            "gateway": gateway,
            "slot": slot,
            "sku": sku,
            "kinds": kind,
            "after_at": received_at,
            "after_gateway": gateway_id,
            "after_event": event_id,
            "limit": page.limit + 1,
        },
    ).fetchall()
    return page.listing(
        "events", rows, key=lambda row: (row["received_at"], row["gateway_id"], row["event_id"]), item=_event
    )


def _position(row: Row) -> ShelfPosition:
    same = "sku name_zh name_en capacity on_shelf as_of reorder_point target series_id"
    return ShelfPosition(
        site=row["site_id"],
        gateway=row["gateway_id"],
        slot=row["slot_id"],
        **{name: row[name] for name in same.split()},
    )


def _event(row: Row) -> ShelfEvent:
    same = "sku kind units delta_g confidence on_shelf why other synced time received_at"
    return ShelfEvent(
        id=row["event_id"],
        site=row["site_id"],
        gateway=row["gateway_id"],
        slot=row["slot_id"],
        of=row["of_event"],
        **{name: row[name] for name in same.split()},
    )
