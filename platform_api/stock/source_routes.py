"""GET and PUT /v1/depletion-sources: whose word on what left a shelf is booked; the others only check it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Path

from contracts.ids import IDENTIFIER_PATTERN
from platform_api.kit.auth import Caller
from platform_api.kit.db import Tx
from platform_api.kit.errors import COMMON_RESPONSES, NOT_FOUND_RESPONSE, not_found
from platform_api.kit.filters import Name, SkuPath
from platform_api.kit.paging import Listing, Paging
from platform_api.kit.work import Router
from platform_api.stock import till_queries as queries
from platform_api.stock.parameters import Controller
from platform_api.stock.source_models import DepletionSource, SourceRequest

router = Router(tags=["stock"], responses=COMMON_RESPONSES)

SitePath = Annotated[str, Path(pattern=IDENTIFIER_PATTERN, max_length=32)]


@router.get("/v1/depletion-sources", summary="List whose word on sales is booked")
def list_sources(caller: Caller, tx: Tx, page: Paging, site: Name = None) -> Listing[DepletionSource]:
    """Where somebody was named. Elsewhere shelves have the word on what they count, tills on all the rest."""
    last = page.after("depletion-sources", tuple[str, str]) or (None, None)
    rows = tx.execute(
        queries.SOURCES,
        {**caller.scope, "site": site, "after_site": last[0], "after_sku": last[1], "limit": page.limit + 1},
    ).fetchall()
    return page.listing("depletion-sources", rows, key=lambda row: (row["site_id"], row["sku"]), item=_source)


@router.put("/v1/depletion-sources/{site}/{sku}", summary="Say whose word is booked", responses=NOT_FOUND_RESPONSE)
def put_source(site: SitePath, sku: SkuPath, body: SourceRequest, caller: Controller, tx: Tx) -> DepletionSource:
    """From now on, so that there is no version to name: what was sold before is booked as it was."""
    values = {"site": site, "sku": sku, "source": body.source, "since": datetime.now(UTC)}
    row = tx.execute(queries.PUT_SOURCE, {**caller.scope, **values}).fetchone()
    if row is None:
        raise not_found("site or SKU")
    return _source(row)


def _source(row: Mapping[str, Any]) -> DepletionSource:
    return DepletionSource(site=row["site_id"], sku=row["sku"], source=row["source"], since=row["since"])
