"""How gateways are let in and taken out: :invite, claims, :redeem, :revoke, :reinstate."""

from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any, cast
from uuid import UUID

from fastapi import Body, Depends, Request

from contracts.provision import REDEEM_PATH, username
from platform_api.devices import remote_queries as queries
from platform_api.devices import service
from platform_api.devices.models import Gateway
from platform_api.devices.parameters import GatewayId, Operator, SeenGateway, place
from platform_api.devices.remote_models import Claim, InvitationRequest, NewClaim, ProvisionAnswer, RedeemRequest
from platform_api.devices.routes import gateway_of
from platform_api.devices.rules import claim_state
from platform_api.kit.auth import Caller
from platform_api.kit.db import Tx
from platform_api.kit.errors import COMMON_RESPONSES, NOT_FOUND_RESPONSE, ApiError, not_found
from platform_api.kit.limits import Limits
from platform_api.kit.paging import Listing, Paging
from platform_api.kit.provisioning import Provisioning
from platform_api.kit.work import Router

router = Router(tags=["gateways"], responses={**COMMON_RESPONSES, **NOT_FOUND_RESPONSE})
open_router = Router(tags=["gateways"])

CONFLICT_RESPONSE: dict[int | str, dict[str, Any]] = {
    409: {**COMMON_RESPONSES[401], "description": "The gateway is revoked"}
}
REDEEM_RESPONSES: dict[int | str, dict[str, Any]] = {
    **{status: COMMON_RESPONSES[status] for status in (422, 429, 503)},
    403: {**COMMON_RESPONSES[403], "description": "The code is unknown, used or expired"},
}
Invitation = Annotated[InvitationRequest | None, Body()]


@router.post(
    "/v1/gateways/{gateway}:invite",
    summary="Invite a gateway",
    status_code=HTTPStatus.CREATED,
    responses=CONFLICT_RESPONSE,
)
def invite(gateway: GatewayId, caller: Operator, tx: Tx, body: Invitation = None) -> NewClaim:
    """A claim code of one use, shown this once; it ends every earlier code of the gateway.

    A gateway that has a credential keeps it until the new code is redeemed: so its secret is rotated.
    """
    life_s = (body or InvitationRequest()).expires_in_s
    try:
        made = service.invite(
            tx,
            tenant_id=caller.tenant_id,
            gateway=gateway,
            life_s=life_s,
            user_id=caller.user_id,
            sites=_sites(caller),
        )
    except service.UnknownGatewayError as error:
        raise not_found("gateway") from error
    except service.RevokedGatewayError as error:
        raise ApiError(HTTPStatus.CONFLICT, "the gateway is revoked; reinstate it first") from error
    return NewClaim(id=made.claim_id, gateway=gateway, code=made.code, expires_at=made.expires_at)


@router.get("/v1/gateways/{gateway}/claims", summary="List a gateway's invitations")
def list_claims(gateway: SeenGateway, caller: Caller, tx: Tx, page: Paging) -> Listing[Claim]:
    """Invitations without their codes, the newest first."""
    created_at, claim_id = page.after("claims", tuple[datetime, UUID]) or (None, None)
    rows = tx.execute(
        queries.CLAIMS,
        {**place(caller, gateway), "after_at": created_at, "after_id": claim_id, "limit": page.limit + 1},
    ).fetchall()
    now = datetime.now(UTC)
    return page.listing(
        "claims", rows, key=lambda row: (row["created_at"], row["claim_id"]), item=lambda row: _claim(row, now)
    )


@router.post("/v1/gateways/{gateway}:revoke", summary="Revoke a gateway")
def revoke(gateway: GatewayId, caller: Operator, tx: Tx) -> Gateway:
    """Its credential and its open claims end, the broker drops it within seconds, and what it sends is refused.

    Revoking again changes nothing, so there is no version to name: a stolen gateway must not wait for one.
    """
    try:
        service.revoke(tx, tenant_id=caller.tenant_id, gateway=gateway, sites=_sites(caller))
    except service.UnknownGatewayError as error:
        raise not_found("gateway") from error
    return gateway_of(tx, caller, gateway)


@router.post("/v1/gateways/{gateway}:reinstate", summary="Reinstate a revoked gateway")
def reinstate(gateway: GatewayId, caller: Operator, tx: Tx) -> Gateway:
    """It may be invited again. Its old credential stays revoked."""
    try:
        service.reinstate(tx, tenant_id=caller.tenant_id, gateway=gateway, sites=_sites(caller))
    except service.UnknownGatewayError as error:
        raise not_found("gateway") from error
    return gateway_of(tx, caller, gateway)


async def count_redeem(request: Request) -> None:
    """Count an attempt, before any connection is taken. Raises ApiError (429)."""
    limits = cast("Limits", request.app.state.limits)
    limits.take_redeem(request.client.host if request.client else "")


async def provisioning(request: Request) -> Provisioning:
    """What gateways are told besides their secret. Raises ApiError (503) when this platform was not told it."""
    known = cast("Provisioning", request.app.state.provisioning)
    if not known.broker_url:
        raise ApiError(HTTPStatus.SERVICE_UNAVAILABLE, "SHELFPULSE_GATEWAY_BROKER_URL is not set on this platform")
    return known


@open_router.post(
    REDEEM_PATH, summary="Redeem a claim code", responses=REDEEM_RESPONSES, dependencies=[Depends(count_redeem)]
)
def redeem(body: RedeemRequest, known: Annotated[Provisioning, Depends(provisioning)], tx: Tx) -> ProvisionAnswer:
    """A gateway's credential, given once, to whoever has its code; the machine is bound to it.

    Whether a code is unknown, used or expired is not told. The machine that redeemed a code may do so again within
    ten minutes, for its answer may have been lost: it gets a new secret, and the one before ends.
    """
    issued = service.redeem(tx, code=body.code, machine=body.machine)
    if issued is None:
        raise ApiError(HTTPStatus.FORBIDDEN, "the code is unknown, used or expired; ask for a new one")
    return ProvisionAnswer(
        tenant=issued.tenant,
        site=issued.site,
        gateway=issued.gateway,
        broker_url=known.broker_url,
        username=username(issued.tenant, issued.gateway),
        secret=issued.secret,
        ca_pem=known.ca_pem,
        update_key=known.update_key,
    )


def _sites(caller: Operator) -> list[str] | None:
    return None if caller.sites is None else list(caller.sites)


def _claim(row: Mapping[str, Any], now: datetime) -> Claim:
    return Claim(
        id=row["claim_id"],
        gateway=row["gateway_id"],
        state=claim_state(expires_at=row["expires_at"], used_at=row["used_at"], now=now),
        created_by=row["created_by"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        used_at=row["used_at"],
        used_machine=row["used_machine"],
    )
