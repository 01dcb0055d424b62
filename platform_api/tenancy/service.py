"""Makes users and keys, logs them in, and says who a credential belongs to.

Everything takes the caller's connection: nothing here begins or ends a transaction. ``create_tenant``, ``create_user``
and ``create_api_key`` are for commands and for the demo as well as for the API.
"""

import secrets
import string
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from hmac import compare_digest
from typing import Any, Final
from uuid import UUID, uuid4

import psycopg
import structlog
from psycopg.rows import DictRow, dict_row
from pwdlib import PasswordHash

from contracts.errors import UserError
from contracts.ids import is_identifier
from platform_api.kit import tokens
from platform_api.kit.auth import Credential, Identify, Principal, Role, Scope
from platform_api.kit.db import Connection
from platform_api.kit.errors import unauthenticated
from platform_api.tenancy import queries
from platform_api.tenancy.rules import REFRESH_LIFE, Verdict, is_login, judge_refresh, password_fault

_log = structlog.get_logger(__name__)
_hasher: Final = PasswordHash.recommended()
_NOBODY: Final[DictRow] = {"user_id": None}
_PREFIX_ALPHABET: Final = string.ascii_lowercase + string.digits


def create_tenant(connection: psycopg.Connection[Any], tenant_id: str, name: str) -> None:
    """Make a tenant; one that exists stays as it is. Raises UserError for a name that is no identifier."""
    if not is_identifier(tenant_id):
        msg = f"{tenant_id!r} cannot name a tenant"
        raise UserError(msg, "lower-case letters, digits, - and _, at most 32 characters")
    connection.execute(queries.INSERT_TENANT, {"tenant_id": tenant_id, "name": name})


def create_user(  # noqa: PLR0913  # keyword-only, one a column
    connection: psycopg.Connection[Any],
    *,
    tenant_id: str,
    login: str,
    password: str | None,
    role: Role | str,
    name: str = "",
    org_id: str | None = None,
    locale: str = "en",
) -> UUID:
    """Make a user who can log in, and return their id.

    ``login`` is unique over all tenants. Without a password they come by the tenant's provider of identities, where
    their login is the address that it knows, or API keys act for them. Raises UserError for a bad login, password or
    role, an unknown tenant or organisation, and a login that is taken.
    """
    if not is_login(login):
        msg = f"{login!r} cannot be a login name"
        raise UserError(msg, "2 to 64 letters, digits and . _ @ + -")
    if password is not None and (fault := password_fault(password)) is not None:
        raise UserError(fault)
    try:
        known_role = Role(role)
    except ValueError:
        msg = f"unknown role {str(role)!r}"
        raise UserError(msg, f"one of: {', '.join(Role)}") from None
    if known_role is Role.DEVICE and password is not None:
        msg = "a device has no password"
        raise UserError(msg, "make an API key that acts for it")
    if connection.execute(queries.TENANT_EXISTS, {"tenant_id": tenant_id}).fetchone() is None:
        msg = f"there is no tenant {tenant_id!r}"
        raise UserError(msg, "add --create-tenant NAME to make it")
    user_id = uuid4()
    try:
        with connection.transaction():
            connection.execute(
                queries.INSERT_USER,
                {
                    "user_id": user_id,
                    "tenant_id": tenant_id,
                    "org_id": org_id,
                    "login": login,
                    "name": name or login,
                    "role": known_role,
                    "password_hash": None if password is None else _hasher.hash(password),
                    "locale": locale,
                },
            )
    except psycopg.errors.UniqueViolation as error:
        msg = f"login {login!r} is taken"
        raise UserError(msg) from error
    except psycopg.errors.ForeignKeyViolation as error:
        msg = f"tenant {tenant_id!r} has no organisation {org_id!r}"
        raise UserError(msg) from error
    return user_id


def create_api_key(
    connection: psycopg.Connection[Any],
    *,
    login: str,
    name: str,
    expires_at: datetime | None = None,
    scopes: Collection[Scope] = tuple(Scope),
) -> str:
    """Make an API key that acts for a user, and return it: the only time that it can be read.

    Raises UserError for an unknown login.
    """
    with connection.cursor(row_factory=dict_row) as cursor:
        user = cursor.execute(queries.USER_ID_BY_LOGIN, {"login": login}).fetchone()
    if user is None:
        msg = f"there is no user {login!r}"
        raise UserError(msg)
    assert scopes
    prefix = "".join(secrets.choice(_PREFIX_ALPHABET) for _ in range(tokens.KEY_PREFIX_CHARS))
    secret = secrets.token_urlsafe(tokens.KEY_SECRET_BYTES)
    connection.execute(
        queries.INSERT_KEY,
        {
            "key_id": uuid4(),
            "tenant_id": user["tenant_id"],
            "user_id": user["user_id"],
            "prefix": prefix,
            "key_hash": tokens.digest(secret),
            "name": name,
            "expires_at": expires_at,
            "scopes": [str(scope) for scope in scopes],
        },
    )
    return tokens.format_key(prefix, secret, sandbox=user["sandbox"])


@dataclass(frozen=True, slots=True)
class Session:
    """What a page's cookies carry after a log-in or a refresh."""

    access: str
    access_expires_at: datetime
    refresh: str
    refresh_expires_at: datetime


def check_password(tx: Connection, login: str, password: str) -> UUID | None:
    """Id of the user whose login and password these are, else None."""
    row = tx.execute(queries.IDENTITY, {"user_id": None, "login": login}).fetchone() if is_login(login) else None
    if row is None or row["password_hash"] is None:
        _hasher.verify(password, _decoy_hash())
        return None
    matches, renewed = _hasher.verify_and_update(password, row["password_hash"])
    if not matches:
        return None
    user_id: UUID = row["user_id"]
    if renewed is not None:
        tx.execute(queries.REPLACE_HASH, {"user_id": user_id, "password_hash": renewed})
    return user_id


def open_session(tx: Connection, user_id: UUID, *, secret: str, now: datetime) -> Session:
    """Begin a family of refresh tokens for a user."""
    tx.execute(queries.DELETE_EXPIRED_OF_USER, {"user_id": user_id, "now": now})
    return _continue_family(tx, user_id, uuid4(), secret=secret, now=now)


def renew_session(tx: Connection, refresh: str, *, secret: str, now: datetime) -> Session | None:
    """Exchange a refresh token. None when it is unknown, expired, reused or its user disabled.

    A reused token ends its whole family; the caller must let the transaction commit in that case too.
    """
    token_hash = tokens.digest(refresh)
    row = tx.execute(queries.REFRESH_FOR_UPDATE, {"token_hash": token_hash}).fetchone()
    if row is None:
        return None
    match judge_refresh(expires_at=row["expires_at"], used_at=row["used_at"], now=now):
        case Verdict.REUSED:
            _log.warning("refresh_token_reused", user_id=str(row["user_id"]), family=str(row["family"]))
            tx.execute(queries.DELETE_FAMILY, {"family": row["family"]})
            return None
        case Verdict.EXPIRED:
            return None
        case Verdict.ROTATE:
            if tx.execute(queries.IDENTITY, {"user_id": row["user_id"], "login": None}).fetchone() is None:
                tx.execute(queries.DELETE_FAMILY, {"family": row["family"]})
                return None
            tx.execute(queries.MARK_REFRESH_USED, {"token_hash": token_hash, "now": now})
            return _continue_family(tx, row["user_id"], row["family"], secret=secret, now=now)


def close_session(tx: Connection, refresh: str) -> None:
    """End the family of a refresh token, known or not."""
    tx.execute(queries.DELETE_FAMILY_BY_MEMBER, {"token_hash": tokens.digest(refresh)})


def identify_with(secret: str) -> Identify:
    """The function that says whom a credential belongs to, for access tokens signed with ``secret``."""

    def identify(tx: Connection, credential: Credential) -> Principal:
        now = datetime.now(UTC)
        try:
            if credential.token.startswith("spk_"):
                key = tokens.read_key(credential.token)
                row = _key_owner(tx, key, now)
                expires_at, scopes, by_key = row["expires_at"], frozenset(map(Scope, row["scopes"])), key.prefix
            else:
                access = tokens.read_access(credential.token, secret=secret, now=now)
                found = tx.execute(queries.IDENTITY, {"user_id": access.user_id, "login": None}).fetchone()
                row = found or _NOBODY
                expires_at, scopes, by_key = access.expires_at, frozenset(Scope), ""
        except tokens.TokenError as error:
            raise unauthenticated(str(error)) from error
        if row["user_id"] is None:
            raise unauthenticated("the user is disabled")
        return Principal(
            user_id=row["user_id"],
            tenant_id=row["tenant_id"],
            tenant_name=row["tenant_name"],
            login=row["login"],
            name=row["name"],
            role=Role(row["role"]),
            locale=row["locale"],
            sites=None if row["sites"] is None else tuple(row["sites"]),
            expires_at=expires_at,
            org_id=row["org_id"],
            orgs=None if row["orgs"] is None else tuple(row["orgs"]),
            scopes=scopes,
            by_key=by_key,
            sandbox=row["sandbox"],
        )

    return identify


@cache
def _decoy_hash() -> str:
    """Verified when the login is unknown, so that an answer takes as long as for one that exists."""
    return _hasher.hash(secrets.token_urlsafe(16))


def _key_owner(tx: Connection, key: tokens.ApiKey, now: datetime) -> DictRow:
    """The key's row with its owner's. Raises TokenError."""
    row = tx.execute(queries.KEY_IDENTITY, {"prefix": key.prefix}).fetchone()
    is_proven = row is not None and compare_digest(bytes(row["key_hash"]), key.digest)
    # What a key is for is read in its first letters, by people and by scanners: they must be true.
    if row is None or not is_proven or row["sandbox"] is (not key.sandbox):
        msg = "API key is not valid"
        raise tokens.TokenError(msg)
    if row["revoked_at"] is not None or (row["expires_at"] is not None and row["expires_at"] <= now):
        msg = "API key has ended"
        raise tokens.TokenError(msg)
    return row


def _continue_family(tx: Connection, user_id: UUID, family: UUID, *, secret: str, now: datetime) -> Session:
    refresh = secrets.token_urlsafe(tokens.REFRESH_BYTES)
    expires_at = now + REFRESH_LIFE
    tx.execute(
        queries.INSERT_REFRESH,
        {
            "token_hash": tokens.digest(refresh),
            "family": family,
            "user_id": user_id,
            "issued_at": now,
            "expires_at": expires_at,
        },
    )
    text, access = tokens.issue_access(user_id, secret=secret, now=now)
    return Session(text, access.expires_at, refresh, expires_at)
