"""Makes the sandbox of a tenant, and lets it begin anew (docs/decisions/0020-a-sandbox-is-a-tenant.md).

For commands: the connection is the owner's, since the API can neither make tenants nor delete what only grows.
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import psycopg
from psycopg import sql

from contracts.errors import UserError
from platform_api.catalogue import queries as catalogue
from platform_api.catalogue import service as prices
from platform_api.flows import sandbox_data
from platform_api.flows.importing import import_file
from platform_api.kit.auth import Role
from platform_api.kit.db import Connection
from platform_api.tenancy import service as tenancy

SUFFIX: Final = "-sandbox"
TRIES_MAX: Final = 20
"""A worker that goes about what a reset deletes may lock it in another order: the reset gives way, and begins again."""
STAYS: Final = frozenset(
    {
        # Whose it is, who may come, and what they have done.
        *("tenant", "tenant_quota", "api_key", "oidc_identity", "audit_log"),
        # What gateways have told and been told of: the promise to them holds here too, and verify proves it.
        *("series", "ingest_watermark", "ingest_batch", "ingest_digest", "ingest_gap", "ingest_late", "clock_anchor"),
        *("unsynced_frame", "quarantine", "backfill"),
    }
)
"""Tables that a reset leaves alone."""
GOES: Final = {"app_user": "org_id IS NOT NULL", "webhook": "org_id IS NOT NULL", "location": "site_id IS NOT NULL"}
"""What goes of tables of which not all goes: people and subscriptions of the whole tenant stay, with their keys."""

OF_TENANT: Final = "SELECT name, sandbox_of FROM tenant WHERE tenant_id = %(tenant_id)s FOR UPDATE"
# One reset at a time; what others add to the tenant meanwhile refers to it, and need not wait.
SANDBOX: Final = "SELECT tenant_id FROM tenant WHERE sandbox_of = %(of)s FOR NO KEY UPDATE"
MARK: Final = "UPDATE tenant SET sandbox_of = %(of)s WHERE tenant_id = %(tenant_id)s"
TABLES: Final = """
SELECT c.relname AS name, a.attname AS tenant FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname IN ('tenant_id', 'tenant') AND NOT a.attisdropped
WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND NOT c.relispartition
ORDER BY c.relname
"""
TAXED: Final = """
UPDATE sku SET tax_basis_points = %(tax)s, by_lot = sku = %(by_lot)s WHERE tenant_id = %(tenant_id)s
"""
CARRIER: Final = """
INSERT INTO carrier (tenant_id, carrier_id, kind, name) VALUES (%(tenant_id)s, 'van', 'simulated', 'Own van')
"""
POSITIONS: Final = """
INSERT INTO shelf_position (tenant_id, gateway_id, slot_id, site_id, sku, on_shelf, as_of)
SELECT tenant_id, gateway_id, slot_id, site_id, sku, 8, %(now)s FROM slot WHERE tenant_id = %(tenant_id)s
"""
ANOMALIES: Final = """
INSERT INTO anomaly (anomaly_id, tenant_id, site_id, gateway_id, kind, place_kind, place, start_at, detected_at,
                     severity, score, evidence)
SELECT gen_random_uuid(), tenant_id, site_id, gateway_id, 'stuck_sensor', 'slot', gateway_id || '/' || slot_id,
       %(now)s - interval '10 minutes', %(now)s, 0.7, 0.99, '{"run_length": 600}'
FROM slot WHERE tenant_id = %(tenant_id)s
"""
PROPOSALS: Final = """
INSERT INTO proposal (proposal_id, tenant_id, site_id, sku, cycle, units, evidence, triggered_at)
SELECT gen_random_uuid(), tenant_id, site_id, sku, 1, 16,
       '{"on_shelf": 8, "on_order": 0, "reorder_point": 8, "target": 24}', %(now)s
FROM slot WHERE tenant_id = %(tenant_id)s
"""


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A sandbox: its tenant, whose it is, who may do everything there, and a key of theirs that is shown this once."""

    tenant: str
    of: str
    login: str
    key: str


def make(tx: Connection, of: str) -> Sandbox:
    """Make the sandbox of a tenant. Raises UserError when there is no such tenant, or it has one already."""
    found = tx.execute(OF_TENANT, {"tenant_id": of}).fetchone()
    if found is None or found["sandbox_of"] is not None:
        raise UserError(f"there is no tenant {of!r}" if found is None else f"{of!r} is a sandbox itself")
    tenant = f"{of}{SUFFIX}"
    if tx.execute(OF_TENANT, {"tenant_id": tenant}).fetchone() is not None:
        raise UserError(f"there is a tenant {tenant!r} already", "let a sandbox begin anew with --reset")
    tenancy.create_tenant(tx, tenant, f"{found['name']} (sandbox)")
    tx.execute(MARK, {"tenant_id": tenant, "of": of})
    login = f"hq@{tenant}"
    tenancy.create_user(tx, tenant_id=tenant, login=login, password=None, role=Role.HQ, name="Sandbox")
    _fill(tx, tenant)
    return Sandbox(tenant, of, login, tenancy.create_api_key(tx, login=login, name="sandbox"))


def reset(tx: Connection, of: str) -> str:
    """Let the sandbox of a tenant begin anew, and return its tenant. Raises UserError when there is none.

    People of the whole sandbox, their keys and their subscriptions stay. ``tx`` is in no transaction; workers go on.
    """
    for _ in range(TRIES_MAX - 1):
        with suppress(psycopg.errors.DeadlockDetected):
            return _reset(tx, of)
    return _reset(tx, of)


def _reset(tx: Connection, of: str) -> str:
    with tx.transaction():
        found = tx.execute(SANDBOX, {"of": of}).fetchone()
        if found is None:
            raise UserError(f"{of!r} has no sandbox", "make one without --reset")
        tenant: str = found["tenant_id"]
        # A second time finds what a worker was about to add that had begun before: nobody touches what is deleted.
        while _clear(tx, tenant):
            pass
        _fill(tx, tenant)
        return tenant


def _clear(tx: Connection, tenant: str) -> int:
    """Delete what does not stay: each table when nothing refers to its rows any more; returns how many rows went."""
    waiting = {row["name"]: row["tenant"] for row in tx.execute(TABLES) if row["name"] not in STAYS}
    deleted = 0
    while waiting:
        gone = {name: _delete(tx, name, column, tenant) for name, column in waiting.items()}
        assert any(rows is not None for rows in gone.values()), f"{sorted(waiting)} refer to each other"
        deleted += sum(rows or 0 for rows in gone.values())
        waiting = {name: column for name, column in waiting.items() if gone[name] is None}
    return deleted


def _delete(tx: Connection, table: str, column: str, tenant: str) -> int | None:
    """How many rows went, None when something refers to them."""
    query = sql.SQL("DELETE FROM {} WHERE {} = {} AND {}").format(
        sql.Identifier(table), sql.Identifier(column), sql.Literal(tenant), sql.SQL(GOES.get(table, "true"))
    )
    try:
        with tx.transaction():
            return tx.execute(query).rowcount
    except psycopg.errors.ForeignKeyViolation:
        return None


def _fill(tx: Connection, tenant: str) -> None:
    """Bring in what a sandbox begins with."""
    for kind, content in sandbox_data.tables(tenant).items():
        outcome = import_file(tx, kind, content, tenant=tenant)
        assert not outcome.faults, outcome
    place = {"tenant_id": tenant}
    tx.execute(TAXED, {**place, "tax": sandbox_data.TAX_BASIS_POINTS, "by_lot": sandbox_data.BY_LOT})
    tx.execute(CARRIER, place)
    tx.execute(catalogue.LOCK_PUBLICATION, place)
    ties = prices.publish(tx, {**place, "list_id": sandbox_data.PRICES})
    assert not ties, ties
    for query in (POSITIONS, ANOMALIES, PROPOSALS):
        tx.execute(query, {**place, "now": datetime.now(UTC)})
