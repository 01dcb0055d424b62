"""SQL of the pages: names for what other lists tell by id. Every statement carries tenant_id."""

SITE_NAMES = "SELECT site_id AS id, name FROM site WHERE tenant_id = %(tenant_id)s"

ORG_NAMES = "SELECT org_id AS id, name FROM org WHERE tenant_id = %(tenant_id)s"

SKU_NAMES = "SELECT sku, name_zh, name_en FROM sku WHERE tenant_id = %(tenant_id)s AND sku = ANY(%(skus)s)"

LOCATION_NAMES = """
SELECT location_id AS id, name FROM location WHERE tenant_id = %(tenant_id)s AND location_id = ANY(%(ids)s)
"""
