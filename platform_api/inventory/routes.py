"""GET /v1/shelf-positions, /v1/events, /v1/sell-through and /v1/availability."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

from fastapi import Query
from psycopg.rows import DictRow

from contracts.frames import EventKind
from platform_api.inventory import queries
from platform_api.inventory.models import Availability, SellThrough, ShelfEvent, ShelfPosition, Step
from platform_api.kit.auth import Caller
from platform_api.kit.db import Tx
from platform_api.kit.errors import COMMON_RESPONSES, unprocessable
from platform_api.kit.filters import Name, Since, SkuName, Until, bounds
from platform_api.kit.paging import Listing, Paging
from platform_api.kit.work import Router

router = Router(tags=["inventory"], responses=COMMON_RESPONSES)

Row = Mapping[str, Any]
RANGE_DEFAULT: Final = timedelta(days=1)
RANGE_MAX: Final = {Step.HOUR: timedelta(days=31), Step.DAY: timedelta(days=400)}
LONGEST: Final = {Step.HOUR: timedelta(hours=1), Step.DAY: timedelta(hours=25)}
"""A day on which clocks go back has 25 hours."""
AVAILABILITY_RANGE_MAX: Final = timedelta(days=31)
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


@router.get("/v1/sell-through", summary="Sum up what sold")
def list_sell_through(
    caller: Caller,
    tx: Tx,
    page: Paging,
    by: Step = Step.DAY,
    site: Name = None,
    sku: SkuName = None,
    since: Since = None,
    until: Until = None,
) -> Listing[SellThrough]:
    """Units sold, put back and restocked by site, SKU and hour or day of the site's clock (default: the last day)."""
    begin, end = _range(since, until, RANGE_MAX[by])
    last = page.after("sell-through", tuple[datetime, str, str]) or (None, None, None)
    asked = {
        **caller.scope,
        **bounds(begin, end),
        "by": by.value,
        "longest": LONGEST[by],
        "site": site,
        "sku": sku,
        "after_start": last[0],
        "after_site": last[1],
        "after_sku": last[2],
        "limit": page.limit + 1,
    }
    rows: list[DictRow] = []
    for horizon in _horizons(last[0] or begin, end, LONGEST[by]):
        rows = tx.execute(queries.SELL_THROUGH, {**asked, "horizon": horizon}).fetchall()
        if len(rows) > page.limit:
            break
    return page.listing(
        "sell-through", rows, key=lambda row: (row["start"], row["site_id"], row["sku"]), item=_sell_through
    )


@router.get("/v1/availability", summary="Measure on-shelf availability")
def list_availability(
    caller: Caller,
    tx: Tx,
    page: Paging,
    site: Name = None,
    sku: SkuName = None,
    since: Since = None,
    until: Until = None,
) -> Listing[Availability]:
    """How much of the time each SKU of a site was there to be bought (default: the last day), by site and SKU.

    The time is that of the clock, opening hours or not.
    """
    begin, end = _range(since, until, AVAILABILITY_RANGE_MAX)
    last = page.after("availability", tuple[str, str]) or (None, None)
    rows = tx.execute(
        queries.AVAILABILITY,
        {
            **caller.scope,
            **bounds(begin, min(end, max(begin, datetime.now(UTC)))),
            "site": site,
            "sku": sku,
            "after_site": last[0],
            "after_sku": last[1],
            "limit": page.limit + 1,
        },
    ).fetchall()
    return page.listing("availability", rows, key=lambda row: (row["site_id"], row["sku"]), item=_availability)


def _horizons(begin: datetime, end: datetime, longest: timedelta) -> Iterator[datetime]:
    """How far to look for a page, further each time: as far as what is dense needs, and at last all of it."""
    ahead = 2 * longest
    while begin + ahead < end:
        yield begin + ahead
        ahead *= 4
    yield end


def _range(since: datetime | None, until: datetime | None, range_max: timedelta) -> tuple[datetime, datetime]:
    """The range asked for, the last day unless told. Raises InputError (422)."""
    end = until or datetime.now(UTC)
    begin = since or end - RANGE_DEFAULT
    if begin >= end:
        raise unprocessable("query.from", "must be before `to`")
    if end - begin > range_max:
        raise unprocessable("query.from", f"the range is over {range_max.days} days")
    return begin, end


def _sell_through(row: Row) -> SellThrough:
    same = "start sku sold put_back restocked"
    return SellThrough(
        site=row["site_id"], net=row["sold"] - row["put_back"], **{name: row[name] for name in same.split()}
    )


def _availability(row: Row) -> Availability:
    observed_s, empty_s = row["observed_s"], row["empty_s"]
    return Availability(
        site=row["site_id"],
        sku=row["sku"],
        since=row["since"],
        observed_s=observed_s,
        empty_s=empty_s,
        availability=round(1.0 - empty_s / observed_s, 4) if observed_s > 0 else None,
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
