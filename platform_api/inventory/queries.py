"""SQL of inventory. Every statement carries the caller's scope: tenant_id, and sites (NULL: all)."""

POSITIONS = """
SELECT t.site_id, t.gateway_id, t.slot_id, t.sku, k.name_zh, k.name_en, t.capacity, p.on_shelf, p.as_of,
       r.reorder_point, r.target, s.series_id
FROM slot t
JOIN sku k ON k.tenant_id = t.tenant_id AND k.sku = t.sku
LEFT JOIN shelf_position p
       ON p.tenant_id = t.tenant_id AND p.gateway_id = t.gateway_id AND p.slot_id = t.slot_id
LEFT JOIN stock_policy r ON r.tenant_id = t.tenant_id AND r.site_id = t.site_id AND r.sku = t.sku
LEFT JOIN series s ON s.tenant_id = t.tenant_id AND s.gateway_id = t.gateway_id AND s.channel = t.channel
WHERE t.tenant_id = %(tenant_id)s
  AND (%(sites)s::text[] IS NULL OR t.site_id = ANY(%(sites)s))
  AND (%(site)s::text IS NULL OR t.site_id = %(site)s)
  AND (%(sku)s::text IS NULL OR t.sku = %(sku)s)
  AND (%(after_gateway)s::text IS NULL OR (t.gateway_id, t.slot_id) > (%(after_gateway)s, %(after_slot)s))
ORDER BY t.gateway_id, t.slot_id
LIMIT %(limit)s
"""

EVENTS = """
SELECT e.site_id, e.gateway_id, e.event_id, e.slot_id, e.sku, e.kind, e.units, e.delta_g, e.confidence, e.on_shelf,
       e.of_event, e.why, e.other, e.synced, e.time, e.received_at
FROM shelf_event e
WHERE e.tenant_id = %(tenant_id)s
  AND (%(sites)s::text[] IS NULL OR e.site_id = ANY(%(sites)s))
  AND (%(site)s::text IS NULL OR e.site_id = %(site)s)
  AND (%(gateway)s::text IS NULL OR e.gateway_id = %(gateway)s)
  AND (%(slot)s::text IS NULL OR e.slot_id = %(slot)s)
  AND (%(sku)s::text IS NULL OR e.sku = %(sku)s)
  AND (%(kinds)s::text[] IS NULL OR e.kind = ANY(%(kinds)s))
  AND (%(since)s::timestamptz IS NULL OR e.time >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR e.time < %(until)s)
  AND (%(after_at)s::timestamptz IS NULL
       OR (e.received_at, e.gateway_id, e.event_id) < (%(after_at)s, %(after_gateway)s, %(after_event)s))
ORDER BY e.received_at DESC, e.gateway_id DESC, e.event_id DESC
LIMIT %(limit)s
"""
