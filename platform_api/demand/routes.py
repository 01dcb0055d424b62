"""GET /v1/forecasts, /v1/forecast-accuracy and /v1/promotion-plan."""

from datetime import date
from typing import Annotated

from fastapi import Query

from platform_api.demand import queries
from platform_api.demand.models import Accuracy, Forecast, Promotion
from platform_api.kit.auth import Caller
from platform_api.kit.db import Tx
from platform_api.kit.errors import COMMON_RESPONSES
from platform_api.kit.filters import Name, SkuName
from platform_api.kit.paging import Listing, Paging
from platform_api.kit.times import Day
from platform_api.kit.work import Router

router = Router(tags=["demand"], responses=COMMON_RESPONSES)

On = Annotated[Day | None, Query(description="Promoted on this day")]
Version = Annotated[Day | None, Query(description="Made on this day; the newest unless told")]


@router.get("/v1/forecasts", summary="List forecasts of demand")
def list_forecasts(
    caller: Caller, tx: Tx, page: Paging, site: Name = None, sku: SkuName = None, version: Version = None
) -> Listing[Forecast]:
    """What each site will be asked for on the days to come, by site, SKU and day."""
    last = page.after("forecasts", tuple[str, str, date]) or (None, None, None)
    rows = tx.execute(
        queries.FORECASTS,
        {
            **caller.scope,
            "site": site,
            "sku": sku,
            "version": version,
            "after_site": last[0],
            "after_sku": last[1],
            "after_day": last[2],
            "limit": page.limit + 1,
        },
    ).fetchall()
    return page.listing(
        "forecasts",
        rows,
        key=lambda row: (row["site"], row["sku"], row["day"]),
        item=lambda row: Forecast(**row),
    )


@router.get("/v1/forecast-accuracy", summary="List how good forecasts were")
def list_accuracy(
    caller: Caller, tx: Tx, page: Paging, site: Name = None, sku: SkuName = None, version: Version = None
) -> Listing[Accuracy]:
    """Every method's figures for every site and SKU, the chosen one marked."""
    last = page.after("forecast-accuracy", tuple[str, str, str]) or (None, None, None)
    rows = tx.execute(
        queries.ACCURACY,
        {
            **caller.scope,
            "site": site,
            "sku": sku,
            "version": version,
            "after_site": last[0],
            "after_sku": last[1],
            "after_method": last[2],
            "limit": page.limit + 1,
        },
    ).fetchall()
    return page.listing(
        "forecast-accuracy",
        rows,
        key=lambda row: (row["site"], row["sku"], row["method"]),
        item=lambda row: Accuracy(**row),
    )


@router.get("/v1/promotion-plan", summary="List what is going to be promoted")
def list_promotions(
    caller: Caller, tx: Tx, page: Paging, site: Name = None, sku: SkuName = None, on: On = None
) -> Listing[Promotion]:
    """The plan that forecasts know, by site, SKU and first day. It comes by `POST /v1/imports?kind=promotion-plan`."""
    last = page.after("promotion-plan", tuple[str, str, date]) or (None, None, None)
    rows = tx.execute(
        queries.PROMOTIONS,
        {
            **caller.scope,
            "site": site,
            "sku": sku,
            "on": on,
            "after_site": last[0],
            "after_sku": last[1],
            "after_day": last[2],
            "limit": page.limit + 1,
        },
    ).fetchall()
    return page.listing(
        "promotion-plan",
        rows,
        key=lambda row: (row["site"], row["sku"], row["first_day"]),
        item=lambda row: Promotion(**row),
    )
