"""How many of a thing a tenant may have; a row of ``tenant_quota`` overrides the platform's default."""

from enum import StrEnum
from http import HTTPStatus
from typing import Final

from platform_api.kit.db import Connection
from platform_api.kit.errors import ApiError

MAXIMUM: Final = "SELECT maximum FROM tenant_quota WHERE tenant_id = %(tenant_id)s AND kind = %(kind)s"


class Quota(StrEnum):
    """Kinds of things that are counted. Stored, so names never change."""

    USERS = "users"
    API_KEYS = "api_keys"
    ORGS = "orgs"
    PRICE_LISTS = "price_lists"
    OPEN_ORDERS = "open_orders"
    WEBHOOKS = "webhooks"


DEFAULTS: Final[dict[Quota, int]] = {
    Quota.USERS: 2_000,
    Quota.API_KEYS: 200,
    Quota.ORGS: 20_000,
    Quota.PRICE_LISTS: 500,
    Quota.OPEN_ORDERS: 50_000,
    Quota.WEBHOOKS: 20,
}


def quota_of(tx: Connection, tenant_id: str, kind: Quota) -> int:
    """How many a tenant may have."""
    row = tx.execute(MAXIMUM, {"tenant_id": tenant_id, "kind": kind}).fetchone()
    return DEFAULTS[kind] if row is None else int(row["maximum"])


def check_quota(tx: Connection, tenant_id: str, kind: Quota, have: int) -> None:
    """Refuse one more than the tenant may have. Raises ApiError (403)."""
    maximum = quota_of(tx, tenant_id, kind)
    if have >= maximum:
        raise ApiError(HTTPStatus.FORBIDDEN, f"the tenant's quota of {maximum} {kind.replace('_', ' ')} is used up")
