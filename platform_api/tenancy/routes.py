"""POST /v1/auth/token, GET /v1/me, and the refresh of page sessions."""

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, cast

from fastapi import Cookie, Depends, Query, Request, Response
from fastapi.responses import RedirectResponse

from platform_api.kit.auth import Caller, require_same_origin
from platform_api.kit.db import Tx
from platform_api.kit.errors import COMMON_RESPONSES, problem, unauthenticated
from platform_api.kit.limits import Limits
from platform_api.kit.tokens import ACCESS_LIFE, issue_access
from platform_api.kit.work import Router
from platform_api.tenancy import service
from platform_api.tenancy.models import AccessToken, LoginRequest, Me
from platform_api.tenancy.sessions import HOME, REFRESH_COOKIE, drop_cookies, login_url, own_page, set_cookies

open_router = Router(tags=["tenancy"])
router = Router(tags=["tenancy"], responses=COMMON_RESPONSES)

RefreshCookie = Annotated[str | None, Cookie(alias=REFRESH_COOKIE, max_length=128)]


async def signing_secret(request: Request) -> str:
    """The key that signs access tokens."""
    return cast("str", request.app.state.secret)


Secret = Annotated[str, Depends(signing_secret)]


def count_login(request: Request, login: str) -> None:
    """Count an attempt to log in. Raises ApiError (429)."""
    limits = cast("Limits", request.app.state.limits)
    limits.take_login(login, request.client.host if request.client else "")


@open_router.post("/v1/auth/token", summary="Log in with a password", responses=COMMON_RESPONSES)
def create_token(request: Request, body: LoginRequest, tx: Tx, secret: Secret) -> AccessToken:
    """A short access token for scripts that have a person's password. Machines use API keys."""
    count_login(request, body.login)
    user_id = service.check_password(tx, body.login, body.password.get_secret_value())
    if user_id is None:
        raise unauthenticated("login or password is wrong")
    token, _ = issue_access(user_id, secret=secret, now=datetime.now(UTC))
    return AccessToken(access_token=token, expires_in=int(ACCESS_LIFE.total_seconds()))


@router.get("/v1/me", summary="Who I am")
def read_me(caller: Caller) -> Me:
    """The person whom the credential belongs to, and what they may see."""
    return Me(
        login=caller.login,
        name=caller.name,
        role=caller.role,
        tenant=caller.tenant_id,
        sandbox=caller.sandbox,
        locale=caller.locale,
        sites=None if caller.sites is None else list(caller.sites),
    )


@open_router.post("/session/refresh", include_in_schema=False)
def refresh_session(request: Request, tx: Tx, secret: Secret, refresh: RefreshCookie = None) -> Response:
    """Exchange the refresh cookie, for a page that stays open."""
    if refresh is None:
        raise unauthenticated("there is no session")
    require_same_origin(request)
    session = service.renew_session(tx, refresh, secret=secret, now=datetime.now(UTC))
    if session is None:
        # Returned, not raised: the end of a reused family must be committed.
        refused = problem(HTTPStatus.UNAUTHORIZED, "the session has ended; log in again")
        drop_cookies(refused)
        return refused
    response = Response(status_code=HTTPStatus.NO_CONTENT)
    set_cookies(request, response, session)
    return response


@open_router.get("/session/resume", include_in_schema=False)
def resume_session(
    request: Request, tx: Tx, secret: Secret, refresh: RefreshCookie = None, to: Annotated[str, Query()] = HOME
) -> Response:
    """Where a page without a valid access token is sent: on to where it was going with a new one, or to /login."""
    session = None
    if refresh is not None:
        session = service.renew_session(tx, refresh, secret=secret, now=datetime.now(UTC))
    if session is None:
        response = RedirectResponse(login_url(to), HTTPStatus.SEE_OTHER)
        drop_cookies(response)
        return response
    response = RedirectResponse(own_page(to), HTTPStatus.SEE_OTHER)
    set_cookies(request, response, session)
    return response


@open_router.post("/session/end", include_in_schema=False)
def end_session(request: Request, tx: Tx, refresh: RefreshCookie = None) -> Response:
    """Log out: the family of refresh tokens ends, the cookies go."""
    if refresh is None:
        raise unauthenticated("there is no session")
    require_same_origin(request)
    service.close_session(tx, refresh)
    response = RedirectResponse("/login", HTTPStatus.SEE_OTHER)
    drop_cookies(response)
    return response
