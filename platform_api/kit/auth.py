"""Who asks: a bearer token, an API key, or the cookie of a page."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from http import HTTPStatus
from typing import Annotated, Final, cast
from uuid import UUID

from fastapi import Depends, Request
from fastapi.security import APIKeyCookie, HTTPBearer

from platform_api.kit.audit import Entry, note
from platform_api.kit.db import Connection, Tx
from platform_api.kit.errors import ApiError, unauthenticated
from platform_api.kit.limits import Limits

ACCESS_COOKIE: Final = "sp_access"
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})

# Only for the OpenAPI document: the credential is read by ``credential`` below.
BEARER: Final = HTTPBearer(
    auto_error=False, description="Access token from /v1/auth/token, or an API key `spk_…`, `spk_test_…`"
)
COOKIE: Final = APIKeyCookie(name=ACCESS_COOKIE, auto_error=False, description="Set by /login, for pages")


class Role(StrEnum):
    """What a person, or a device, is to the tenant. Stored, so names never change."""

    HQ = "hq"
    DEALER = "dealer"
    REP = "rep"
    STORE = "store"
    OPS = "ops"
    AUDITOR = "auditor"
    DEVICE = "device"
    """A till, a handheld, a label printer at an organisation: an API key and nobody behind it."""


DEVICE_ROUTES: Final = frozenset(
    {
        "GET /v1/me",
        "GET /v1/skus",
        "GET /v1/skus/{sku}",
        "GET /v1/skus/{sku}/image",
        "GET /v1/shelf-positions",
        "GET /v1/refills",
        "GET /v1/refills/{refill_id}",
        "GET /v1/pos-sales",
        "POST /v1/pos-sales",
    }
)
"""All that a device may ask: whoever takes it from its shop must not get at orders, prices or people."""


class Scope(StrEnum):
    """What an API key is good for: ``write`` is needed for every method that changes something."""

    READ = "read"
    WRITE = "write"


@dataclass(frozen=True, slots=True)
class Credential:
    """What was presented, not yet checked."""

    token: str
    from_cookie: bool


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks, and what they may see.

    ``sites`` and ``orgs`` None mean all of the tenant; otherwise those of the person's organisation and below.
    ``expires_at`` is when the credential ends (aware UTC), None for an API key without an end. ``by_key`` is the prefix
    of the API key that was presented, '' for a person's own session. ``sandbox``: their tenant is one of test data.
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
    org_id: str | None = None
    orgs: tuple[str, ...] | None = None
    scopes: frozenset[Scope] = frozenset(Scope)
    by_key: str = ""
    sandbox: bool = False

    @property
    def scope(self) -> dict[str, object]:
        """Parameters of the filter that every query carries."""
        return {"tenant_id": self.tenant_id, "sites": None if self.sites is None else list(self.sites)}

    @property
    def org_scope(self) -> dict[str, object]:
        """The same for what belongs to organisations."""
        return {"tenant_id": self.tenant_id, "orgs": None if self.orgs is None else list(self.orgs)}

    def sees_org(self, org_id: str | None) -> bool:
        """Whether what belongs to an organisation may be seen; what belongs to none is the tenant's."""
        return self.orgs is None or (org_id is not None and org_id in self.orgs)


Identify = Callable[[Connection, Credential], Principal]
"""Given by tenancy, so that the kit knows no table. Raises ApiError (401)."""


async def credential(request: Request) -> Credential:
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


async def principal(request: Request, presented: Annotated[Credential, Depends(credential)], tx: Tx) -> Principal:
    """Who asks, checked against the database, so that a disabled user or revoked key ends at once.

    From here on the transaction sees their tenant alone. A write is noted in the audit log, and stays there when it
    succeeds. Raises ApiError (401, 403, 429).
    """
    identify = cast("Identify", request.app.state.identify)
    found = identify(tx, presented)
    limits = cast("Limits", request.app.state.limits)
    # A key that is out of hand uses up its own requests, not those of the person or of the other keys.
    request.state.rate_limit = limits.take_request(f"{found.user_id} {found.by_key}")
    if found.role is Role.DEVICE and route_of(request) not in DEVICE_ROUTES:
        raise ApiError(HTTPStatus.FORBIDDEN, f"role {found.role} may not do this")
    if request.method not in SAFE_METHODS:
        if Scope.WRITE not in found.scopes:
            raise ApiError(HTTPStatus.FORBIDDEN, "the API key may only read")
        note_request(tx, request, found)
    return found


def note_request(tx: Connection, request: Request, who: Principal) -> None:
    """Add a write to the audit log: who, which route, about what."""
    note(
        tx,
        Entry(
            tenant_id=who.tenant_id,
            user_id=who.user_id,
            login=who.login,
            by_key=who.by_key,
            action=route_of(request),
            subject=dict(request.path_params),
        ),
    )


def route_of(request: Request) -> str:
    """Method and pattern of the route that a request has come to."""
    return f"{request.method} {getattr(request.scope.get('route'), 'path', request.url.path)}"


Caller = Annotated[Principal, Depends(principal)]


def require(*roles: Role) -> Callable[[Principal], Awaitable[Principal]]:
    """A dependency that lets only these roles pass. Raises ApiError (403)."""

    async def check(caller: Caller) -> Principal:
        if caller.role not in roles:
            raise ApiError(HTTPStatus.FORBIDDEN, f"role {caller.role} may not do this")
        return caller

    return check


AnyHead = Annotated[Principal, Depends(require(Role.HQ))]
"""Somebody of headquarters, of the whole tenant or of a part: for what belongs to an organisation that they see."""
Decider = Annotated[Principal, Depends(require(Role.HQ, Role.OPS, Role.DEALER, Role.STORE))]
"""Who decides what is refilled."""

ORG_BEYOND: Final = """
SELECT org_id FROM org WHERE tenant_id = %(tenant_id)s AND NOT org_id = ANY(%(orgs)s) LIMIT 1
"""


def require_whole(*roles: Role) -> Callable[[Principal, Connection], Awaitable[Principal]]:
    """A dependency that lets these roles pass, unless they are of a part of the tenant. Raises ApiError (403).

    For the people and keys of the tenant as a whole: headquarters of a region could otherwise make themselves
    headquarters of all. Whoever is of the organisation above all others is of the whole.
    """

    async def check(caller: Annotated[Principal, Depends(require(*roles))], tx: Tx) -> Principal:
        check_whole(caller, tx)
        return caller

    return check


def check_whole(caller: Principal, tx: Connection) -> None:
    """Raise ApiError (403) for who is of a part of the tenant."""
    if caller.orgs is not None and tx.execute(ORG_BEYOND, caller.org_scope).fetchone() is not None:
        raise ApiError(HTTPStatus.FORBIDDEN, "this is for people of the whole tenant")


Head = Annotated[Principal, Depends(require_whole(Role.HQ))]
"""Somebody of headquarters of the whole tenant: for what holds for all of it, such as prices, articles and periods."""
