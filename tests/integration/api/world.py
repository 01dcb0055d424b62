"""Two tenants with one of everything, for the tests of the API and of its pages.

``acme`` has two sites and three people; ``bravo`` has the same names for its own things, so that only the tenant
tells them apart.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final, LiteralString
from uuid import UUID, uuid4

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb
from pwdlib import PasswordHash

from contracts.facts import LIVE_CHANNEL
from platform_api.tenancy import service
from stream import storage

SECRET: Final = "a secret of at least thirty-two characters"
PASSWORD: Final = "correct horse battery"
READINGS: Final = 600
UNIT_G: Final = 520.0


@dataclass(frozen=True)
class Tenant:
    """Ids of what a tenant has at its first site."""

    name: str
    ops: str
    key: str
    series: int
    anomaly: UUID
    proposal: UUID
    end: datetime
    """Time after the last reading."""
    gateway: str
    """A gateway with a name that no other tenant has …"""
    command: str
    """… and one of its commands."""
    names: dict[str, str]
    """What names a thing of this tenant, and of no other, in each parameter of a path."""


@dataclass(frozen=True)
class World:
    """A seeded database."""

    dsn: str
    acme: Tenant
    bravo: Tenant


def seed(dsn: str) -> World:
    """Fill a migrated database."""
    now = datetime.now(UTC).replace(microsecond=0)
    with psycopg.connect(dsn, autocommit=True) as connection:
        tier = storage.probe_tier(connection)
        storage.ensure_partitions(connection, tier, now - timedelta(days=1), now + timedelta(days=1))
    with psycopg.connect(dsn) as connection:
        return World(dsn, _tenant(connection, "acme", now), _tenant(connection, "bravo", now))


def _tenant(connection: psycopg.Connection, tenant: str, now: datetime) -> Tenant:
    service.create_tenant(connection, tenant, tenant.title())
    for unit, kind in (("brand", "brand"), ("east", "dealer"), ("west", "dealer")):
        parent = None if unit == "brand" else "brand"
        connection.execute("INSERT INTO org VALUES (%s, %s, %s, %s, %s)", (tenant, unit, parent, kind, unit.title()))
    service.create_user(connection, tenant_id=tenant, login=f"ops@{tenant}", password=None, role="ops")
    connection.execute("UPDATE app_user SET password_hash = %s WHERE login = %s", (_password_hash(), f"ops@{tenant}"))
    others: tuple[tuple[str, str, str | None], ...] = (
        ("hq", "hq", None),
        ("audit", "auditor", None),
        ("dealer", "dealer", "east"),
        ("rep", "rep", "east"),
        ("store", "store", "east"),
    )
    for login, role, org in others:
        connection.execute(
            """INSERT INTO app_user (user_id, tenant_id, org_id, login, name, role, password_hash)
               SELECT %s, tenant_id, %s, %s, %s, %s, password_hash FROM app_user WHERE login = %s""",
            (uuid4(), org, f"{login}@{tenant}", login, role, f"ops@{tenant}"),
        )
    connection.execute(
        "INSERT INTO sku (tenant_id, sku, name_zh, name_en, unit_weight_g) VALUES (%s, 'tea', '绿茶', 'Green tea', %s)",
        (tenant, UNIT_G),
    )
    series = anomaly = proposal = None
    for site, dealer in (("east-1", "east"), ("west-1", "west")):
        found = _site(connection, tenant, site, dealer, now)
        if site == "east-1":
            series, anomaly, proposal = found
    assert series is not None
    assert anomaly is not None
    assert proposal is not None
    service.create_user(
        connection, tenant_id=tenant, login=f"device@{tenant}", password=None, role="device", org_id="east"
    )
    key = service.create_api_key(connection, login=f"ops@{tenant}", name="test")
    gateway, command = f"gw-{tenant}", f"command-{tenant}"
    connection.execute(
        "INSERT INTO gateway (tenant_id, gateway_id, site_id) VALUES (%s, %s, 'west-1')", (tenant, gateway)
    )
    connection.execute(
        """INSERT INTO command (command_id, tenant_id, gateway_id, kind, state, expires_at)
           VALUES (%s, %s, %s, 'identify', 'done', %s)""",
        (command, tenant, gateway, now),
    )
    org = f"only-{tenant}"
    connection.execute("INSERT INTO org VALUES (%s, %s, 'brand', 'region', %s)", (tenant, org, org))
    connection.execute(
        "INSERT INTO sku (tenant_id, sku, name_en, unit_weight_g) VALUES (%s, %s, 'Only', 100)",
        (tenant, f"sku-{tenant}"),
    )
    connection.execute(
        "INSERT INTO price_list (tenant_id, list_id, name, level, currency) VALUES (%s, %s, 'Only', 'default', 'CNY')",
        (tenant, f"list-{tenant}"),
    )
    count = uuid4()
    connection.execute(
        "INSERT INTO stock_count (tenant_id, count_id, location_id) VALUES (%s, %s, 'west-1')", (tenant, count)
    )
    order, shipment = uuid4(), uuid4()
    connection.execute(
        """INSERT INTO sales_order (tenant_id, order_id, org_id, ship_from, ship_to, currency)
           VALUES (%s, %s, 'west', 'west-1', 'west-1', 'CNY')""",
        (tenant, order),
    )
    connection.execute("INSERT INTO carrier VALUES (%s, 'van', 'simulated', 'Our van')", (tenant,))
    connection.execute(
        """INSERT INTO shipment (tenant_id, shipment_id, order_id, org_id, ship_from, ship_to, carrier_id, tracking_no)
           VALUES (%s, %s, %s, 'west', 'west-1', 'west-1', 'van', 'first')""",
        (tenant, shipment, order),
    )
    back = uuid4()
    connection.execute(
        """INSERT INTO order_return (tenant_id, return_id, order_id, org_id, reason)
           VALUES (%s, %s, %s, 'west', 'crushed')""",
        (tenant, back, order),
    )
    webhook = uuid4()
    connection.execute(
        """INSERT INTO webhook (tenant_id, webhook_id, url, events, secret)
           VALUES (%s, %s, 'https://erp.example.com/', '{count.cancelled}', 'whsec_eHh4')""",
        (tenant, webhook),
    )
    refill = uuid4()
    connection.execute(
        """INSERT INTO refill_task (tenant_id, refill_id, site_id, sku, units, source, source_id, since, state)
           VALUES (%s, %s, 'west-1', 'tea', 4, 'shipment', %s, %s, 'done')""",
        (tenant, refill, shipment, now),
    )
    asked = uuid4()
    connection.execute(
        """INSERT INTO transfer_request (tenant_id, transfer_id, origin, destination)
           VALUES (%s, %s, 'west-1', 'west-1.shelf')""",
        (tenant, asked),
    )
    connection.execute("INSERT INTO transfer_request_line VALUES (%s, %s, 'tea', 4)", (tenant, asked))
    batch = uuid4()
    connection.execute(
        "INSERT INTO import_batch (tenant_id, import_id, kind, state, rows) VALUES (%s, %s, 'skus', 'staged', 1)",
        (tenant, batch),
    )
    names = {
        "refill_id": str(refill),
        "import_id": str(batch),
        "transfer_id": str(asked),
        "return_id": str(back),
        "webhook_id": str(webhook),
        "site": "west-1",
        "destination": f"only-{tenant}-store",
        "order_id": str(order),
        "shipment_id": str(shipment),
        "count_id": str(count),
        "sku": f"sku-{tenant}",
        "list_id": f"list-{tenant}",
        "anomaly_id": str(anomaly),
        "proposal_id": str(proposal),
        "gateway": gateway,
        "slot": "s01-b1",
        "command": command,
        "org": org,
        "user_id": _scalar(connection, "SELECT user_id FROM app_user WHERE login = %s", f"ops@{tenant}"),
        "key_id": _scalar(connection, "SELECT key_id FROM api_key WHERE tenant_id = %s", tenant),
    }
    return Tenant(tenant, f"ops@{tenant}", key, series, anomaly, proposal, now, gateway, command, names)


@cache
def _password_hash() -> str:
    """Shared by all people of all worlds: making one takes time by design."""
    return PasswordHash.recommended().hash(PASSWORD)


def _scalar(connection: psycopg.Connection, query: LiteralString, value: str) -> str:
    row = connection.execute(query, (value,)).fetchone()
    assert row is not None
    return str(row[0])


def _site(connection: psycopg.Connection, tenant: str, site: str, org: str, now: datetime) -> tuple[int, UUID, UUID]:
    gateway, slot = f"gw-{site}", "s01-b1"
    place = {"tenant": tenant, "site": site, "gateway": gateway, "slot": slot, "org": org, "now": now}
    for statement in (
        "INSERT INTO site (tenant_id, site_id, org_id, name) VALUES (%(tenant)s, %(site)s, %(org)s, %(site)s)",
        "INSERT INTO gateway (tenant_id, gateway_id, site_id) VALUES (%(tenant)s, %(gateway)s, %(site)s)",
        """INSERT INTO gateway_presence (tenant_id, gateway_id, state, since)
           VALUES (%(tenant)s, %(gateway)s, 'online', %(now)s)""",
        """INSERT INTO device (tenant_id, gateway_id, device_id, profile)
           VALUES (%(tenant)s, %(gateway)s, %(slot)s, 'loadcell_shelf')""",
        """INSERT INTO slot (tenant_id, gateway_id, slot_id, site_id, channel, sku, unit_weight_g, capacity)
           VALUES (%(tenant)s, %(gateway)s, %(slot)s, %(site)s, 's01-b1.weight_g', 'tea', 520, 24)""",
        """INSERT INTO stock_policy (tenant_id, site_id, sku, reorder_point, target)
           VALUES (%(tenant)s, %(site)s, 'tea', 8, 24)""",
        """INSERT INTO shelf_position (tenant_id, gateway_id, slot_id, site_id, sku, on_shelf, as_of)
           VALUES (%(tenant)s, %(gateway)s, %(slot)s, %(site)s, 'tea', 12, %(now)s)""",
        """INSERT INTO demand_forecast (tenant_id, site_id, sku, version, day, method, mean, q50, q80, q95)
           VALUES (%(tenant)s, %(site)s, 'tea', '2026-01-05', '2026-01-06', 'smooth', 3, 3, 4, 6)""",
        """INSERT INTO channel_setting (tenant_id, gateway_id, channel, class, interval_s)
           VALUES (%(tenant)s, %(gateway)s, 's01-b1.weight_g', 'scale', 1)""",
        """INSERT INTO promotion_plan (tenant_id, site_id, sku, first_day, last_day)
           VALUES (%(tenant)s, %(site)s, 'tea', '2020-01-06', '2020-01-12')""",
        """INSERT INTO forecast_accuracy (tenant_id, site_id, sku, version, method, chosen, days, rmsse)
           VALUES (%(tenant)s, %(site)s, 'tea', '2026-01-05', 'smooth', true, 28, 0.8)""",
        """INSERT INTO pos_sale (tenant, site, sku, units, sold_at, receipt, line)
           VALUES (%(tenant)s, %(site)s, 'tea', 1, %(now)s, 'r-0', 1)""",
    ):
        connection.execute(statement, place)
    series = connection.execute(
        """INSERT INTO series (tenant_id, gateway_id, channel, interval_s)
           VALUES (%(tenant)s, %(gateway)s, 's01-b1.weight_g', 1) RETURNING series_id""",
        place,
    ).fetchone()
    assert series is not None
    with (
        connection.cursor() as cursor,
        cursor.copy("COPY reading (time, series_id, value, quality) FROM STDIN") as copy,
    ):
        for age_s in range(READINGS, 0, -1):
            copy.write_row((now - timedelta(seconds=age_s), series[0], 12 * UNIT_G + age_s % 7, 0))
    connection.execute(
        "INSERT INTO latest_value VALUES (%s, %s, %s, 0)", (series[0], now - timedelta(seconds=1), 12 * UNIT_G)
    )
    for number in range(3):
        add_event(connection, tenant, site, f"{site}-{number}", -1, 15 - number, at=now - timedelta(minutes=9 - number))
    anomaly, proposal = uuid4(), uuid4()
    add_anomaly(connection, tenant, site, anomaly, at=now)
    connection.execute(
        """INSERT INTO proposal (proposal_id, tenant_id, site_id, sku, cycle, units, evidence, triggered_at)
           VALUES (%s, %s, %s, 'tea', 1, 16, %s, %s)""",
        (
            proposal,
            tenant,
            site,
            Jsonb({"on_hand": 8, "on_order": 0, "reorder_point": 8, "target": 24, "slots": {f"{gateway}/{slot}": 8}}),
            now,
        ),
    )
    return series[0], anomaly, proposal


def add_event(  # noqa: PLR0913  # a row
    connection: psycopg.Connection,
    tenant: str,
    site: str,
    event: str,
    units: int,
    on_shelf: int,
    *,
    at: datetime | None = None,
) -> None:
    """A sale or restock at the site's slot, and the position after it, as the stream writes them."""
    when = at or datetime.now(UTC)
    connection.execute(
        """INSERT INTO shelf_event (tenant_id, gateway_id, event_id, time, site_id, slot_id, sku, kind, units, delta_g,
                                    confidence, on_shelf, lane_seq, received_at)
           VALUES (%s, %s, %s, %s, %s, 's01-b1', 'tea', %s, %s, %s, 1, %s, 1, %s)""",
        (
            tenant, f"gw-{site}", event, when, site, "sale" if units < 0 else "restock", units, units * UNIT_G,
            on_shelf, when,
        ),
    )  # fmt: skip
    if at is None:
        connection.execute(
            """UPDATE shelf_position SET on_shelf = %s, as_of = %s, updated_at = now()
               WHERE tenant_id = %s AND gateway_id = %s AND slot_id = 's01-b1'""",
            (on_shelf, when, tenant, f"gw-{site}"),
        )


def add_anomaly(connection: psycopg.Connection[Any], tenant: str, site: str, anomaly: UUID, *, at: datetime) -> None:
    """An open anomaly at the site's slot."""
    readings = [{"t_ms": second * 1_000, "value": value} for second, value in enumerate((1.0, 2.0, 1.5))]
    connection.execute(
        """INSERT INTO anomaly (anomaly_id, tenant_id, site_id, gateway_id, kind, place_kind, place, start_at,
                                detected_at, severity, score, evidence)
           VALUES (%s, %s, %s, %s, 'stuck_sensor', 'slot', %s, %s, %s, 0.7, 0.99, %s)""",
        (
            anomaly, tenant, site, f"gw-{site}", f"gw-{site}/s01-b1", at - timedelta(minutes=5), at,
            Jsonb({"run_length": 300, "readings": readings}),
        ),
    )  # fmt: skip


def notify(connection: psycopg.Connection, payload: str) -> None:
    """Send a live notice with the transaction, as the stream does."""
    connection.execute(sql.SQL("SELECT pg_notify(%s, %s)"), (LIVE_CHANNEL, payload))
