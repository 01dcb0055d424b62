"""/v1/orgs, /v1/users, /v1/api-keys and /v1/audit-log: a tenant's own administration."""

from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import quote
from uuid import UUID

from fastapi import Depends, Query, Response

from contracts.errors import UserError
from platform_api.kit.auth import Caller, Head, Principal, Role, Scope, require_whole
from platform_api.kit.conditions import ExpectedVersion, etag, stale
from platform_api.kit.db import Connection, Tx
from platform_api.kit.errors import (
    CHANGE_RESPONSES,
    COMMON_RESPONSES,
    NOT_FOUND_RESPONSE,
    ApiError,
    not_found,
    unprocessable,
)
from platform_api.kit.filters import OrgPath, Since, Until, bounds
from platform_api.kit.idempotency import CREATE_RESPONSES, Made, OnceOnly
from platform_api.kit.paging import Listing, Paging
from platform_api.kit.quotas import Quota, check_quota
from platform_api.kit.tokens import read_key
from platform_api.kit.work import Router
from platform_api.tenancy import admin_queries as queries
from platform_api.tenancy import oidc_queries, service
from platform_api.tenancy.admin_models import (
    ApiKeyShown,
    AuditEntry,
    MadeKey,
    NewKey,
    NewOrg,
    NewUser,
    Org,
    OrgRequest,
    User,
    UserRequest,
)
from platform_api.tenancy.rules import role_fault

router = Router(tags=["tenancy"], responses=COMMON_RESPONSES)

Row = Mapping[str, Any]
Auditor = Annotated[Principal, Depends(require_whole(Role.HQ, Role.AUDITOR))]


@router.get("/v1/orgs", summary="List organisations")
def list_orgs(caller: Caller, tx: Tx, page: Paging) -> Listing[Org]:
    """The caller's organisation and those below it, by id."""
    (after,) = page.after("orgs", tuple[str]) or (None,)
    rows = tx.execute(queries.ORGS, {**caller.org_scope, "after": after, "limit": page.limit + 1}).fetchall()
    return page.listing("orgs", rows, key=lambda row: (row["org_id"],), item=_org)


@router.get("/v1/orgs/{org}", summary="Read an organisation", responses=NOT_FOUND_RESPONSE)
def read_org(org: OrgPath, caller: Caller, tx: Tx, response: Response) -> Org:
    """One organisation."""
    row = tx.execute(queries.ORG, {**caller.org_scope, "org_id": org}).fetchone()
    if row is None:
        raise not_found("organisation")
    response.headers["ETag"] = etag(row["version"])
    return _org(row)


@router.post("/v1/orgs", summary="Add an organisation", status_code=201, responses=CREATE_RESPONSES, response_model=Org)
def create_org(body: NewOrg, caller: Head, tx: Tx, once: OnceOnly) -> Response:
    """A new organisation, below its parent."""
    return once.answer(body, lambda: _create_org(tx, caller, body))


@router.put("/v1/orgs/{org}", summary="Change or move an organisation", responses=CHANGE_RESPONSES)
def update_org(
    org: OrgPath, body: OrgRequest, caller: Head, version: ExpectedVersion, tx: Tx, response: Response
) -> Org:
    """The organisation as it shall be. It cannot be moved below itself."""
    place = {"tenant_id": caller.tenant_id, "org_id": org}
    tx.execute(queries.LOCK_TREE, place)
    row = tx.execute(queries.ORG_FOR_UPDATE, place).fetchone()
    if row is None:
        raise not_found("organisation")
    if row["version"] != version:
        raise stale("organisation")
    if body.parent is not None:
        _require_org(tx, caller, body.parent)
        ring = tx.execute(queries.IS_BELOW, {**place, "org_id": body.parent, "root": org}).fetchone()
        assert ring is not None
        if ring["below"]:
            raise unprocessable("body.parent", "an organisation cannot stand below itself")
    tx.execute(queries.UPDATE_ORG, {**place, **body.model_dump(), "version": version})
    response.headers["ETag"] = etag(version + 1)
    return Org(id=org, version=version + 1, **body.model_dump())


@router.get("/v1/users", summary="List users")
def list_users(caller: Auditor, tx: Tx, page: Paging) -> Listing[User]:
    """Everybody who can log in, by login name."""
    (after,) = page.after("users", tuple[str]) or (None,)
    rows = tx.execute(
        queries.USERS, {"tenant_id": caller.tenant_id, "after": after, "limit": page.limit + 1}
    ).fetchall()
    return page.listing("users", rows, key=lambda row: (row["login"],), item=_user)


@router.get("/v1/users/{user_id}", summary="Read a user", responses=NOT_FOUND_RESPONSE)
def read_user(user_id: UUID, caller: Auditor, tx: Tx, response: Response) -> User:
    """One user."""
    return _answer(_one_user(tx, queries.USER, caller, user_id), response)


@router.post("/v1/users", summary="Add a user", status_code=201, responses=CREATE_RESPONSES, response_model=User)
def create_user(body: NewUser, caller: Head, tx: Tx, once: OnceOnly) -> Response:
    """Somebody who can log in from now on."""
    return once.answer(body, lambda: _create_user(tx, caller, body))


@router.put("/v1/users/{user_id}", summary="Change or disable a user", responses=CHANGE_RESPONSES)
def update_user(
    user_id: UUID, body: UserRequest, caller: Head, version: ExpectedVersion, tx: Tx, response: Response
) -> User:
    """The user as they shall be; a disabled one is out at once. Somebody of headquarters always remains."""
    place = {"tenant_id": caller.tenant_id, "user_id": user_id}
    tx.execute(queries.LOCK_HEADS, place)
    row = _one_user(tx, queries.USER_FOR_UPDATE, caller, user_id)
    if row["version"] != version:
        raise stale("user")
    _check_role(tx, caller, body.role, body.org)
    if body.role is Role.DEVICE:
        # Nobody logs in as one: the ways in that a person has end.
        tx.execute(queries.FORGET_HASH, place)
        tx.execute(oidc_queries.UNLINK, place)
    tx.execute(queries.UPDATE_USER, {**place, **body.model_dump(), "version": version})
    if not tx.execute(queries.HEADS, place).fetchall():
        raise ApiError(HTTPStatus.CONFLICT, "this is the last person of headquarters")
    if body.disabled or body.role is Role.DEVICE:
        tx.execute(queries.END_SESSIONS, place)
    return _answer(_one_user(tx, queries.USER, caller, user_id), response)


@router.post("/v1/users/{user_id}:unlink", summary="Forget whom a provider means", responses=NOT_FOUND_RESPONSE)
def unlink_user(user_id: UUID, caller: Head, tx: Tx, response: Response) -> User:
    """Forget which identity of a provider the user is; their address decides again, and their sessions end.

    For an address that was given to somebody else. Doing it again changes nothing, so there is no version to name.
    """
    row = _one_user(tx, queries.USER_FOR_UPDATE, caller, user_id)
    place = {"tenant_id": caller.tenant_id, "user_id": user_id}
    tx.execute(oidc_queries.UNLINK, place)
    tx.execute(queries.END_SESSIONS, place)
    return _answer(row, response)


@router.get("/v1/api-keys", summary="List API keys")
def list_keys(caller: Auditor, tx: Tx, page: Paging) -> Listing[ApiKeyShown]:
    """API keys without their secrets, the newest first."""
    created_at, key_id = page.after("api-keys", tuple[datetime, UUID]) or (None, None)
    rows = tx.execute(
        queries.KEYS,
        {"tenant_id": caller.tenant_id, "after_at": created_at, "after_id": key_id, "limit": page.limit + 1},
    ).fetchall()
    return page.listing("api-keys", rows, key=lambda row: (row["created_at"], row["key_id"]), item=_key)


@router.post("/v1/api-keys", summary="Make an API key", status_code=201, responses=NOT_FOUND_RESPONSE)
def create_key(body: NewKey, caller: Head, tx: Tx) -> MadeKey:
    """A key that acts for a user of the tenant. It is shown this once, so that a repetition makes another one."""
    check_quota(tx, caller.tenant_id, Quota.API_KEYS, _count(tx, queries.COUNT_KEYS, caller))
    if tx.execute(queries.LOGIN_EXISTS, {"tenant_id": caller.tenant_id, "login": body.login}).fetchone() is None:
        raise not_found("user")
    key = service.create_api_key(
        tx, login=body.login, name=body.name, expires_at=body.expires, scopes=frozenset(map(Scope, body.scopes))
    )
    return MadeKey(key=key, prefix=read_key(key).prefix)


@router.post("/v1/api-keys/{key_id}:revoke", summary="Revoke an API key", responses=NOT_FOUND_RESPONSE)
def revoke_key(key_id: UUID, caller: Head, tx: Tx) -> ApiKeyShown:
    """The key ends now. Revoking again changes nothing, so there is no version to name."""
    place = {"tenant_id": caller.tenant_id, "key_id": key_id}
    tx.execute(queries.REVOKE_KEY, {**place, "now": datetime.now(UTC)})
    row = tx.execute(queries.KEY, place).fetchone()
    if row is None:
        raise not_found("API key")
    return _key(row)


@router.get("/v1/audit-log", summary="Read who changed what")
def list_audit(
    caller: Auditor,
    tx: Tx,
    page: Paging,
    login: Annotated[str | None, Query(max_length=64)] = None,
    since: Since = None,
    until: Until = None,
) -> Listing[AuditEntry]:
    """Every write that succeeded, the newest first."""
    (after,) = page.after("audit-log", tuple[int]) or (None,)
    rows = tx.execute(
        queries.AUDIT,
        {
            "tenant_id": caller.tenant_id,
            **bounds(since, until),
            "login": login,
            "after": after,
            "limit": page.limit + 1,
        },
    ).fetchall()
    return page.listing(
        "audit-log",
        rows,
        key=lambda row: (row["audit_id"],),
        item=lambda row: AuditEntry(
            id=row["audit_id"], **{name: row[name] for name in ("at", "login", "by_key", "action", "subject", "detail")}
        ),
    )


def _create_org(tx: Connection, caller: Principal, body: NewOrg) -> Made:
    check_quota(tx, caller.tenant_id, Quota.ORGS, _count(tx, queries.COUNT_ORGS, caller))
    if body.parent is not None:
        _require_org(tx, caller, body.parent)
    values = {"tenant_id": caller.tenant_id, "org_id": body.id, **body.model_dump(exclude={"id"})}
    if tx.execute(queries.INSERT_ORG, values).fetchone() is None:
        raise ApiError(HTTPStatus.CONFLICT, f"there is an organisation {body.id} already")
    return Org(version=1, **body.model_dump()), {"Location": f"/v1/orgs/{quote(body.id)}", "ETag": etag(1)}


def _create_user(tx: Connection, caller: Principal, body: NewUser) -> Made:
    check_quota(tx, caller.tenant_id, Quota.USERS, _count(tx, queries.COUNT_USERS, caller))
    _check_role(tx, caller, body.role, body.org)
    if body.role is Role.DEVICE and body.password is not None:
        raise unprocessable("body.password", "a device has no password: make an API key that acts for it")
    try:
        user_id = service.create_user(
            tx,
            tenant_id=caller.tenant_id,
            login=body.login,
            password=None if body.password is None else body.password.get_secret_value(),
            role=body.role,
            name=body.name,
            org_id=body.org,
            locale=body.locale,
        )
    except UserError as error:
        raise ApiError(HTTPStatus.CONFLICT, error.message) from error
    return _user(_one_user(tx, queries.USER, caller, user_id)), {"Location": f"/v1/users/{user_id}", "ETag": etag(1)}


def _check_role(tx: Connection, caller: Principal, role: Role, org: str | None) -> None:
    if (fault := role_fault(role, has_org=org is not None)) is not None:
        raise unprocessable("body.org", fault)
    if org is not None:
        _require_org(tx, caller, org)


def _require_org(tx: Connection, caller: Principal, org: str) -> None:
    if tx.execute(queries.ORG, {"tenant_id": caller.tenant_id, "orgs": None, "org_id": org}).fetchone() is None:
        raise unprocessable("body", f"there is no organisation {org!r}")


def _count(tx: Connection, query: str, caller: Principal) -> int:
    row = tx.execute(query, {"tenant_id": caller.tenant_id}).fetchone()
    assert row is not None
    return int(row["n"])


def _one_user(tx: Connection, query: str, caller: Principal, user_id: UUID) -> Row:
    row = tx.execute(query, {"tenant_id": caller.tenant_id, "user_id": user_id}).fetchone()
    if row is None:
        raise not_found("user")
    return row


def _answer(row: Row, response: Response) -> User:
    response.headers["ETag"] = etag(row["version"])
    return _user(row)


def _org(row: Row) -> Org:
    same = {name: row[name] for name in ("kind", "name", "segment", "version")}
    return Org(id=row["org_id"], parent=row["parent_id"], **same)


def _user(row: Row) -> User:
    same = {name: row[name] for name in ("login", "name", "role", "locale", "disabled", "version")}
    return User(id=row["user_id"], org=row["org_id"], created=row["created_at"], **same)


def _key(row: Row) -> ApiKeyShown:
    return ApiKeyShown(
        id=row["key_id"],
        created=row["created_at"],
        expires=row["expires_at"],
        revoked=row["revoked_at"],
        **{name: row[name] for name in ("prefix", "login", "name", "scopes")},
    )
