"""SQL of the pages: names for what other lists tell by id. Every statement carries tenant_id."""

SITE_NAMES = "SELECT site_id AS id, name FROM site WHERE tenant_id = %(tenant_id)s"

ORG_NAMES = "SELECT org_id AS id, name FROM org WHERE tenant_id = %(tenant_id)s"

SKU_NAMES = "SELECT sku, name_zh, name_en FROM sku WHERE tenant_id = %(tenant_id)s AND sku = ANY(%(skus)s)"

LOCATION_NAMES = """
SELECT location_id AS id, name FROM location WHERE tenant_id = %(tenant_id)s AND location_id = ANY(%(ids)s)
"""

# Places of the caller's that goods go from and to.
PLACES = """
SELECT l.location_id AS id, l.name FROM location l
WHERE l.tenant_id = %(tenant_id)s AND l.kind IN ('warehouse', 'store')
  AND (%(sites)s::text[] IS NULL OR l.site_id = ANY(%(sites)s))
ORDER BY l.kind DESC, l.name, l.location_id
LIMIT 500
"""

LOCATIONS_SEEN = """
SELECT l.location_id AS id FROM location l
WHERE l.tenant_id = %(tenant_id)s AND l.location_id = ANY(%(ids)s)
  AND (%(sites)s::text[] IS NULL OR l.site_id = ANY(%(sites)s))
"""
