"""Who asks: a bearer token, an API key, or the cookie of a page."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from http import HTTPStatus
from typing import Annotated, Final, cast
from uuid import UUID

from fastapi import Depends, Request
from fastapi.security import APIKeyCookie, HTTPBearer

from platform_api.kit.db import Connection, Tx
from platform_api.kit.errors import ApiError, unauthenticated
from platform_api.kit.limits import Limits

ACCESS_COOKIE: Final = "sp_access"
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})

# Only for the OpenAPI document: the credential is read by ``credential`` below.
BEARER: Final = HTTPBearer(auto_error=False, description="Access token from /v1/auth/token, or an API key `spk_…`")
COOKIE: Final = APIKeyCookie(name=ACCESS_COOKIE, auto_error=False, description="Set by /login, for pages")


class Role(StrEnum):
    """What a person is to the tenant. Stored, so names never change."""

    HQ = "hq"
    DEALER = "dealer"
    REP = "rep"
    STORE = "store"
    OPS = "ops"
    AUDITOR = "auditor"


@dataclass(frozen=True, slots=True)
class Credential:
    """What was presented, not yet checked."""

    token: str
    from_cookie: bool


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks, and what they may see.

    ``sites`` None means every site of the tenant; otherwise those below the person's organisation. ``expires_at`` is
    when the credential ends (aware UTC), None for an API key without an end.
    """

    user_id: UUID
    tenant_id: str
    tenant_name: str
    login: str
    name: str
    role: Role
    locale: str
    sites: tuple[str, ...] | None
    expires_at: datetime | None

    @property
    def scope(self) -> dict[str, object]:
        """Parameters of the filter that every query carries."""
        return {"tenant_id": self.tenant_id, "sites": None if self.sites is None else list(self.sites)}


Identify = Callable[[Connection, Credential], Principal]
"""Given by tenancy, so that the kit knows no table. Raises ApiError (401)."""


def credential(request: Request) -> Credential:
    """The credential of a request, before any connection is taken. Raises ApiError (401, 403)."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if value:
        if scheme.lower() != "bearer":
            raise unauthenticated("use a bearer token")
        return Credential(value.strip(), from_cookie=False)
    cookie = request.cookies.get(ACCESS_COOKIE)
    if not cookie:
        raise unauthenticated("credentials are missing")
    if request.method not in SAFE_METHODS:
        require_same_origin(request)
    return Credential(cookie, from_cookie=True)


def require_same_origin(request: Request) -> None:
    """Refuse a write that another site's page started. Raises ApiError (403).

    Cookies are SameSite=Lax as well; this also holds where sites share a registrable domain.
    """
    origin = request.headers.get("origin")
    if origin is None:
        if request.headers.get("sec-fetch-site", "") == "same-origin":
            return
        raise ApiError(HTTPStatus.FORBIDDEN, "a write by cookie needs an Origin header")
    if origin.partition("://")[2] != request.headers.get("host", ""):
        raise ApiError(HTTPStatus.FORBIDDEN, "the request comes from another site")


def principal(request: Request, presented: Annotated[Credential, Depends(credential)], tx: Tx) -> Principal:
    """Who asks, checked against the database, so that a disabled user or revoked key ends at once."""
    identify = cast("Identify", request.app.state.identify)
    found = identify(tx, presented)
    limits = cast("Limits", request.app.state.limits)
    limits.take_request(str(found.user_id))
    return found


Caller = Annotated[Principal, Depends(principal, scope="function")]


def require(*roles: Role) -> Callable[[Principal], Principal]:
    """A dependency that lets only these roles pass. Raises ApiError (403)."""

    def check(caller: Caller) -> Principal:
        if caller.role not in roles:
            raise ApiError(HTTPStatus.FORBIDDEN, f"role {caller.role} may not do this")
        return caller

    return check
