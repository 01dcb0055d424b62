"""GET /v1/proposals, and POST /v1/proposals/{id}:approve, :reject."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from fastapi import Query, Response

from contracts.facts import LiveNotice, ProposalState
from platform_api.kit.auth import Caller, Decider, Principal
from platform_api.kit.conditions import ExpectedVersion
from platform_api.kit.db import Connection, Tx
from platform_api.kit.errors import CHANGE_RESPONSES, COMMON_RESPONSES, NOT_FOUND_RESPONSE, ApiError
from platform_api.kit.filters import Name, SkuName
from platform_api.kit.notices import notify_live
from platform_api.kit.paging import Listing, Paging
from platform_api.kit.rows import Row, lock_one, read_one, tagged
from platform_api.kit.work import Router
from platform_api.replenishment import queries
from platform_api.replenishment.models import Proposal
from platform_api.replenishment.rules import Action, state_after

router = Router(tags=["replenishment"], responses=COMMON_RESPONSES)

States = Annotated[list[ProposalState] | None, Query(description="Only these states", max_length=len(ProposalState))]


@router.get("/v1/proposals", summary="List replenishment proposals")
def list_proposals(  # one argument a query parameter
    caller: Caller, tx: Tx, page: Paging, site: Name = None, sku: SkuName = None, state: States = None
) -> Listing[Proposal]:
    """Proposals with their evidence, the newest first."""
    created_at, proposal_id = page.after("proposals", tuple[datetime, UUID]) or (None, None)
    rows = tx.execute(
        queries.PROPOSALS,
        {
            **caller.scope,
            "site": site,
            "sku": sku,
            "states": state,
            "after_at": created_at,
            "after_id": proposal_id,
            "limit": page.limit + 1,
        },
    ).fetchall()
    return page.listing("proposals", rows, key=lambda row: (row["created_at"], row["proposal_id"]), item=_proposal)


@router.get("/v1/proposals/{proposal_id}", summary="Read a proposal", responses=NOT_FOUND_RESPONSE)
def read_proposal(proposal_id: UUID, caller: Caller, tx: Tx, response: Response) -> Proposal:
    """One proposal; its ETag is what a decision must name."""
    return _proposal(
        tagged(read_one(tx, queries.PROPOSAL, {**caller.scope, "proposal_id": proposal_id}, "proposal"), response)
    )


@router.post("/v1/proposals/{proposal_id}:approve", summary="Approve", responses=CHANGE_RESPONSES)
def approve(proposal_id: UUID, caller: Decider, version: ExpectedVersion, tx: Tx, response: Response) -> Proposal:
    """The suggested units shall be ordered."""
    return _proposal(tagged(_decide(tx, caller, proposal_id, Action.APPROVE, version), response))


@router.post("/v1/proposals/{proposal_id}:reject", summary="Reject", responses=CHANGE_RESPONSES)
def reject(proposal_id: UUID, caller: Decider, version: ExpectedVersion, tx: Tx, response: Response) -> Proposal:
    """Nothing shall be ordered in this cycle."""
    return _proposal(tagged(_decide(tx, caller, proposal_id, Action.REJECT, version), response))


def _decide(tx: Connection, caller: Principal, proposal_id: UUID, action: Action, version: int) -> Row:
    row = lock_one(tx, queries.PROPOSAL_FOR_UPDATE, {**caller.scope, "proposal_id": proposal_id}, "proposal", version)
    following = state_after(ProposalState(row["state"]), action)
    if following is None:
        raise ApiError(HTTPStatus.CONFLICT, f"cannot {action} a proposal that is {row['state']}")
    tx.execute(queries.DECIDE, {**caller.scope, "proposal_id": proposal_id, "version": version, "state": following})
    notify_live(tx, LiveNotice(caller.tenant_id, [row["site_id"]], proposals=1))
    return read_one(tx, queries.PROPOSAL, {**caller.scope, "proposal_id": proposal_id}, "proposal")


def _proposal(row: Row) -> Proposal:
    same = "sku cycle units state evidence version"
    return Proposal(
        id=row["proposal_id"],
        site=row["site_id"],
        name_zh=row["name_zh"] or "",
        name_en=row["name_en"] or "",
        triggered=row["triggered_at"],
        created=row["created_at"],
        updated=row["updated_at"],
        outcome=row["outcome"],
        note=row["note"] or "",
        order=row["order_id"],
        considered=row["considered"] or [],
        **{name: row[name] for name in same.split()},
    )
