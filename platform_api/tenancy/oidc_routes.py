"""/login/oidc: leave for the provider of identities, and come back. 404 where none is configured."""

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Final, cast

import structlog
from fastapi import APIRouter, Cookie, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse

from platform_api.kit.db import Connection, a_transaction
from platform_api.kit.errors import ApiError, not_found
from platform_api.kit.limits import Limits
from platform_api.tenancy import federation, service
from platform_api.tenancy.oidc import CALLBACK_PATH, Client, Identity, Provider, ProviderError, new_attempt
from platform_api.tenancy.routes import Secret
from platform_api.tenancy.sessions import set_cookies

STATE_COOKIE: Final = "sp_oidc"
PATH: Final = "/login/oidc"
FAULTS: Final = frozenset({"again", "provider", "throttled", "unknown"})
"""Why a log-in failed, as /login?fault= shows it."""

_log = structlog.get_logger(__name__)

router = APIRouter(include_in_schema=False)

Answered = Annotated[str, Query(max_length=4_096)]


@router.get(PATH)
async def leave(request: Request) -> Response:
    """Send the browser to the provider. No transaction is held while the provider is asked, and each waits its turn."""
    client = _client(request)
    try:
        limits = cast("Limits", request.app.state.limits)
        limits.take_federated(request.client.host if request.client else "")
        now = datetime.now(UTC)
        attempt = new_attempt()
        target = await run_in_threadpool(client.authorization_url, attempt, now)
    except ApiError:
        return _back("throttled")
    except ProviderError as error:
        _log.warning("oidc_provider_failed", issuer=client.provider.issuer, reason=str(error))
        return _back("provider")
    async with a_transaction(request) as tx:
        await run_in_threadpool(federation.keep_attempt, tx, attempt, now)
    response = RedirectResponse(target, HTTPStatus.SEE_OTHER)
    response.set_cookie(
        STATE_COOKIE,
        attempt.state,
        max_age=int(federation.ATTEMPT_LIFE.total_seconds()),
        path=PATH,
        secure=request.url.scheme == "https",
        httponly=True,
        # The provider sends the browser back by a link from its own site.
        samesite="lax",
    )
    return response


@router.get(CALLBACK_PATH)
async def come_back(  # noqa: PLR0913, PLR0917  # one argument a part of the request
    request: Request,
    secret: Secret,
    state: Answered = "",
    code: Answered = "",
    iss: Answered | None = None,
    error: Answered = "",
    begun: Annotated[str, Cookie(alias=STATE_COOKIE, max_length=128)] = "",
) -> Response:
    """Give the browser a session, when the provider vouches for a user of its tenant."""
    client = _client(request)
    provider = client.provider
    now = datetime.now(UTC)
    # The browser that comes back is the one that left: otherwise somebody could log others in as themselves.
    if not state or state != begun:
        return _back("again")
    async with a_transaction(request) as tx:
        attempt = await run_in_threadpool(federation.take_attempt, tx, state, now)
    if attempt is None:
        return _back("again")
    if error or not code:
        _log.info("oidc_login_declined", issuer=provider.issuer, error=error[:64])
        return _back("provider")
    try:
        identity = await run_in_threadpool(client.identify, code, attempt, issuer=iss, now=now)
    except ProviderError as failure:
        _log.warning("oidc_provider_failed", issuer=provider.issuer, reason=str(failure))
        return _back("provider")
    async with a_transaction(request) as tx:
        session = await run_in_threadpool(_open_session, tx, provider, identity, secret=secret, now=now)
    if session is None:
        _log.info("oidc_user_unknown", issuer=provider.issuer, subject=identity.subject)
        return _back("unknown")
    response = RedirectResponse("/", HTTPStatus.SEE_OTHER)
    response.delete_cookie(STATE_COOKIE, path=PATH)
    set_cookies(request, response, session)
    return response


def _open_session(
    tx: Connection, provider: Provider, identity: Identity, *, secret: str, now: datetime
) -> service.Session | None:
    """A session of the provider's tenant's user who this is, None when there is none."""
    user_id = federation.find_user(tx, provider, identity)
    return None if user_id is None else service.open_session(tx, user_id, secret=secret, now=now)


def _client(request: Request) -> Client:
    client = cast("Client | None", request.app.state.oidc)
    if client is None:
        raise not_found("provider of identities")
    return client


def _back(fault: str) -> RedirectResponse:
    assert fault in FAULTS
    response = RedirectResponse(f"/login?fault={fault}", HTTPStatus.SEE_OTHER)
    response.delete_cookie(STATE_COOKIE, path=PATH)
    return response
