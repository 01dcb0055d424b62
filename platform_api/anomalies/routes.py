"""GET /v1/anomalies, and POST /v1/anomalies/{id}:acknowledge, :resolve, :dismiss, :label."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from fastapi import Body, Query, Response

from contracts.facts import AnomalyKind, AnomalyState, LiveNotice
from platform_api.anomalies import queries
from platform_api.anomalies.models import Anomaly, Decision, Labelling
from platform_api.anomalies.rules import Action, default_label, state_after
from platform_api.kit.auth import Caller, Decider, Principal
from platform_api.kit.conditions import ExpectedVersion
from platform_api.kit.db import Connection, Tx
from platform_api.kit.errors import CHANGE_RESPONSES, COMMON_RESPONSES, NOT_FOUND_RESPONSE, ApiError
from platform_api.kit.filters import Name, Since, Until, bounds
from platform_api.kit.notices import notify_live
from platform_api.kit.paging import Listing, Paging
from platform_api.kit.rows import Row, lock_one, read_one, tagged
from platform_api.kit.work import Router

router = Router(tags=["anomalies"], responses=COMMON_RESPONSES)

Kinds = Annotated[list[AnomalyKind] | None, Query(description="Only these kinds", max_length=len(AnomalyKind))]
States = Annotated[list[AnomalyState] | None, Query(description="Only these states", max_length=len(AnomalyState))]
Details = Annotated[Decision | None, Body()]


@router.get("/v1/anomalies", summary="List anomalies")
def list_anomalies(
    caller: Caller,
    tx: Tx,
    page: Paging,
    site: Name = None,
    kind: Kinds = None,
    state: States = None,
    since: Since = None,
    until: Until = None,
) -> Listing[Anomaly]:
    """Anomalies with their evidence, those detected last first."""
    detected_at, anomaly_id = page.after("anomalies", tuple[datetime, UUID]) or (None, None)
    rows = tx.execute(
        queries.ANOMALIES,
        {
            **caller.scope,
            **bounds(since, until),
            "site": site,
            "kinds": kind,
            "states": state,
            "after_at": detected_at,
            "after_id": anomaly_id,
            "limit": page.limit + 1,
        },
    ).fetchall()
    return page.listing("anomalies", rows, key=lambda row: (row["detected_at"], row["anomaly_id"]), item=_anomaly)


@router.get("/v1/anomalies/{anomaly_id}", summary="Read an anomaly", responses=NOT_FOUND_RESPONSE)
def read_anomaly(anomaly_id: UUID, caller: Caller, tx: Tx, response: Response) -> Anomaly:
    """One anomaly; its ETag is what a decision must name."""
    return _anomaly(
        tagged(read_one(tx, queries.ANOMALY, {**caller.scope, "anomaly_id": anomaly_id}, "anomaly"), response)
    )


@router.post("/v1/anomalies/{anomaly_id}:acknowledge", summary="Acknowledge", responses=CHANGE_RESPONSES)
def acknowledge(  # one argument a part of the request
    anomaly_id: UUID, caller: Decider, version: ExpectedVersion, tx: Tx, response: Response, details: Details = None
) -> Anomaly:
    """Someone has seen it and looks after it."""
    return _anomaly(tagged(_decide(tx, caller, anomaly_id, Action.ACKNOWLEDGE, version, details), response))


@router.post("/v1/anomalies/{anomaly_id}:resolve", summary="Resolve", responses=CHANGE_RESPONSES)
def resolve(  # one argument a part of the request
    anomaly_id: UUID, caller: Decider, version: ExpectedVersion, tx: Tx, response: Response, details: Details = None
) -> Anomaly:
    """It was there, and has been mended."""
    return _anomaly(tagged(_decide(tx, caller, anomaly_id, Action.RESOLVE, version, details), response))


@router.post("/v1/anomalies/{anomaly_id}:dismiss", summary="Dismiss", responses=CHANGE_RESPONSES)
def dismiss(  # one argument a part of the request
    anomaly_id: UUID, caller: Decider, version: ExpectedVersion, tx: Tx, response: Response, details: Details = None
) -> Anomaly:
    """It was none, or was expected; without a label it counts as a false alarm."""
    return _anomaly(tagged(_decide(tx, caller, anomaly_id, Action.DISMISS, version, details), response))


@router.post("/v1/anomalies/{anomaly_id}:label", summary="Label", responses=CHANGE_RESPONSES)
def label(  # one argument a part of the request
    anomaly_id: UUID, caller: Decider, version: ExpectedVersion, tx: Tx, response: Response, details: Labelling
) -> Anomaly:
    """Say what it really was, whatever its state: the threshold of its place follows from all labels there."""
    given = Decision(label=details.label, note=details.note)
    return _anomaly(tagged(_decide(tx, caller, anomaly_id, Action.LABEL, version, given), response))


def _decide(  # who, what, on which version, with which words
    tx: Connection, caller: Principal, anomaly_id: UUID, action: Action, version: int, details: Decision | None
) -> Row:
    row = lock_one(tx, queries.ANOMALY_FOR_UPDATE, {**caller.scope, "anomaly_id": anomaly_id}, "anomaly", version)
    following = state_after(AnomalyState(row["state"]), action)
    if following is None:
        raise ApiError(HTTPStatus.CONFLICT, f"cannot {action} an anomaly that is {row['state']}")
    given = details or Decision()
    tx.execute(
        queries.DECIDE,
        {
            **caller.scope,
            "anomaly_id": anomaly_id,
            "version": version,
            "state": following,
            "label": given.label or default_label(action),
            "note": given.note,
            "user_id": caller.user_id,
        },
    )
    notify_live(tx, LiveNotice(caller.tenant_id, [row["site_id"]], anomalies=1))
    return read_one(tx, queries.ANOMALY, {**caller.scope, "anomaly_id": anomaly_id}, "anomaly")


def _anomaly(row: Row) -> Anomaly:
    same = "kind severity score evidence state label note decided_by decided_at version"
    return Anomaly(
        id=row["anomaly_id"],
        site=row["site_id"],
        start=row["start_at"],
        end=row["end_at"],
        detected=row["detected_at"],
        **{row["place_kind"]: row["place"]},
        **{name: row[name] for name in same.split()},
    )
