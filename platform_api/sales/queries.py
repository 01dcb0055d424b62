"""SQL of sales. Every statement carries the caller's scope: tenant_id, and sites (NULL: all)."""

POS_SALES = """
SELECT p.id, p.site, p.sku, p.units, p.sold_at, p.receipt, p.line, p.received_at
FROM pos_sale p
WHERE p.tenant = %(tenant_id)s
  AND (%(sites)s::text[] IS NULL OR p.site = ANY(%(sites)s))
  AND (%(site)s::text IS NULL OR p.site = %(site)s)
  AND (%(sku)s::text IS NULL OR p.sku = %(sku)s)
  AND (%(since)s::timestamptz IS NULL OR p.sold_at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR p.sold_at < %(until)s)
  AND (%(after_id)s::bigint IS NULL OR p.id < %(after_id)s)
ORDER BY p.id DESC
LIMIT %(limit)s
"""

SITES_KNOWN = """
SELECT site_id FROM site
WHERE tenant_id = %(tenant_id)s AND site_id = ANY(%(names)s)
  AND (%(sites)s::text[] IS NULL OR site_id = ANY(%(sites)s))
"""

SKUS_KNOWN = "SELECT sku FROM sku WHERE tenant_id = %(tenant_id)s AND sku = ANY(%(names)s)"

# Sorted by the unique key: two deliveries of the same lines at once wait for each other and never deadlock.
ADD = """
INSERT INTO pos_sale (tenant, site, sku, units, sold_at, receipt, line)
SELECT %(tenant_id)s, n.*
FROM unnest(%(site)s::text[], %(sku)s::text[], %(units)s::int[], %(sold_at)s::timestamptz[], %(receipt)s::text[],
            %(line)s::int[]) AS n (site, sku, units, sold_at, receipt, line)
ORDER BY n.site, n.receipt, n.line
ON CONFLICT (tenant, site, receipt, line) DO NOTHING
"""

# Lines that are stored with other contents than those that were just sent: `place` counts from 1.
DIFFERENT = """
SELECT n.place
FROM unnest(%(site)s::text[], %(sku)s::text[], %(units)s::int[], %(sold_at)s::timestamptz[], %(receipt)s::text[],
            %(line)s::int[]) WITH ORDINALITY AS n (site, sku, units, sold_at, receipt, line, place)
JOIN pos_sale p ON p.tenant = %(tenant_id)s AND p.site = n.site AND p.receipt = n.receipt AND p.line = n.line
WHERE (p.sku, p.units, p.sold_at) IS DISTINCT FROM (n.sku, n.units, n.sold_at)
ORDER BY n.place
LIMIT %(limit)s
"""
