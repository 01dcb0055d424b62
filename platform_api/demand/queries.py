"""SQL of demand. Every statement carries the caller's scope: tenant_id, and sites (NULL: all)."""

# The newest version unless one is asked for.
FORECASTS = """
SELECT f.site_id AS site, f.sku, f.version, f.day, f.method, f.mean, f.q50, f.q80, f.q95
FROM demand_forecast f
WHERE f.tenant_id = %(tenant_id)s
  AND (%(sites)s::text[] IS NULL OR f.site_id = ANY(%(sites)s))
  AND (%(site)s::text IS NULL OR f.site_id = %(site)s)
  AND (%(sku)s::text IS NULL OR f.sku = %(sku)s)
  AND f.version = coalesce(%(version)s::date,
                           (SELECT max(version) FROM demand_forecast WHERE tenant_id = %(tenant_id)s))
  AND (%(after_site)s::text IS NULL OR (f.site_id, f.sku, f.day) > (%(after_site)s, %(after_sku)s, %(after_day)s))
ORDER BY f.site_id, f.sku, f.day
LIMIT %(limit)s
"""

ACCURACY = """
SELECT a.site_id AS site, a.sku, a.version, a.method, a.chosen, a.days, a.rmsse, a.bias, a.pinball
FROM forecast_accuracy a
WHERE a.tenant_id = %(tenant_id)s
  AND (%(sites)s::text[] IS NULL OR a.site_id = ANY(%(sites)s))
  AND (%(site)s::text IS NULL OR a.site_id = %(site)s)
  AND (%(sku)s::text IS NULL OR a.sku = %(sku)s)
  AND a.version = coalesce(%(version)s::date,
                           (SELECT max(version) FROM forecast_accuracy WHERE tenant_id = %(tenant_id)s))
  AND (%(after_site)s::text IS NULL
       OR (a.site_id, a.sku, a.method) > (%(after_site)s, %(after_sku)s, %(after_method)s))
ORDER BY a.site_id, a.sku, a.method
LIMIT %(limit)s
"""

PROMOTIONS = """
SELECT p.site_id AS site, p.sku, p.first_day, p.last_day, p.depth
FROM promotion_plan p
WHERE p.tenant_id = %(tenant_id)s
  AND (%(sites)s::text[] IS NULL OR p.site_id = ANY(%(sites)s))
  AND (%(site)s::text IS NULL OR p.site_id = %(site)s)
  AND (%(sku)s::text IS NULL OR p.sku = %(sku)s)
  AND (%(on)s::date IS NULL OR %(on)s BETWEEN p.first_day AND p.last_day)
  AND (%(after_site)s::text IS NULL
       OR (p.site_id, p.sku, p.first_day) > (%(after_site)s, %(after_sku)s, %(after_day)s))
ORDER BY p.site_id, p.sku, p.first_day
LIMIT %(limit)s
"""
