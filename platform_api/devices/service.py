"""Invites gateways, gives them their credentials, and takes them away.

Everything takes the caller's connection: nothing here begins or ends a transaction. Used by the API, by the command
line and by the demo. The broker's access list follows by NOTIFY (``shelfpulse access run``), and so does the stream.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import psycopg
import structlog
from psycopg.rows import dict_row

from platform_api.devices import remote_queries as queries
from platform_api.devices.rules import CLAIM_LIFE_S, Verdict, judge_claim
from platform_api.devices.secrets import code_digest, hash_secret, is_secret_of, new_code, new_secret
from platform_api.kit.db import enter_tenant

_log = structlog.get_logger(__name__)

Row = Mapping[str, Any]
AnyConnection = psycopg.Connection[Any]
EVERY_SITE: Final = None


class UnknownGatewayError(LookupError):
    """The tenant has no such gateway at the sites that the caller sees."""


class RevokedGatewayError(RuntimeError):
    """The gateway is revoked; it must be reinstated before it can be invited."""


@dataclass(frozen=True, slots=True)
class Invitation:
    """A claim with its code, which can be read only now."""

    claim_id: UUID
    code: str
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Issued:
    """Who a gateway is, and its secret, which can be read only now."""

    tenant: str
    site: str
    gateway: str
    secret: str


def invite(  # keyword-only, one a column
    connection: AnyConnection,
    *,
    tenant_id: str,
    gateway: str,
    life_s: int = CLAIM_LIFE_S,
    user_id: UUID | None = None,
    sites: list[str] | None = EVERY_SITE,
) -> Invitation:
    """Make a claim code of one use; codes of the gateway that still wait end with it.

    A credential that the gateway has goes on working until the code is redeemed: that is how a secret is rotated.
    Raises UnknownGatewayError, RevokedGatewayError.
    """
    found = _locked(connection, tenant_id, gateway, sites)
    if found["revoked_at"] is not None:
        raise RevokedGatewayError(gateway)
    now = datetime.now(UTC)
    made = Invitation(uuid4(), new_code(), now, now + timedelta(seconds=life_s))
    place = {"tenant_id": tenant_id, "gateway": gateway, "now": now}
    connection.execute(queries.END_CLAIMS, place)
    connection.execute(
        queries.INSERT_CLAIM,
        {
            **place,
            "claim_id": made.claim_id,
            "code_hash": code_digest(made.code),
            "user_id": user_id,
            "expires_at": made.expires_at,
        },
    )
    _log.info("gateway_invited", tenant=tenant_id, gateway=gateway, claim=str(made.claim_id))
    return made


def redeem(connection: AnyConnection, *, code: str, machine: str) -> Issued | None:
    """Exchange a claim code for a credential that takes the place of the one before; None when it is not good.

    ``machine`` is the SHA-256 of the machine id, in hexadecimal. Which of the reasons it was is for our log alone.
    """
    code_hash = code_digest(code)
    owner = _one(connection, queries.TENANT_OF_CODE, {"code_hash": code_hash})
    if owner is not None and owner["tenant_id"] is not None:
        enter_tenant(connection, owner["tenant_id"])
    known = _one(connection, queries.CLAIM_BY_CODE, {"code_hash": code_hash})
    if known is None:
        _log.info("claim_refused", reason="unknown")
        return None
    place = {"tenant_id": known["tenant_id"], "gateway": known["gateway_id"]}
    found = _locked(connection, known["tenant_id"], known["gateway_id"], EVERY_SITE)
    claim = _one(connection, queries.CLAIM_FOR_UPDATE, {"code_hash": code_hash})
    assert claim is not None, "claims are never deleted"
    # Read after the locks: time passes while one waits for them.
    now = datetime.now(UTC)
    verdict = judge_claim(
        expires_at=claim["expires_at"],
        used_at=claim["used_at"],
        used_by=claim["used_machine"],
        revoked=found["revoked_at"] is not None,
        machine=machine,
        now=now,
    )
    if verdict is not Verdict.GRANTED:
        _log.info("claim_refused", reason=str(verdict), claim=str(claim["claim_id"]), **place)
        return None
    secret = new_secret()
    connection.execute(queries.USE_CLAIM, {"claim_id": claim["claim_id"], "machine": machine, "now": now})
    connection.execute(queries.REVOKE_CREDENTIALS, {**place, "now": now})
    connection.execute(
        queries.INSERT_CREDENTIAL,
        {
            **place,
            **hash_secret(secret)._asdict(),
            "credential_id": uuid4(),
            "claim_id": claim["claim_id"],
            "machine": machine,
            "now": now,
        },
    )
    _log.info("claim_redeemed", claim=str(claim["claim_id"]), **place)
    return Issued(known["tenant_id"], found["site_id"], known["gateway_id"], secret)


def revoke(
    connection: AnyConnection, *, tenant_id: str, gateway: str, sites: list[str] | None = EVERY_SITE
) -> datetime:
    """Take a gateway's credential and its open claims, and refuse what it sends; the time since when it is so.

    Revoking again changes nothing. Raises UnknownGatewayError.
    """
    found = _locked(connection, tenant_id, gateway, sites)
    if found["revoked_at"] is not None:
        since: datetime = found["revoked_at"]
        return since
    now = datetime.now(UTC)
    place = {"tenant_id": tenant_id, "gateway": gateway, "now": now}
    connection.execute(queries.END_CLAIMS, place)
    connection.execute(queries.REVOKE_CREDENTIALS, place)
    connection.execute(queries.SET_REVOKED, {**place, "revoked_at": now})
    _log.info("gateway_revoked", tenant=tenant_id, gateway=gateway)
    return now


def reinstate(connection: AnyConnection, *, tenant_id: str, gateway: str, sites: list[str] | None = EVERY_SITE) -> None:
    """Let a revoked gateway be invited again; its old credential stays revoked. Raises UnknownGatewayError."""
    if _locked(connection, tenant_id, gateway, sites)["revoked_at"] is None:
        return
    connection.execute(queries.SET_REVOKED, {"tenant_id": tenant_id, "gateway": gateway, "revoked_at": None})
    _log.info("gateway_reinstated", tenant=tenant_id, gateway=gateway)


def is_current(connection: AnyConnection, *, tenant_id: str, gateway: str, secret: str) -> bool:
    """Whether ``secret`` is the gateway's live one."""
    live = _one(connection, queries.LIVE_CREDENTIAL, {"tenant_id": tenant_id, "gateway": gateway})
    return live is not None and is_secret_of(secret, live["pbkdf2"])


def _locked(connection: AnyConnection, tenant_id: str, gateway: str, sites: list[str] | None) -> Row:
    found = _one(connection, queries.LOCK_GATEWAY, {"tenant_id": tenant_id, "gateway": gateway, "sites": sites})
    if found is None:
        raise UnknownGatewayError(gateway)
    return found


def _one(connection: AnyConnection, query: str, parameters: Mapping[str, Any]) -> Row | None:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query.encode(), parameters).fetchone()
