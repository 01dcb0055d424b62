"""What ``shelfpulse verify`` proves of the books, from the same snapshot as the rest.

I3  opening + sum of movements = on hand for each SKU and location, every move sums to 0, and the projection (balances,
    lots, reservations) equals the ledger
I5  every unit of money on an order is explained by lines and adjustments, and what is owed by entries
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
        WHERE l.kind IN ('warehouse', 'store', 'shelf', 'transit', 'hold')
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
        WHERE l.kind IN ('warehouse', 'store', 'shelf', 'transit', 'hold') AND e.lot_id IS NOT NULL
        GROUP BY 1, 2, 3, 4
    )
    SELECT tenant_id, location_id, sku, lot_id::text, coalesce(l.units, 0), coalesce(s.units, 0)
    FROM ledger l FULL JOIN stock_lot s USING (tenant_id, location_id, sku, lot_id)
    WHERE coalesce(l.units, 0) <> coalesce(s.units, 0) ORDER BY 1, 2, 3, 4
"""
TOO_MANY_IN_LOTS: Final = """
    SELECT tenant_id, location_id, sku, sum(s.units), coalesce(b.on_hand, 0)
    FROM stock_lot s LEFT JOIN stock_balance b USING (tenant_id, location_id, sku)
    GROUP BY 1, 2, 3, b.on_hand HAVING sum(s.units) > greatest(coalesce(b.on_hand, 0), 0) ORDER BY 1, 2, 3
"""
RESERVED: Final = """
    WITH held AS (
        SELECT tenant_id, location_id, sku, sum(units) AS units FROM reservation WHERE state = 'held' GROUP BY 1, 2, 3
    )
    SELECT tenant_id, location_id, sku, coalesce(h.units, 0), coalesce(b.reserved, 0)
    FROM held h FULL JOIN stock_balance b USING (tenant_id, location_id, sku)
    WHERE coalesce(h.units, 0) <> coalesce(b.reserved, 0) ORDER BY 1, 2, 3
"""
# What lines of transfers say of themselves is what is held for them, and what of them is in transit by the ledger.
TRANSFERS: Final = """
    WITH lines AS (
        SELECT tenant_id, 'transfer:' || transfer_id AS reference, sku, held, sent - received - missing AS on_the_way
        FROM transfer_request_line
    ), kept AS (
        SELECT tenant_id, reference, sku, sum(units) AS units FROM reservation
        WHERE state = 'held' AND starts_with(reference, 'transfer:') GROUP BY 1, 2, 3
    ), moved AS (
        SELECT e.tenant_id, m.reference, e.sku, sum(e.units) AS units
        FROM stock_move m JOIN stock_entry e USING (tenant_id, move_id) JOIN location l USING (tenant_id, location_id)
        WHERE l.kind = 'transit' AND m.source = 'transfer' AND starts_with(m.reference, 'transfer:') GROUP BY 1, 2, 3
    )
    SELECT tenant_id, reference, sku, coalesce(l.held, 0), coalesce(k.units, 0),
           coalesce(l.on_the_way, 0), coalesce(m.units, 0)
    FROM lines l FULL JOIN kept k USING (tenant_id, reference, sku) FULL JOIN moved m USING (tenant_id, reference, sku)
    WHERE (coalesce(l.held, 0), coalesce(l.on_the_way, 0)) <> (coalesce(k.units, 0), coalesce(m.units, 0))
    ORDER BY 1, 2, 3
"""


ORDER_COUNT: Final = "SELECT count(*) FROM sales_order"
TOTALS: Final = """
    SELECT o.tenant_id, o.order_id::text, o.total_minor, coalesce(l.net, 0) + coalesce(a.amount, 0)
    FROM sales_order o
    LEFT JOIN (SELECT tenant_id, order_id, sum(net_minor) AS net FROM order_line GROUP BY 1, 2) l
           USING (tenant_id, order_id)
    LEFT JOIN (SELECT tenant_id, order_id, sum(amount_minor) AS amount FROM order_adjustment GROUP BY 1, 2) a
           USING (tenant_id, order_id)
    WHERE o.total_minor <> coalesce(l.net, 0) + coalesce(a.amount, 0) ORDER BY 1, 2
"""
UNEXPLAINED: Final = """
    SELECT tenant_id, order_id::text, line_no, net_minor FROM order_line
    WHERE net_minor <> packs * unit_price_minor
       OR (explanation ->> 'unit_price_minor')::bigint IS DISTINCT FROM unit_price_minor
    ORDER BY 1, 2, 3
"""
INVOICED: Final = """
    WITH billed AS (
        SELECT tenant_id, order_id, sum(invoiced_minor) AS amount FROM order_line GROUP BY 1, 2
    ), entries AS (
        SELECT tenant_id, order_id, sum(amount_minor) AS amount FROM ar_entry WHERE kind = 'invoice' GROUP BY 1, 2
    )
    SELECT tenant_id, order_id::text, coalesce(b.amount, 0), coalesce(e.amount, 0)
    FROM billed b FULL JOIN entries e USING (tenant_id, order_id)
    WHERE coalesce(b.amount, 0) <> coalesce(e.amount, 0) ORDER BY 1, 2
"""
CREDITED: Final = """
    WITH lines AS (
        SELECT tenant_id, order_id, sum(credited_minor) AS amount FROM order_line GROUP BY 1, 2
    ), goods AS (
        SELECT tenant_id, order_id, sum(amount) AS amount FROM (
            SELECT r.tenant_id, r.order_id, l.credited_minor AS amount
            FROM order_return r JOIN order_return_line l USING (tenant_id, return_id)
            UNION ALL
            SELECT s.tenant_id, s.order_id, l.credited_minor
            FROM shipment s JOIN shipment_line l USING (tenant_id, shipment_id)
        ) AS credited GROUP BY 1, 2
    ), entries AS (
        SELECT tenant_id, order_id, -sum(amount_minor) AS amount FROM ar_entry WHERE kind = 'credit_note' GROUP BY 1, 2
    )
    SELECT tenant_id, order_id::text, l.amount, coalesce(g.amount, 0), coalesce(e.amount, 0)
    FROM lines l LEFT JOIN goods g USING (tenant_id, order_id) LEFT JOIN entries e USING (tenant_id, order_id)
    WHERE l.amount <> coalesce(g.amount, 0) OR l.amount <> coalesce(e.amount, 0) ORDER BY 1, 2
"""
# A line's units and money are those of its shipments, to the last one.
SHIPPED: Final = """
    WITH sent AS (
        SELECT s.tenant_id, s.order_id, l.line_no, sum(l.units) AS shipped, coalesce(sum(l.accepted), 0) AS accepted,
               coalesce(sum(l.missing) FILTER (WHERE l.accepted IS NOT NULL), 0) AS missing,
               coalesce(sum(l.units - l.accepted - l.missing), 0) AS refused, sum(l.invoiced_minor) AS invoiced
        FROM shipment s JOIN shipment_line l USING (tenant_id, shipment_id) GROUP BY 1, 2, 3
    )
    SELECT tenant_id, order_id::text, line_no,
           ARRAY[l.shipped_units, l.delivered_units, l.missing_units, l.refused_units, l.invoiced_minor]::bigint[],
           ARRAY[coalesce(s.shipped, 0), coalesce(s.accepted, 0), coalesce(s.missing, 0), coalesce(s.refused, 0),
                 coalesce(s.invoiced, 0)]::bigint[]
    FROM order_line l LEFT JOIN sent s USING (tenant_id, order_id, line_no)
    WHERE (l.shipped_units, l.delivered_units, l.missing_units, l.refused_units, l.invoiced_minor)
       IS DISTINCT FROM (coalesce(s.shipped, 0), coalesce(s.accepted, 0), coalesce(s.missing, 0),
                         coalesce(s.refused, 0), coalesce(s.invoiced, 0))
    ORDER BY 1, 2, 3
"""
# Nobody owes what they did not accept: its share of what was invoiced, to the nearest minor unit, halves up.
NOT_ACCEPTED: Final = """
    SELECT s.tenant_id, s.order_id::text, s.shipment_id::text, l.line_no, l.credited_minor,
           div(2 * l.invoiced_minor::numeric * (l.units - l.accepted) + l.units, 2 * l.units)::bigint
    FROM shipment s JOIN shipment_line l USING (tenant_id, shipment_id)
    WHERE l.credited_minor <> coalesce(div(2 * l.invoiced_minor::numeric * (l.units - l.accepted) + l.units,
                                           2 * l.units), 0)
    ORDER BY 1, 2, 3, 4
"""
ACCOUNTS: Final = """
    WITH entries AS (
        SELECT tenant_id, org_id, currency,
               coalesce(sum(amount_minor) FILTER (WHERE kind <> 'deposit'), 0) AS receivable,
               coalesce(-sum(amount_minor) FILTER (WHERE kind = 'deposit'), 0) AS deposit
        FROM ar_entry GROUP BY 1, 2, 3
    ), orders AS (
        SELECT tenant_id, org_id, currency, sum(committed_minor) AS committed FROM sales_order GROUP BY 1, 2, 3
    )
    SELECT tenant_id, org_id, currency, c.receivable_minor, coalesce(e.receivable, 0), c.deposit_minor,
           coalesce(e.deposit, 0), c.committed_minor, coalesce(o.committed, 0)
    FROM credit_account c
    LEFT JOIN entries e USING (tenant_id, org_id, currency)
    LEFT JOIN orders o USING (tenant_id, org_id, currency)
    WHERE (c.receivable_minor, c.deposit_minor, c.committed_minor)
       <> (coalesce(e.receivable, 0), coalesce(e.deposit, 0), coalesce(o.committed, 0))
    ORDER BY 1, 2, 3
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
    for tenant, place, sku, units, on_hand in snapshot.execute(TOO_MANY_IN_LOTS):
        yield Broken("I3", f"{tenant}/{place}/{sku}", f"lots hold {units} units, on hand are {on_hand}")
    for tenant, place, sku, held, reserved in snapshot.execute(RESERVED):
        yield Broken("I3", f"{tenant}/{place}/{sku}", f"{held} units are held by reservations, {reserved} are counted")
    for tenant, transfer, sku, said, held, way, moved in snapshot.execute(TRANSFERS):
        detail = f"of {sku} {said} units are said to be held and {held} are, {way} to be on the way and {moved} are"
        yield Broken("I3", f"{tenant}/{transfer}", detail)


def prove_money(snapshot: Connection) -> Iterator[Broken]:
    """I5: totals equal lines and adjustments, prices their explanations, and accounts the entries behind them."""
    for tenant, order, total, explained in snapshot.execute(TOTALS):
        yield Broken("I5", f"{tenant}/{order}", f"the total is {total}, lines and adjustments sum to {explained}")
    for tenant, order, line, net in snapshot.execute(UNEXPLAINED):
        yield Broken("I5", f"{tenant}/{order}", f"the net {net} of line {line} is not what its price explains")
    for tenant, order, billed, noted in snapshot.execute(INVOICED):
        yield Broken("I5", f"{tenant}/{order}", f"{billed} is invoiced by its lines, {noted} by the receivables")
    for tenant, order, credited, returned, noted in snapshot.execute(CREDITED):
        detail = f"{credited} is credited by its lines, {returned} by its goods, {noted} by the receivables"
        yield Broken("I5", f"{tenant}/{order}", detail)
    for tenant, order, line, counted, sent in snapshot.execute(SHIPPED):
        names = ("shipped", "delivered", "missing", "refused", "invoiced")
        wrong = [f"{name} {a} of {b}" for name, a, b in zip(names, counted, sent, strict=True) if a != b]
        yield Broken("I5", f"{tenant}/{order}", f"line {line} is not the sum of its shipments: {', '.join(wrong)}")
    for tenant, order, shipment, line, credited, due in snapshot.execute(NOT_ACCEPTED):
        detail = f"line {line} of shipment {shipment}: {credited} is credited for what was not accepted, due are {due}"
        yield Broken("I5", f"{tenant}/{order}", detail)
    for tenant, org, currency, *sums in snapshot.execute(ACCOUNTS):
        receivable, owed, deposit, paid, committed, ordered = sums
        yield Broken(
            "I5",
            f"{tenant}/{org}/{currency}",
            f"receivable {receivable} of {owed}, deposit {deposit} of {paid}, committed {committed} of {ordered}",
        )
