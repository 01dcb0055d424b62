"""SQL of the way from a proposal to an order or a transfer. For the worker, of all tenants."""

# Approved by somebody, or open where the policy orders by itself. What another worker has is left to it.
TAKE = """
SELECT p.tenant_id, p.proposal_id, p.site_id, p.sku, p.units, p.state, p.cycle, p.version, s.org_id,
       coalesce(t.mode, 'suggest') AS mode, coalesce(t.cooldown_s, 0) AS cooldown_s, s.lat, s.lon,
       coalesce(t.min_order, 0) AS min_order, coalesce((p.evidence ->> 'on_hand')::int, 0) AS on_hand,
       (SELECT sum(x.capacity)::int FROM slot x
        WHERE x.tenant_id = p.tenant_id AND x.site_id = p.site_id AND x.sku = p.sku) AS capacity
FROM proposal p
JOIN site s ON s.tenant_id = p.tenant_id AND s.site_id = p.site_id
LEFT JOIN stock_policy t ON t.tenant_id = p.tenant_id AND t.site_id = p.site_id AND t.sku = p.sku
LEFT JOIN proposal_flow f ON f.tenant_id = p.tenant_id AND f.proposal_id = p.proposal_id
WHERE (p.state = 'approved' OR (p.state = 'open' AND t.mode = 'auto'))
  AND (f.retry_at IS NULL OR f.retry_at <= %(now)s)
ORDER BY p.tenant_id, p.created_at, p.proposal_id
LIMIT 1
FOR UPDATE OF p SKIP LOCKED
"""

# When a SKU was last ordered for a site: an automatic order waits until the cooldown is over; and whether people turned
# down the cycle before this one.
LAST_ORDERED = """
SELECT (SELECT max(f.at) FROM proposal_flow f JOIN proposal p USING (tenant_id, proposal_id)
        WHERE p.tenant_id = %(tenant_id)s AND p.site_id = %(site_id)s AND p.sku = %(sku)s AND f.outcome <> 'blocked'
          AND p.proposal_id <> %(proposal_id)s) AS at,
       (SELECT p.state FROM proposal p
        WHERE p.tenant_id = %(tenant_id)s AND p.site_id = %(site_id)s AND p.sku = %(sku)s AND p.cycle < %(cycle)s
        ORDER BY p.cycle DESC LIMIT 1) AS state_before
"""

# The dealer who buys for a site: the nearest one above it, or whoever runs it.
DEALER = """
WITH RECURSIVE above AS (
    SELECT o.org_id, o.parent_id, o.kind, 0 AS depth FROM org o
    WHERE o.tenant_id = %(tenant_id)s AND o.org_id = %(org_id)s
    UNION ALL
    SELECT o.org_id, o.parent_id, o.kind, a.depth + 1 FROM org o JOIN above a ON o.org_id = a.parent_id
    WHERE o.tenant_id = %(tenant_id)s AND a.depth < 32
)
SELECT org_id, array(
    WITH RECURSIVE below AS (
        SELECT o.org_id, 0 AS depth FROM org o WHERE o.tenant_id = %(tenant_id)s AND o.org_id = a.org_id
        UNION ALL
        SELECT o.org_id, b.depth + 1 FROM org o JOIN below b ON o.parent_id = b.org_id
        WHERE o.tenant_id = %(tenant_id)s AND b.depth < 32
    ) SELECT b.org_id FROM below b ORDER BY b.org_id
) AS orgs
FROM above a ORDER BY a.kind <> 'dealer', depth LIMIT 1
"""

# What the dealer has to spare of a SKU: what is free in its warehouses, and in the back rooms of its other stores what
# these do not need to fill their own shelves.
SPARE = """
WITH below AS (
    SELECT s.site_id, s.kind, s.lat, s.lon FROM site s
    WHERE s.tenant_id = %(tenant_id)s AND s.site_id <> %(site_id)s AND s.org_id = ANY(%(orgs)s)
)
SELECT w.site_id, w.lat, w.lon, free.units FROM below w
JOIN stock_balance b ON b.tenant_id = %(tenant_id)s AND b.location_id = w.site_id AND b.sku = %(sku)s
CROSS JOIN LATERAL (
    SELECT b.on_hand - b.reserved - expired_units(b.tenant_id, b.location_id, b.sku)
           - CASE WHEN w.kind = 'store' THEN greatest(0,
               coalesce((SELECT t.target FROM stock_policy t
                         WHERE t.tenant_id = b.tenant_id AND t.site_id = w.site_id AND t.sku = b.sku), 0)
               - coalesce((SELECT sum(p.on_shelf)::int FROM shelf_position p
                           WHERE p.tenant_id = b.tenant_id AND p.site_id = w.site_id AND p.sku = b.sku), 0))
           ELSE 0 END AS units
) free
WHERE free.units > 0
ORDER BY w.site_id
"""

# What else waits for units of the same SKU at sites of the same dealer: moves are planned for all of them at once.
LACKING = """
SELECT p.site_id, p.units, s.lat, s.lon FROM proposal p
JOIN site s ON s.tenant_id = p.tenant_id AND s.site_id = p.site_id
LEFT JOIN stock_policy t ON t.tenant_id = p.tenant_id AND t.site_id = p.site_id AND t.sku = p.sku
WHERE p.tenant_id = %(tenant_id)s AND p.sku = %(sku)s AND s.org_id = ANY(%(orgs)s) AND p.units > 0
  AND (p.state = 'approved' OR (p.state = 'open' AND t.mode = 'auto'))
ORDER BY p.site_id
"""

BACKROOM = """
SELECT on_hand - reserved - expired_units(tenant_id, location_id, sku) AS free FROM stock_balance
WHERE tenant_id = %(tenant_id)s AND location_id = %(site_id)s AND sku = %(sku)s
"""

KEEP_FLOW = """
INSERT INTO proposal_flow AS kept (tenant_id, proposal_id, outcome, note, units, order_id, source, at, retry_at,
                                   considered)
VALUES (%(tenant_id)s, %(proposal_id)s, %(outcome)s, %(note)s, %(units)s, %(order_id)s, %(source)s, %(now)s,
        %(retry_at)s, %(considered)s)
ON CONFLICT (tenant_id, proposal_id) DO UPDATE
SET outcome = excluded.outcome, note = excluded.note, units = excluded.units, order_id = excluded.order_id,
    source = excluded.source, at = excluded.at, retry_at = excluded.retry_at,
    considered = excluded.considered
"""

SET_STATE = """
UPDATE proposal SET state = %(state)s, updated_at = %(now)s, version = version + 1
WHERE tenant_id = %(tenant_id)s AND proposal_id = %(proposal_id)s
  AND state IN ('open', 'approved', 'ordered')
"""

# Proposals that wait for the shelves: what these saw of their tasks (refill_queries.py). Units of a back room where no
# shelf holds the SKU are there by the books, and no task will ever speak of them.
WAITING = """
SELECT p.tenant_id, p.proposal_id, p.site_id, f.order_id, o.state AS order_state, r.state AS refill_state
FROM proposal p
JOIN proposal_flow f USING (tenant_id, proposal_id)
LEFT JOIN refill_task r ON r.tenant_id = p.tenant_id AND r.source = 'proposal' AND r.source_id = p.proposal_id
LEFT JOIN sales_order o ON o.tenant_id = f.tenant_id AND o.order_id = f.order_id
WHERE p.state = 'ordered'
  AND (r.state <> 'open' OR o.state = 'cancelled'
       OR (r.refill_id IS NULL AND f.outcome IN ('transfer', 'backroom')
           AND NOT EXISTS (SELECT FROM transfer_request a
                           WHERE a.tenant_id = p.tenant_id AND a.proposal_id = p.proposal_id)))
ORDER BY p.tenant_id, p.proposal_id
FOR UPDATE OF p SKIP LOCKED
"""

# Proposals of which every transfer has ended and nobody was asked to refill yet: what has come, and since when.
BROUGHT = """
SELECT p.tenant_id, p.proposal_id, p.site_id, p.sku, came.units,
       (SELECT min(m.happened_at) FROM transfer_request a
        JOIN stock_move m ON m.tenant_id = a.tenant_id AND m.reference = 'transfer:' || a.transfer_id
        JOIN stock_entry e ON e.tenant_id = m.tenant_id AND e.move_id = m.move_id
        WHERE a.tenant_id = p.tenant_id AND a.proposal_id = p.proposal_id AND e.location_id = a.destination
          AND e.units > 0) AS since
FROM proposal p CROSS JOIN LATERAL (
    SELECT sum(n.received)::int AS units, bool_and(a.state IN ('received', 'cancelled')) AS ended
    FROM transfer_request a JOIN transfer_request_line n USING (tenant_id, transfer_id)
    WHERE a.tenant_id = p.tenant_id AND a.proposal_id = p.proposal_id
) came
WHERE p.state = 'ordered' AND came.ended
  AND NOT EXISTS (SELECT FROM refill_task r
                  WHERE r.tenant_id = p.tenant_id AND r.source = 'proposal' AND r.source_id = p.proposal_id)
ORDER BY p.tenant_id, p.proposal_id
FOR UPDATE OF p SKIP LOCKED
"""

# Transfers that hold units for a proposal that is over.
FORSAKEN = """
SELECT a.tenant_id, a.transfer_id, p.state FROM transfer_request a JOIN proposal p USING (tenant_id, proposal_id)
WHERE a.state IN ('requested', 'part_sent') AND p.state NOT IN ('open', 'approved', 'ordered')
ORDER BY a.tenant_id, a.transfer_id
LIMIT 200
"""

OF_ORDER = """
SELECT p.proposal_id, p.site_id FROM proposal p JOIN proposal_flow f USING (tenant_id, proposal_id)
WHERE f.tenant_id = %(tenant_id)s AND f.order_id = %(order_id)s
"""

# What people said of the ways between sites.
LANES_BETWEEN = """
SELECT origin, destination, cost_minor, allowed FROM transfer_lane
WHERE tenant_id = %(tenant_id)s AND currency = %(currency)s
  AND origin = ANY(%(origins)s) AND destination = ANY(%(destinations)s)
"""
