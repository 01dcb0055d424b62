"""Which user of a tenant somebody is whom a provider of identities vouches for. Nobody is made here."""

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog

from platform_api.kit.audit import Entry, note
from platform_api.kit.db import Connection, enter_tenant
from platform_api.kit.tokens import digest
from platform_api.tenancy import oidc_queries, queries
from platform_api.tenancy.oidc import Attempt, Identity, Provider

ATTEMPT_LIFE: Final = timedelta(minutes=10)
LINKED_BY: Final = "GET /login/oidc/callback"

_log = structlog.get_logger(__name__)


def keep_attempt(tx: Connection, attempt: Attempt, now: datetime) -> None:
    """Remember an attempt until its browser comes back, of its state only the hash."""
    tx.execute(oidc_queries.DELETE_EXPIRED_ATTEMPTS, {"now": now})
    tx.execute(
        oidc_queries.INSERT_ATTEMPT,
        {
            "state_hash": digest(attempt.state),
            "nonce": attempt.nonce,
            "verifier": attempt.verifier,
            "expires_at": now + ATTEMPT_LIFE,
        },
    )


def take_attempt(tx: Connection, state: str, now: datetime) -> Attempt | None:
    """The attempt of a state, once; None when it is unknown, was taken or has expired."""
    row = tx.execute(oidc_queries.TAKE_ATTEMPT, {"state_hash": digest(state)}).fetchone()
    if row is None or row["expires_at"] <= now:
        return None
    return Attempt(state, row["nonce"], row["verifier"])


def find_user(tx: Connection, provider: Provider, identity: Identity) -> UUID | None:
    """Id of the provider's tenant's user who this is, None when there is none or they are disabled.

    By the provider's subject when it has been here before, else by a verified address that is a login of the tenant;
    the subject is theirs from then on. From here on the transaction sees the provider's tenant alone.
    """
    enter_tenant(tx, provider.tenant_id)
    who = {"tenant_id": provider.tenant_id, "issuer": provider.issuer, "subject": identity.subject}
    row = tx.execute(oidc_queries.LINKED_USER, who).fetchone()
    user_id: UUID | None = _link(tx, who, identity.email) if row is None else row["user_id"]
    if user_id is None:
        return None
    # Disabled people are not found; the tenant is the provider's, since row security let nobody else through.
    found = tx.execute(queries.IDENTITY, {"user_id": user_id, "login": None}).fetchone()
    return None if found is None else user_id


def _link(tx: Connection, who: dict[str, str], email: str) -> UUID | None:
    found = tx.execute(oidc_queries.USERS_BY_EMAIL, {**who, "email": email}).fetchall() if email else []
    if len(found) != 1:
        return None
    (user,) = found
    if tx.execute(oidc_queries.LINK, {**who, "user_id": user["user_id"]}).fetchone() is None:
        _log.warning("oidc_user_linked_to_another", login=user["login"], issuer=who["issuer"])
        return None
    user_id: UUID = user["user_id"]
    note(
        tx,
        Entry(
            tenant_id=who["tenant_id"],
            user_id=user_id,
            login=user["login"],
            by_key="",
            action=LINKED_BY,
            subject={"issuer": who["issuer"], "subject": who["subject"]},
        ),
    )
    return user_id
