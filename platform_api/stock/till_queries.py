"""SQL of sales of tills: which wait to be booked, and whose word counts where. For the worker, of all tenants."""

# What tills told since. Where nobody was named, shelves have the word on what they count, tills on all the rest.
TAKE = """
SELECT i.tenant_id, i.sale_id, p.site_id, p.sku, p.units, p.sold_at, p.receipt, p.line, p.counts,
       coalesce(p.named, CASE WHEN p.counts THEN 'telemetry' ELSE 'pos' END) AS source,
       (SELECT min(o.counted_at) FROM slot t JOIN stock_opening o USING (tenant_id, gateway_id, slot_id, sku)
        WHERE t.tenant_id = i.tenant_id AND t.site_id = p.site_id AND t.sku = p.sku) AS counted_at
FROM pos_inbox i
JOIN LATERAL (
    SELECT s.site AS site_id, s.sku, s.units, s.sold_at, s.receipt, s.line,
           EXISTS (SELECT FROM slot t
                   JOIN location l ON l.tenant_id = t.tenant_id AND l.location_id = t.site_id || '.shelf'
                   WHERE t.tenant_id = s.tenant AND t.site_id = s.site AND t.sku = s.sku) AS counts,
           (SELECT d.source FROM depletion_source d
            WHERE d.tenant_id = s.tenant AND d.site_id = s.site AND d.sku = s.sku AND d.since <= s.sold_at
            ORDER BY d.since DESC LIMIT 1) AS named
    FROM pos_sale s WHERE s.id = i.sale_id
) p ON true
WHERE i.retry_at <= %(now)s
ORDER BY i.tenant_id, i.sale_id
LIMIT %(limit)s
FOR UPDATE OF i SKIP LOCKED
"""

SETTLE = "DELETE FROM pos_inbox WHERE tenant_id = %(tenant_id)s AND sale_id = %(sale_id)s"

# Those in whose places somebody else has the word.
SETTLE_ALL = "DELETE FROM pos_inbox WHERE tenant_id = %(tenant_id)s AND sale_id = ANY(%(sale_ids)s::bigint[])"

PUT_OFF = """
UPDATE pos_inbox SET error = %(error)s, retry_at = %(retry_at)s
WHERE tenant_id = %(tenant_id)s AND sale_id = %(sale_id)s
"""

_SOURCES = """
SELECT DISTINCT ON (d.site_id, d.sku) d.site_id, d.sku, d.source, d.since FROM depletion_source d
WHERE d.tenant_id = %(tenant_id)s AND (%(sites)s::text[] IS NULL OR d.site_id = ANY(%(sites)s))
"""

SOURCES = f"""{_SOURCES}
  AND (%(site)s::text IS NULL OR d.site_id = %(site)s)
  AND (%(after_site)s::text IS NULL OR (d.site_id, d.sku) > (%(after_site)s, %(after_sku)s))
ORDER BY d.site_id, d.sku, d.since DESC
LIMIT %(limit)s
"""

PUT_SOURCE = """
INSERT INTO depletion_source (tenant_id, site_id, sku, source, since)
SELECT s.tenant_id, s.site_id, k.sku, %(source)s, %(since)s
FROM site s JOIN sku k ON k.tenant_id = s.tenant_id AND k.sku = %(sku)s
WHERE s.tenant_id = %(tenant_id)s AND s.site_id = %(site)s
  AND (%(sites)s::text[] IS NULL OR s.site_id = ANY(%(sites)s))
ON CONFLICT (tenant_id, site_id, sku, since) DO UPDATE SET source = excluded.source
RETURNING site_id, sku, source, since
"""
