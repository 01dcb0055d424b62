"""GET /v1/policies and PUT /v1/policies/{site}/{sku}: when a shelf is refilled, and who decides."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Path

from contracts.ids import IDENTIFIER_PATTERN
from platform_api.kit.auth import Caller, Decider
from platform_api.kit.db import Tx
from platform_api.kit.errors import COMMON_RESPONSES, NOT_FOUND_RESPONSE, not_found
from platform_api.kit.filters import Name, SkuName, SkuPath
from platform_api.kit.paging import Listing, Paging
from platform_api.kit.work import Router
from platform_api.replenishment import queries
from platform_api.replenishment.models import Policy, PolicyRequest

router = Router(tags=["replenishment"], responses=COMMON_RESPONSES)

Row = Mapping[str, Any]
SitePath = Annotated[str, Path(pattern=IDENTIFIER_PATTERN, max_length=32)]


@router.get("/v1/policies", summary="List policies")
def list_policies(caller: Caller, tx: Tx, page: Paging, site: Name = None, sku: SkuName = None) -> Listing[Policy]:
    """Policies of the sites that the caller sees, by site and SKU."""
    last = page.after("policies", tuple[str, str]) or (None, None)
    rows = tx.execute(
        queries.POLICIES,
        {
            **caller.scope,
            "site": site,
            "sku": sku,
            "after_site": last[0],
            "after_sku": last[1],
            "limit": page.limit + 1,
        },
    ).fetchall()
    return page.listing("policies", rows, key=lambda row: (row["site_id"], row["sku"]), item=_policy)


@router.put("/v1/policies/{site}/{sku}", summary="Set a policy", responses=NOT_FOUND_RESPONSE)
def put_policy(site: SitePath, sku: SkuPath, body: PolicyRequest, caller: Decider, tx: Tx) -> Policy:
    """The policy as a whole, so that there is no version to name; the stream follows it from now on.

    The night leaves it alone unless ``tuned_nightly`` lets it.
    """
    row = tx.execute(queries.PUT_POLICY, {**caller.scope, "site": site, "sku": sku, **body.model_dump()}).fetchone()
    if row is None:
        raise not_found("site or SKU")
    return _policy(row)


def _policy(row: Row) -> Policy:
    same = ("sku", "mode", "reorder_point", "target", "cooldown_s", "min_order", "tuned_nightly")
    return Policy(site=row["site_id"], updated=row["updated_at"], **{name: row[name] for name in same})
