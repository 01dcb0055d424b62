"""What lists and lookups read of the database, where nearly all of it is others': pages of it, not times."""

from typing import Any, Final
from uuid import uuid4

import psycopg

from platform_api.logistics.queries import SHIPMENTS
from platform_api.replenishment.flow_queries import LAST_ORDERED
from platform_api.stock.queries import MOVES, MOVES_OF_PART
from platform_api.stock.transfer_queries import TRANSFERS_OF_PART
from tests.integration.api.world import World

PAGES_MAX: Final = 120
"""Of 8 KiB. A walk through any of the tables reads several hundred."""

# Of the site west-1 and those who run it; without triggers and foreign keys, for the time that they take.
OTHERS: Final = (
    "SET session_replication_role = replica",
    """CREATE TEMP TABLE n AS
       SELECT i, gen_random_uuid() AS id, now() - i * interval '1 min' AS at FROM generate_series(1, 30000) i""",
    """INSERT INTO stock_move (tenant_id, move_id, kind, happened_at, booked_at, source, source_event_id)
       SELECT 'acme', id, 'sale', at, at, 'test', id::text FROM n""",
    """INSERT INTO stock_entry (tenant_id, move_id, entry_no, location_id, sku, units, value_minor, happened_at)
       SELECT 'acme', id, e.no, e.place, 'tea', e.units, 0, at
       FROM n, (VALUES (1, 'west-1.shelf', -1), (2, '.customer', 1)) e (no, place, units)""",
    """INSERT INTO proposal (proposal_id, tenant_id, site_id, sku, cycle, units, state, triggered_at)
       SELECT id, 'acme', 'west-1', 'tea', i, 5, 'received', at FROM n""",
    "INSERT INTO proposal_flow (tenant_id, proposal_id, outcome, at) SELECT 'acme', id, 'order', at FROM n",
    """INSERT INTO shipment (tenant_id, shipment_id, order_id, org_id, ship_from, ship_to, carrier_id, tracking_no,
                             state)
       SELECT 'acme', id, id, 'west', '.supplier', 'west-1', 'van', id::text, 'delivered' FROM n""",
    """INSERT INTO transfer_request (tenant_id, transfer_id, origin, destination, state)
       SELECT 'acme', id, '.supplier', 'west-1', 'received' FROM n""",
    "VACUUM ANALYZE stock_entry, stock_move, proposal, proposal_flow, shipment, transfer_request",
)


def pages(connection: psycopg.Connection[Any], query: str, values: dict[str, Any]) -> int:
    """Pages that the API's role reads to answer, planning left out."""
    with connection.transaction():
        connection.execute("SET LOCAL ROLE shelfpulse_api")
        connection.execute("SELECT set_config('app.tenant', 'acme', true)")
        told = connection.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {query}".encode(), values).fetchone()
    assert told is not None
    plan = told[0][0]["Plan"]
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


def test_nobody_reads_past_what_belongs_to_others(world: World) -> None:
    here = {"tenant_id": "acme", "limit": 51}
    moves = dict.fromkeys(("location", "sku", "reference", "since", "until", "after_move", "after_entry"))
    with psycopg.connect(world.dsn, autocommit=True) as connection:
        for statement in OTHERS:
            connection.execute(statement.encode())
        read = {
            "last ordered": pages(
                connection,
                LAST_ORDERED,
                {**here, "site_id": "east-1", "sku": "tea", "proposal_id": uuid4(), "cycle": 2},
            ),
            "shipments": pages(connection, SHIPMENTS, {**here, "orgs": ["east"], "order_id": None, "after": None}),
            "moves": pages(connection, MOVES_OF_PART, {**here, **moves, "sites": ["east-1"]}),
            "transfers": pages(
                connection, TRANSFERS_OF_PART, {**here, "sites": ["east-1"], "states": None, "after": None}
            ),
            "moves of a time": pages(
                connection,
                MOVES,
                {**here, **moves, "sites": ["east-1"], "since": "2001-01-01", "until": "2001-02-01"},
            ),
        }
    assert max(read.values()) <= PAGES_MAX, read
