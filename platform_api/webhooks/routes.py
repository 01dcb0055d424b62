"""/v1/webhooks and /v1/webhook-events: subscriptions, their deliveries, and what there is to be told."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Query, Request, Response
from psycopg.types.json import Jsonb

from platform_api.kit.auth import Principal, Role, require
from platform_api.kit.conditions import ExpectedVersion, etag, stale
from platform_api.kit.db import Connection, Tx
from platform_api.kit.destinations import fault_of
from platform_api.kit.errors import CHANGE_RESPONSES, COMMON_RESPONSES, NOT_FOUND_RESPONSE, not_found, unprocessable
from platform_api.kit.filters import Since, Until, bounds
from platform_api.kit.keys import new_key
from platform_api.kit.paging import Listing, Paging
from platform_api.kit.quotas import Quota, check_quota
from platform_api.kit.signatures import new_secret
from platform_api.kit.work import Router
from platform_api.webhooks import queries
from platform_api.webhooks.delivering import shown
from platform_api.webhooks.models import (
    REPLAY_MAX,
    Delivery,
    DeliveryState,
    MadeWebhook,
    NewWebhook,
    OutboxEvent,
    Replayed,
    ReplayRequest,
    Webhook,
    WebhookRequest,
)
from platform_api.webhooks.rules import ROTATION, TEST_TYPE

router = Router(tags=["webhooks"], responses=COMMON_RESPONSES)

Row = Mapping[str, Any]
Subscriber = Annotated[Principal, Depends(require(Role.HQ, Role.DEALER))]
Reader = Annotated[Principal, Depends(require(Role.HQ, Role.DEALER, Role.OPS, Role.AUDITOR))]
Types = Annotated[list[str] | None, Query(alias="type", description="Only these types", max_length=20)]


@router.get("/v1/webhooks", summary="List subscriptions")
def list_webhooks(caller: Reader, tx: Tx, page: Paging) -> Listing[Webhook]:
    """Who is told what, the oldest first."""
    (after,) = page.after("webhooks", tuple[UUID]) or (None,)
    values = {**caller.org_scope, "after": after, "limit": page.limit + 1}
    rows = tx.execute(queries.WEBHOOKS, values).fetchall()
    return page.listing("webhooks", rows, key=lambda row: (row["webhook_id"],), item=lambda row: Webhook(**_shown(row)))


@router.get("/v1/webhooks/{webhook_id}", summary="Read a subscription", responses=NOT_FOUND_RESPONSE)
def read_webhook(webhook_id: UUID, caller: Reader, tx: Tx, response: Response) -> Webhook:
    """One subscription."""
    row = _one(tx, queries.WEBHOOK, caller, webhook_id)
    response.headers["ETag"] = etag(row["version"])
    return Webhook(**_shown(row))


@router.post("/v1/webhooks", summary="Subscribe", status_code=201)
def create_webhook(body: NewWebhook, caller: Subscriber, tx: Tx, request: Request, response: Response) -> MadeWebhook:
    """Tell an address what happens. Its secret is shown this once, so that a repetition makes another subscription.

    Dealers are told what concerns their organisation and those below it.
    """
    _check_url(request, body.url)
    org = _org_of(tx, caller, body)
    if body.enabled:
        _check_room(tx, caller, org)
    webhook_id, secret = new_key(), new_secret()
    values = {**_place(caller, webhook_id), "secret": secret, **body.model_dump(), "org": org}
    tx.execute(queries.INSERT_WEBHOOK, values)
    response.headers.update({"Location": f"/v1/webhooks/{webhook_id}", "ETag": etag(1)})
    return MadeWebhook(secret=secret, **_shown(_one(tx, queries.WEBHOOK, caller, webhook_id)))


@router.put("/v1/webhooks/{webhook_id}", summary="Change or disable a subscription", responses=CHANGE_RESPONSES)
def update_webhook(
    webhook_id: UUID,
    body: WebhookRequest,
    caller: Subscriber,
    version: ExpectedVersion,
    tx: Tx,
    request: Request,
    response: Response,
) -> Webhook:
    """The subscription as it shall be. What waits for a disabled one is sent when it is enabled again."""
    row = _one(tx, queries.WEBHOOK_FOR_UPDATE, caller, webhook_id)
    if row["version"] != version:
        raise stale("subscription")
    _check_url(request, body.url)
    if body.enabled and not row["enabled"]:
        _check_room(tx, caller, row["org_id"])
    tx.execute(queries.UPDATE_WEBHOOK, {**_place(caller, webhook_id), **body.model_dump()})
    response.headers["ETag"] = etag(version + 1)
    return Webhook(**_shown(_one(tx, queries.WEBHOOK, caller, webhook_id)))


@router.post("/v1/webhooks/{webhook_id}:rotate", summary="Make a new secret", responses=NOT_FOUND_RESPONSE)
def rotate_webhook(webhook_id: UUID, caller: Subscriber, tx: Tx, response: Response) -> MadeWebhook:
    """A new secret, shown this once; the one before it signs as well for a day, so that nothing is missed."""
    secret = new_secret()
    _one(tx, queries.WEBHOOK_FOR_UPDATE, caller, webhook_id)
    values = {"webhook_id": webhook_id, "secret": secret, "until": datetime.now(UTC) + ROTATION}
    rotated = tx.execute(queries.ROTATE, values).fetchone()
    assert rotated is not None
    response.headers["ETag"] = etag(rotated["version"])
    return MadeWebhook(secret=secret, **_shown(_one(tx, queries.WEBHOOK, caller, webhook_id)))


@router.post(
    "/v1/webhooks/{webhook_id}:test", summary="Try a subscription", status_code=202, responses=NOT_FOUND_RESPONSE
)
def test_webhook(webhook_id: UUID, caller: Subscriber, tx: Tx) -> OutboxEvent:
    """Send it an event of type ``webhook.test``, as any other; its deliveries tell what came of it."""
    row = _one(tx, queries.WEBHOOK, caller, webhook_id)
    data = {"id": str(webhook_id), "by": caller.login}
    made = OutboxEvent(id=new_key(), type=TEST_TYPE, subject=f"webhooks/{webhook_id}", at=datetime.now(UTC), data=data)
    place = {**_place(caller, webhook_id), "event_id": made.id}
    told = {"org": row["org_id"], "type": made.type, "subject": made.subject, "data": Jsonb(data)}
    tx.execute(queries.INSERT_EVENT, {**place, **told})
    tx.execute(queries.INSERT_DELIVERY, place)
    return made


@router.post("/v1/webhooks/{webhook_id}:replay", summary="Tell again", status_code=202, responses=NOT_FOUND_RESPONSE)
def replay_webhook(webhook_id: UUID, body: ReplayRequest, caller: Subscriber, tx: Tx) -> Replayed:
    """Events of up to 30 days ago once more, at most 10,000 at a time, whether they were heard or not."""
    _one(tx, queries.WEBHOOK, caller, webhook_id)
    values = {
        **_place(caller, webhook_id),
        "events": body.events,
        **bounds(body.since, body.until or datetime.now(UTC)),
        "maximum": REPLAY_MAX,
    }
    count = tx.execute(queries.REPLAY, values).rowcount
    return Replayed(events=count, more=count == REPLAY_MAX)


@router.get("/v1/webhooks/{webhook_id}/deliveries", summary="List deliveries", responses=NOT_FOUND_RESPONSE)
def list_deliveries(
    webhook_id: UUID, caller: Reader, tx: Tx, page: Paging, state: DeliveryState | None = None
) -> Listing[Delivery]:
    """What was sent, is waiting, or was given up, the newest event first."""
    _one(tx, queries.WEBHOOK, caller, webhook_id)
    (after,) = page.after("deliveries", tuple[UUID]) or (None,)
    values = {**_place(caller, webhook_id), "state": state, "after": after, "limit": page.limit + 1}
    rows = tx.execute(queries.DELIVERIES, values).fetchall()
    return page.listing("deliveries", rows, key=lambda row: (row["event_id"],), item=_delivery)


@router.get("/v1/webhook-events", summary="List what there is to be told")
def list_events(
    caller: Reader, tx: Tx, page: Paging, type_: Types = None, since: Since = None, until: Until = None
) -> Listing[OutboxEvent]:
    """The outbox, the oldest first: what subscribers were told, and may ask to be told again."""
    (after,) = page.after("webhook-events", tuple[UUID]) or (None,)
    values = {
        **caller.org_scope,
        "types": type_,
        **bounds(since, until),
        "after": after,
        "limit": page.limit + 1,
    }
    rows = tx.execute(queries.EVENTS, values).fetchall()
    return page.listing("webhook-events", rows, key=lambda row: (row["event_id"],), item=_event)


def _place(caller: Principal, webhook_id: UUID) -> dict[str, Any]:
    return {**caller.org_scope, "webhook_id": webhook_id}


def _one(tx: Connection, query: str, caller: Principal, webhook_id: UUID) -> Row:
    row = tx.execute(query, _place(caller, webhook_id)).fetchone()
    if row is None:
        raise not_found("subscription")
    return row


def _check_url(request: Request, url: str) -> None:
    if (fault := fault_of(url, request.app.state.webhook_reach)) is not None:
        raise unprocessable("body.url", fault)


def _org_of(tx: Connection, caller: Principal, body: NewWebhook) -> str | None:
    """The organisation that is subscribed for, None for the tenant. Raises ApiError (422)."""
    org = body.org or caller.org_id
    if org is None and caller.orgs is None:
        return None
    known = tx.execute(queries.ORG, {"tenant_id": caller.tenant_id, "org": org}).fetchone()
    if known is None or not caller.sees_org(org):
        raise unprocessable("body.org", "there is no such organisation")
    return org


def _check_room(tx: Connection, caller: Principal, org: str | None) -> None:
    """Each organisation has the quota to itself, so that none takes the others' room."""
    row = tx.execute(queries.COUNT_WEBHOOKS, {"tenant_id": caller.tenant_id, "org": org}).fetchone()
    assert row is not None
    check_quota(tx, caller.tenant_id, Quota.WEBHOOKS, row["n"])


def _shown(row: Row) -> dict[str, Any]:
    same = ("url", "description", "events", "enabled", "disabled_reason", "version")
    until = row["previous_until"]
    return {
        "id": row["webhook_id"],
        "org": row["org_id"],
        "failing": row["failing_since"],
        "slow": row["slow"],
        "former_secret_until": until if until is not None and until > datetime.now(UTC) else None,
        "created": row["created_at"],
        **{name: row[name] for name in same},
    }


def _delivery(row: Row) -> Delivery:
    return Delivery(
        event=row["event_id"],
        next=row["next_at"] if row["state"] == "pending" else None,
        delivered=row["delivered_at"],
        **{name: row[name] for name in ("type", "state", "attempts", "status", "error")},
    )


def _event(row: Row) -> OutboxEvent:
    same = {name: row[name] for name in ("type", "subject", "at")}
    return OutboxEvent(id=row["event_id"], data=shown(row["data"]), **same)
