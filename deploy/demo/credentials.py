"""The credentials of the demo's gateways: claimed as a real one claims its own, and kept in the state directory."""

import hashlib
from pathlib import Path
from typing import Any

import msgspec
import psycopg

from deploy.demo import market
from deploy.local.state import write_private
from platform_api.devices import service


def ensure_credentials(connection: psycopg.Connection[Any], file: Path) -> dict[str, str]:
    """The secret of each gateway, by its id; those that the database does not know are claimed anew.

    A gateway that somebody has revoked is left out.
    """
    known = msgspec.json.decode(file.read_bytes(), type=dict[str, str]) if file.exists() else {}
    secrets: dict[str, str] = {}
    for store in market.STORES:
        secret = known.get(store.gateway, "")
        if not service.is_current(connection, tenant_id=market.TENANT, gateway=store.gateway, secret=secret):
            secret = _claim(connection, store.gateway)
        if secret:
            secrets[store.gateway] = secret
    write_private(file, msgspec.json.format(msgspec.json.encode(secrets), indent=1).decode())
    return secrets


def _claim(connection: psycopg.Connection[Any], gateway: str) -> str:
    try:
        made = service.invite(connection, tenant_id=market.TENANT, gateway=gateway)
    except service.RevokedGatewayError:
        return ""
    machine = hashlib.sha256(f"demo {gateway}".encode()).hexdigest()
    issued = service.redeem(connection, code=made.code, machine=machine)
    assert issued is not None, "the code was made in this transaction"
    return issued.secret
