"""What ``shelfpulse verify`` proves of the books, from the same snapshot as the rest.

I3  opening + sum of movements = on hand for each SKU and location, every move sums to 0, and the projection (balances,
    lots, reservations) equals the ledger
"""

from collections.abc import Iterator
from typing import Final

from deploy.proofs import Broken
from stream.storage import Connection

ENTRY_COUNT: Final = "SELECT count(*) FROM stock_entry"

UNBALANCED: Final = """
    SELECT tenant_id, move_id::text, sku, sum(units), sum(value_minor) FROM stock_entry
    GROUP BY 1, 2, 3 HAVING sum(units) <> 0 OR sum(value_minor) <> 0 ORDER BY 1, 2, 3
"""
WITHOUT_ENTRIES: Final = """
    SELECT m.tenant_id, m.move_id::text FROM stock_move m
    WHERE NOT EXISTS (SELECT FROM stock_entry e WHERE e.tenant_id = m.tenant_id AND e.move_id = m.move_id)
    ORDER BY 1, 2
"""
BALANCES: Final = """
    WITH ledger AS (
        SELECT e.tenant_id, e.location_id, e.sku, sum(e.units) AS units, sum(e.value_minor) AS value_minor
        FROM stock_entry e JOIN location l USING (tenant_id, location_id)
        WHERE l.kind IN ('warehouse', 'store', 'shelf', 'transit')
        GROUP BY 1, 2, 3
    )
    SELECT tenant_id, location_id, sku, coalesce(l.units, 0), coalesce(l.value_minor, 0),
           coalesce(b.on_hand, 0), coalesce(b.value_minor, 0)
    FROM ledger l FULL JOIN stock_balance b USING (tenant_id, location_id, sku)
    WHERE (coalesce(l.units, 0), coalesce(l.value_minor, 0)) <> (coalesce(b.on_hand, 0), coalesce(b.value_minor, 0))
    ORDER BY 1, 2, 3
"""
LOTS: Final = """
    WITH ledger AS (
        SELECT e.tenant_id, e.location_id, e.sku, e.lot_id, sum(e.units) AS units
        FROM stock_entry e JOIN location l USING (tenant_id, location_id)
        WHERE l.kind IN ('warehouse', 'store', 'shelf', 'transit') AND e.lot_id IS NOT NULL
        GROUP BY 1, 2, 3, 4
    )
    SELECT tenant_id, location_id, sku, lot_id::text, coalesce(l.units, 0), coalesce(s.units, 0)
    FROM ledger l FULL JOIN stock_lot s USING (tenant_id, location_id, sku, lot_id)
    WHERE coalesce(l.units, 0) <> coalesce(s.units, 0) ORDER BY 1, 2, 3, 4
"""
RESERVED: Final = """
    WITH held AS (
        SELECT tenant_id, location_id, sku, sum(units) AS units FROM reservation WHERE state = 'held' GROUP BY 1, 2, 3
    )
    SELECT tenant_id, location_id, sku, coalesce(h.units, 0), coalesce(b.reserved, 0)
    FROM held h FULL JOIN stock_balance b USING (tenant_id, location_id, sku)
    WHERE coalesce(h.units, 0) <> coalesce(b.reserved, 0) ORDER BY 1, 2, 3
"""


def prove_stock(snapshot: Connection) -> Iterator[Broken]:
    """I3: the ledger sums to 0 move by move, and to what the projection says place by place."""
    for tenant, move, sku, units, value in snapshot.execute(UNBALANCED):
        yield Broken("I3", f"{tenant}/{move}", f"units of {sku} sum to {units}, their value to {value}")
    for tenant, move in snapshot.execute(WITHOUT_ENTRIES):
        yield Broken("I3", f"{tenant}/{move}", "a move without entries")
    for tenant, place, sku, units, value, on_hand, worth in snapshot.execute(BALANCES):
        yield Broken(
            "I3", f"{tenant}/{place}/{sku}", f"moves sum to {units} worth {value}, on hand are {on_hand} worth {worth}"
        )
    for tenant, place, sku, lot, units, kept in snapshot.execute(LOTS):
        yield Broken("I3", f"{tenant}/{place}/{sku}", f"moves of lot {lot} sum to {units}, kept are {kept}")
    for tenant, place, sku, held, reserved in snapshot.execute(RESERVED):
        yield Broken("I3", f"{tenant}/{place}/{sku}", f"{held} units are held by reservations, {reserved} are counted")
