"""The database itself keeps tenants apart, whatever a query forgets."""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row

from platform_api.kit.db import SESSION_OPTIONS, Connection, enter_tenant
from tests.integration.api.world import World

TABLES = """
SELECT c.relname, a.attname AS tenant, c.relrowsecurity AND c.relforcerowsecurity AS secured
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname IN ('tenant_id', 'tenant')
WHERE NOT a.attisdropped AND c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
  AND NOT c.relispartition
ORDER BY 1
"""


@pytest.fixture
def world(shared_world: World) -> World:
    """Nothing is changed here: every transaction is rolled back."""
    return shared_world


@pytest.fixture
def api(world: World) -> Iterator[Connection]:
    """A connection as the API has it, in a transaction that ends in nothing."""
    with psycopg.connect(world.dsn, options=SESSION_OPTIONS, row_factory=dict_row) as connection:
        yield connection
        connection.rollback()


def tables(connection: Connection) -> dict[str, bool]:
    return {row["relname"]: row["secured"] for row in connection.execute(TABLES)}


def test_each_table_of_tenants_has_row_security_forced(api: Connection) -> None:
    found = tables(api)
    assert len(found) > 25
    assert [name for name, secured in found.items() if not secured] == []


def test_the_api_owns_nothing_and_cannot_step_around_row_security(api: Connection) -> None:
    row = api.execute(
        """SELECT current_user AS name, rolsuper, rolbypassrls, rolcanlogin,
                  (SELECT count(*) FROM pg_class WHERE relowner = r.oid) AS owned
           FROM pg_roles r WHERE rolname = current_user"""
    ).fetchone()
    assert row == {"name": "shelfpulse_api", "rolsuper": False, "rolbypassrls": False, "rolcanlogin": False, "owned": 0}


def test_a_transaction_that_has_named_no_tenant_sees_no_row_of_any(api: Connection) -> None:
    for name in readable(api):
        assert count(api, name) == 0, name


def test_a_transaction_sees_its_own_tenants_rows_without_any_filter_in_the_query(api: Connection) -> None:
    enter_tenant(api, "acme")
    columns = {row["relname"]: row["tenant"] for row in api.execute(TABLES)}
    for name in readable(api):
        query = sql.SQL("SELECT DISTINCT {} AS tenant FROM {}")
        rows = api.execute(query.format(sql.Identifier(columns[name]), sql.Identifier(name))).fetchall()
        assert rows in ([], [{"tenant": "acme"}]), name
    assert count(api, "site") == 2


def test_the_tenant_is_forgotten_when_the_transaction_ends(api: Connection) -> None:
    enter_tenant(api, "acme")
    assert count(api, "site") == 2
    api.rollback()
    assert count(api, "site") == 0


def test_another_tenants_rows_can_be_neither_written_nor_changed(api: Connection) -> None:
    enter_tenant(api, "acme")
    assert api.execute("UPDATE site SET name = 'stolen' WHERE tenant_id = 'bravo'").rowcount == 0
    assert api.execute("DELETE FROM proposal WHERE tenant_id = 'bravo'").rowcount == 0
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
        api.execute("INSERT INTO site (tenant_id, site_id, name) VALUES ('bravo', 'ours', 'ours')")


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT password_hash FROM app_user",
        "SELECT key_hash FROM api_key",
        "UPDATE audit_log SET login = 'nobody'",
        "DELETE FROM audit_log",
        "INSERT INTO tenant_quota VALUES ('acme', 'users', 1000000)",
        "INSERT INTO tenant (tenant_id, name) VALUES ('acme', 'x')",
        "INSERT INTO shelf_event SELECT * FROM shelf_event",
        "UPDATE ingest_watermark SET seq = 0",
        "UPDATE detector_state SET state = ''",
        "DROP TABLE site",
    ],
)
def test_the_api_may_not(api: Connection, statement: str) -> None:
    enter_tenant(api, "acme")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        api.execute(statement.encode())


def readable(connection: Connection) -> list[str]:
    return [name for name in tables(connection) if name not in {"app_user", "api_key"}]


def count(connection: Connection, table: str) -> int:
    row = connection.execute(sql.SQL("SELECT count(*) AS n FROM {}").format(sql.Identifier(table))).fetchone()
    assert row is not None
    return int(row["n"])
