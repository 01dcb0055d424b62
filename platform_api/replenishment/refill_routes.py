"""GET /v1/refills and POST /v1/refills/{refill_id}:cancel: what stores shall put on their shelves."""

from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from fastapi import Query, Response

from platform_api.kit.auth import Caller, Decider
from platform_api.kit.conditions import ExpectedVersion
from platform_api.kit.db import Tx
from platform_api.kit.errors import CHANGE_RESPONSES, COMMON_RESPONSES, NOT_FOUND_RESPONSE, ApiError
from platform_api.kit.filters import Name
from platform_api.kit.paging import Listing, Paging
from platform_api.kit.rows import Row, lock_one, read_one, tagged
from platform_api.kit.work import Router
from platform_api.replenishment import refill_queries as queries
from platform_api.replenishment.refill_models import RefillTask
from platform_api.replenishment.refill_rules import RefillState

router = Router(tags=["replenishment"], responses=COMMON_RESPONSES)

States = Annotated[list[RefillState] | None, Query(description="Only these states", max_length=len(RefillState))]


@router.get("/v1/refills", summary="List what stores shall refill")
def list_refills(caller: Caller, tx: Tx, page: Paging, site: Name = None, state: States = None) -> Listing[RefillTask]:
    """Tasks of the stores that the caller sees, the newest first."""
    (after,) = page.after("refills", tuple[UUID]) or (None,)
    rows = tx.execute(
        queries.REFILLS, {**caller.scope, "site": site, "states": state, "after": after, "limit": page.limit + 1}
    ).fetchall()
    return page.listing("refills", rows, key=lambda row: (row["refill_id"],), item=_task)


@router.get("/v1/refills/{refill_id}", summary="Read a refill", responses=NOT_FOUND_RESPONSE)
def read_refill(refill_id: UUID, caller: Caller, tx: Tx, response: Response) -> RefillTask:
    """One task; its ETag is what a cancellation must name."""
    return _task(tagged(read_one(tx, queries.REFILL, {**caller.scope, "refill_id": refill_id}, "refill"), response))


@router.post("/v1/refills/{refill_id}:cancel", summary="Cancel a refill", responses=CHANGE_RESPONSES)
def cancel(refill_id: UUID, caller: Decider, version: ExpectedVersion, tx: Tx, response: Response) -> RefillTask:
    """The units stay in the back room: what the shelves see from now on counts for other tasks."""
    row = lock_one(tx, queries.REFILL_FOR_UPDATE, {**caller.scope, "refill_id": refill_id}, "refill", version)
    if row["state"] != RefillState.OPEN:
        raise ApiError(HTTPStatus.CONFLICT, f"the refill is {row['state']}")
    tx.execute(queries.CANCEL, {"tenant_id": caller.tenant_id, "refill_id": refill_id, "login": caller.login})
    return _task(tagged(read_one(tx, queries.REFILL, {**caller.scope, "refill_id": refill_id}, "refill"), response))


def _task(row: Row) -> RefillTask:
    same = "sku units seen state source source_id since closed_by version"
    return RefillTask(
        id=row["refill_id"],
        site=row["site_id"],
        name_zh=row["name_zh"] or "",
        name_en=row["name_en"] or "",
        created=row["created_at"],
        closed=row["closed_at"],
        **{name: row[name] for name in same.split()},
    )
