"""SQL of the imports: what is registered already, and upserts that leave an equal row alone.

Every upsert returns ``created`` for a row that it wrote, and nothing for one that was the same.
"""

from typing import Final

from platform_api.imports.rows import Kind

TENANTS = "SELECT tenant_id FROM tenant WHERE tenant_id = ANY(%(tenants)s)"
ORGS = "SELECT tenant_id, org_id FROM org WHERE tenant_id = ANY(%(tenants)s)"
SITES = "SELECT tenant_id, site_id FROM site WHERE tenant_id = ANY(%(tenants)s)"
SKUS = "SELECT tenant_id, sku FROM sku WHERE tenant_id = ANY(%(tenants)s)"
GATEWAYS = "SELECT tenant_id, gateway_id, site_id FROM gateway WHERE tenant_id = ANY(%(tenants)s)"
# Lines that are stored with other contents: `place` counts from 1.
DIFFERENT_SALES = """
SELECT n.place
FROM unnest(%(tenant)s::text[], %(site)s::text[], %(sku)s::text[], %(units)s::int[], %(sold_at)s::timestamptz[],
            %(receipt)s::text[], %(line)s::int[])
     WITH ORDINALITY AS n (tenant, site, sku, units, sold_at, receipt, line, place)
JOIN pos_sale p ON p.tenant = n.tenant AND p.site = n.site AND p.receipt = n.receipt AND p.line = n.line
WHERE (p.sku, p.units, p.sold_at) IS DISTINCT FROM (n.sku, n.units, n.sold_at)
ORDER BY n.place
"""
CHANNELS = "SELECT tenant_id, gateway_id, channel, slot_id FROM slot WHERE tenant_id = ANY(%(tenants)s)"

UPSERT_GATEWAY = """
INSERT INTO gateway AS kept (tenant_id, gateway_id, site_id, name)
VALUES (%(tenant)s, %(gateway)s, %(site)s, %(name)s)
ON CONFLICT (tenant_id, gateway_id) DO UPDATE SET name = excluded.name
WHERE kept.name IS DISTINCT FROM excluded.name AND excluded.name <> ''
RETURNING (xmax = 0) AS created
"""

UPSERTS: Final[dict[Kind, str]] = {
    Kind.ORGS: """
INSERT INTO org AS kept (tenant_id, org_id, parent_id, kind, name)
VALUES (%(tenant)s, %(org)s, %(parent)s, %(kind)s, %(name)s)
ON CONFLICT (tenant_id, org_id) DO UPDATE SET parent_id = excluded.parent_id, kind = excluded.kind, name = excluded.name
WHERE (kept.parent_id, kept.kind, kept.name) IS DISTINCT FROM (excluded.parent_id, excluded.kind, excluded.name)
RETURNING (xmax = 0) AS created
""",
    Kind.SITES: """
INSERT INTO site AS kept (tenant_id, site_id, org_id, kind, name, city, lat, lon, timezone)
VALUES (%(tenant)s, %(site)s, %(org)s, %(kind)s, %(name)s, %(city)s, %(lat)s, %(lon)s, %(timezone)s)
ON CONFLICT (tenant_id, site_id) DO UPDATE
SET org_id = excluded.org_id, kind = excluded.kind, name = excluded.name, city = excluded.city,
    lat = excluded.lat, lon = excluded.lon, timezone = excluded.timezone
WHERE (kept.org_id, kept.kind, kept.name, kept.city, kept.lat, kept.lon, kept.timezone) IS DISTINCT FROM
      (excluded.org_id, excluded.kind, excluded.name, excluded.city, excluded.lat, excluded.lon, excluded.timezone)
RETURNING (xmax = 0) AS created
""",
    Kind.DEVICES: """
INSERT INTO device AS kept (tenant_id, gateway_id, device_id, profile, name)
VALUES (%(tenant)s, %(gateway)s, %(device)s, %(profile)s, %(name)s)
ON CONFLICT (tenant_id, gateway_id, device_id) DO UPDATE SET profile = excluded.profile, name = excluded.name
WHERE (kept.profile, kept.name) IS DISTINCT FROM (excluded.profile, excluded.name)
RETURNING (xmax = 0) AS created
""",
    Kind.SKUS: """
INSERT INTO sku AS kept (tenant_id, sku, name_zh, name_en, gtin, unit_weight_g, unit_weight_sd_g, pack_units,
                         price_minor, currency)
VALUES (%(tenant)s, %(sku)s, %(name_zh)s, %(name_en)s, %(gtin)s, %(unit_weight_g)s, %(unit_weight_sd_g)s,
        %(pack_units)s, %(price_minor)s, %(currency)s)
ON CONFLICT (tenant_id, sku) DO UPDATE
SET name_zh = excluded.name_zh, name_en = excluded.name_en, gtin = excluded.gtin,
    unit_weight_g = excluded.unit_weight_g, unit_weight_sd_g = excluded.unit_weight_sd_g,
    pack_units = excluded.pack_units, price_minor = excluded.price_minor, currency = excluded.currency
WHERE (kept.name_zh, kept.name_en, kept.gtin, kept.unit_weight_g, kept.unit_weight_sd_g, kept.pack_units,
       kept.price_minor, kept.currency) IS DISTINCT FROM
      (excluded.name_zh, excluded.name_en, excluded.gtin, excluded.unit_weight_g, excluded.unit_weight_sd_g,
       excluded.pack_units, excluded.price_minor, excluded.currency)
RETURNING (xmax = 0) AS created
""",
    Kind.SLOTS: """
INSERT INTO slot AS kept (tenant_id, gateway_id, slot_id, site_id, channel, sku, unit_weight_g, unit_weight_sd_g,
                          capacity)
VALUES (%(tenant)s, %(gateway)s, %(slot)s, %(site)s, %(channel)s, %(sku)s, %(unit_weight_g)s, %(unit_weight_sd_g)s,
        %(capacity)s)
ON CONFLICT (tenant_id, gateway_id, slot_id) DO UPDATE
SET site_id = excluded.site_id, channel = excluded.channel, sku = excluded.sku,
    unit_weight_g = excluded.unit_weight_g, unit_weight_sd_g = excluded.unit_weight_sd_g, capacity = excluded.capacity
WHERE (kept.site_id, kept.channel, kept.sku, kept.unit_weight_g, kept.unit_weight_sd_g, kept.capacity) IS DISTINCT FROM
      (excluded.site_id, excluded.channel, excluded.sku, excluded.unit_weight_g, excluded.unit_weight_sd_g,
       excluded.capacity)
RETURNING (xmax = 0) AS created
""",
    Kind.POS_SALES: """
INSERT INTO pos_sale (tenant, site, sku, units, sold_at, receipt, line)
VALUES (%(tenant)s, %(site)s, %(sku)s, %(units)s, %(sold_at)s, %(receipt)s, %(line)s)
ON CONFLICT (tenant, site, receipt, line) DO NOTHING
RETURNING true AS created
""",
}

# The case that the file tells of; people name further packs.
FIRST_PACK = """
INSERT INTO sku_pack AS kept (tenant_id, sku, uom, factor)
SELECT %(tenant)s, %(sku)s, 'case', %(pack_units)s WHERE %(pack_units)s > 1
ON CONFLICT (tenant_id, sku, uom) DO UPDATE SET factor = excluded.factor WHERE kept.factor <> excluded.factor
"""

# Only the first values: a policy belongs to people from then on.
FIRST_POLICY = """
INSERT INTO stock_policy (tenant_id, site_id, sku, reorder_point, target)
VALUES (%(tenant)s, %(site)s, %(sku)s, %(reorder_point)s, %(target)s)
ON CONFLICT DO NOTHING
"""
