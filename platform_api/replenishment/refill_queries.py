"""SQL of refills: what stores shall put on their shelves. Every statement of a route carries the caller's scope."""

_REFILL = """
SELECT r.refill_id, r.site_id, r.sku, k.name_zh, k.name_en, r.units, r.seen, r.state, r.source, r.source_id, r.since,
       r.created_at, r.closed_at, r.closed_by, r.version
FROM refill_task r JOIN sku k USING (tenant_id, sku)
WHERE r.tenant_id = %(tenant_id)s AND (%(sites)s::text[] IS NULL OR r.site_id = ANY(%(sites)s))
"""

REFILLS = f"""{_REFILL}
  AND (%(site)s::text IS NULL OR r.site_id = %(site)s)
  AND (%(states)s::text[] IS NULL OR r.state = ANY(%(states)s))
  AND (%(after)s::uuid IS NULL OR r.refill_id < %(after)s)
ORDER BY r.refill_id DESC
LIMIT %(limit)s
"""

REFILL = f"{_REFILL} AND r.refill_id = %(refill_id)s"

REFILL_FOR_UPDATE = f"{REFILL} FOR UPDATE OF r"

CANCEL = """
UPDATE refill_task SET state = 'cancelled', closed_at = book_time(), closed_by = %(login)s, version = version + 1
WHERE tenant_id = %(tenant_id)s AND refill_id = %(refill_id)s
"""

INSERT = """
INSERT INTO refill_task (tenant_id, refill_id, site_id, sku, units, source, source_id, since)
SELECT s.tenant_id, %(refill_id)s, s.site_id, %(sku)s, %(units)s, %(source)s, %(source_id)s, %(since)s
FROM site s WHERE s.tenant_id = %(tenant_id)s AND s.site_id = %(site)s
ON CONFLICT (tenant_id, source, source_id, sku) DO NOTHING
"""

# Gateways that count the SKU at a site, with its slots there.
COUNTING = """
SELECT t.gateway_id, array_agg(t.slot_id ORDER BY t.slot_id) AS slots
FROM slot t JOIN gateway g USING (tenant_id, gateway_id)
WHERE t.tenant_id = %(tenant_id)s AND t.site_id = %(site)s AND t.sku = %(sku)s AND g.revoked_at IS NULL
GROUP BY t.gateway_id ORDER BY t.gateway_id
"""

# Places with open tasks. What another worker has is left to it.
OPEN = """
SELECT tenant_id, refill_id, site_id, sku, units, since, seen FROM refill_task
WHERE state = 'open'
  AND (%(tenant_id)s::text IS NULL
       OR (tenant_id, site_id, sku, refill_id) > (%(tenant_id)s, %(site_id)s, %(sku)s, %(refill_id)s))
ORDER BY tenant_id, site_id, sku, refill_id
LIMIT %(limit)s
FOR UPDATE SKIP LOCKED
"""

# All tasks of a place whose refills may be those of an open one.
OF_PLACE = """
SELECT refill_id, units, since, state FROM refill_task
WHERE tenant_id = %(tenant_id)s AND site_id = %(site_id)s AND sku = %(sku)s AND state <> 'cancelled'
  AND since > %(first)s::timestamptz - interval '7 days'
"""

SEEN = """
SELECT e.time, e.units FROM shelf_event e
WHERE e.tenant_id = %(tenant_id)s AND e.site_id = %(site_id)s AND e.sku = %(sku)s AND e.kind = 'restock'
  AND e.units > 0 AND e.time >= %(first)s::timestamptz - interval '7 days' AND e.time < %(now)s + interval '1 day'
"""

NOTE_SEEN = """
UPDATE refill_task
SET seen = %(seen)s, state = %(state)s, version = version + 1,
    closed_at = CASE WHEN %(state)s <> 'open' THEN %(now)s::timestamptz END,
    closed_by = CASE WHEN %(state)s <> 'open' THEN 'shelf' ELSE '' END
WHERE tenant_id = %(tenant_id)s AND refill_id = %(refill_id)s
"""
