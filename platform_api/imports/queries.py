"""SQL of the imports: what is registered already, and upserts that leave an equal row alone.

Every upsert returns ``created`` for a row that it wrote, and nothing for one that was the same.
"""

from typing import Final

from platform_api.kit.nouns import Kind

TENANTS = "SELECT tenant_id FROM tenant WHERE tenant_id = ANY(%(tenants)s)"
ORGS = "SELECT tenant_id, org_id FROM org WHERE tenant_id = ANY(%(tenants)s)"
# As a move by hand does it (tenancy): what is checked then is what stands until the end. In order of their names.
LOCK_TREES = """
SELECT pg_advisory_xact_lock(hashtextextended(t.name, 7)) FROM (SELECT unnest(%(tenants)s::text[]) AS name ORDER BY 1) t
"""
PARENTS = "SELECT tenant_id, org_id, parent_id FROM org WHERE tenant_id = ANY(%(tenants)s)"
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
LISTS = """
SELECT tenant_id, list_id, state, name, level, target, currency FROM price_list WHERE tenant_id = ANY(%(tenants)s)
"""
PACKS = "SELECT tenant_id, sku, uom FROM sku_pack WHERE tenant_id = ANY(%(tenants)s)"
GTINS = "SELECT tenant_id, gtin, sku, uom FROM sku_pack WHERE tenant_id = ANY(%(tenants)s) AND gtin <> ''"
PRICES = """
SELECT tenant_id, list_id, sku, uom, min_qty, valid_from, amount_minor, valid_to
FROM price_item WHERE tenant_id = ANY(%(tenants)s)
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
ON CONFLICT (tenant_id, org_id) DO UPDATE SET parent_id = excluded.parent_id, kind = excluded.kind,
    name = excluded.name, version = kept.version + 1
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
    pack_units = excluded.pack_units, price_minor = excluded.price_minor, currency = excluded.currency,
    version = kept.version + 1
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
    Kind.PACKS: """
INSERT INTO sku_pack AS kept (tenant_id, sku, uom, factor, gtin)
VALUES (%(tenant)s, %(sku)s, %(uom)s, %(factor)s, %(gtin)s)
ON CONFLICT (tenant_id, sku, uom) DO UPDATE SET factor = excluded.factor, gtin = excluded.gtin
WHERE (kept.factor, kept.gtin) IS DISTINCT FROM (excluded.factor, excluded.gtin)
RETURNING (xmax = 0) AS created
""",
    Kind.POLICIES: """
INSERT INTO stock_policy AS kept (tenant_id, site_id, sku, reorder_point, target, mode, cooldown_s)
VALUES (%(tenant)s, %(site)s, %(sku)s, %(reorder_point)s, %(target)s, %(mode)s, %(cooldown_s)s)
ON CONFLICT (tenant_id, site_id, sku) DO UPDATE
SET reorder_point = excluded.reorder_point, target = excluded.target, mode = excluded.mode,
    cooldown_s = excluded.cooldown_s, updated_at = now()
WHERE (kept.reorder_point, kept.target, kept.mode, kept.cooldown_s) IS DISTINCT FROM
      (excluded.reorder_point, excluded.target, excluded.mode, excluded.cooldown_s)
RETURNING (xmax = 0) AS created
""",
    Kind.PRICE_LISTS: """
INSERT INTO price_list AS kept (tenant_id, list_id, name, level, target, currency)
VALUES (%(tenant)s, %(list)s, %(name)s, %(level)s, %(target)s, %(currency)s)
ON CONFLICT (tenant_id, list_id) DO UPDATE
SET name = excluded.name, level = excluded.level, target = excluded.target, currency = excluded.currency,
    version = kept.version + 1
WHERE (kept.name, kept.level, kept.target, kept.currency) IS DISTINCT FROM
      (excluded.name, excluded.level, excluded.target, excluded.currency)
RETURNING (xmax = 0) AS created
""",
    Kind.PRICES: """
WITH known AS (
    SELECT item_no FROM price_item
    WHERE tenant_id = %(tenant)s AND list_id = %(list)s AND sku = %(sku)s AND uom = %(uom)s AND min_qty = %(min_qty)s
      AND valid_from IS NOT DISTINCT FROM %(valid_from)s::timestamptz
), changed AS (
    UPDATE price_item i SET amount_minor = %(amount_minor)s, valid_to = %(valid_to)s FROM known
    WHERE i.tenant_id = %(tenant)s AND i.list_id = %(list)s AND i.item_no = known.item_no
      AND (i.amount_minor, i.valid_to) IS DISTINCT FROM (%(amount_minor)s::bigint, %(valid_to)s::timestamptz)
    RETURNING false AS created
), made AS (
    INSERT INTO price_item (tenant_id, list_id, item_no, sku, uom, min_qty, amount_minor, valid_from, valid_to)
    SELECT %(tenant)s, %(list)s,
           (SELECT coalesce(max(item_no), 0) + 1 FROM price_item WHERE tenant_id = %(tenant)s AND list_id = %(list)s),
           %(sku)s, %(uom)s, %(min_qty)s, %(amount_minor)s, %(valid_from)s, %(valid_to)s
    WHERE NOT EXISTS (SELECT FROM known)
    RETURNING true AS created
)
SELECT created FROM changed UNION ALL SELECT created FROM made
""",
    Kind.ENTITLEMENTS: """
INSERT INTO entitlement AS kept (tenant_id, org_id, sku, allowed)
VALUES (%(tenant)s, %(org)s, %(sku)s, %(allowed)s)
ON CONFLICT (tenant_id, org_id, sku) DO UPDATE SET allowed = excluded.allowed WHERE kept.allowed <> excluded.allowed
RETURNING (xmax = 0) AS created
""",
    Kind.CREDIT: """
INSERT INTO credit_account AS kept (tenant_id, org_id, currency, limit_minor, auto_approve)
VALUES (%(tenant)s, %(org)s, %(currency)s, %(limit_minor)s, %(auto_approve)s)
ON CONFLICT (tenant_id, org_id, currency) DO UPDATE
SET limit_minor = excluded.limit_minor, auto_approve = excluded.auto_approve, version = kept.version + 1
WHERE (kept.limit_minor, kept.auto_approve) IS DISTINCT FROM (excluded.limit_minor, excluded.auto_approve)
RETURNING (xmax = 0) AS created
""",
    Kind.POS_SALES: """
INSERT INTO pos_sale (tenant, site, sku, units, sold_at, receipt, line)
VALUES (%(tenant)s, %(site)s, %(sku)s, %(units)s, %(sold_at)s, %(receipt)s, %(line)s)
ON CONFLICT (tenant, site, receipt, line) DO NOTHING
RETURNING true AS created
""",
    Kind.CHANNEL_SETTINGS: """
INSERT INTO channel_setting AS kept (tenant_id, gateway_id, channel, class, interval_s, limit_c, limit_s)
VALUES (%(tenant)s, %(gateway)s, %(channel)s, %(class_)s, %(interval_s)s, %(limit_c)s, %(limit_s)s)
ON CONFLICT (tenant_id, gateway_id, channel) DO UPDATE
SET class = excluded.class, interval_s = excluded.interval_s, limit_c = excluded.limit_c, limit_s = excluded.limit_s
WHERE (kept.class, kept.interval_s, kept.limit_c, kept.limit_s) IS DISTINCT FROM
      (excluded.class, excluded.interval_s, excluded.limit_c, excluded.limit_s)
RETURNING (xmax = 0) AS created
""",
    Kind.PROMOTION_PLAN: """
INSERT INTO promotion_plan AS kept (tenant_id, site_id, sku, first_day, last_day, depth)
VALUES (%(tenant)s, %(site)s, %(sku)s, %(first_day)s, %(last_day)s, %(depth)s)
ON CONFLICT (tenant_id, site_id, sku, first_day) DO UPDATE SET last_day = excluded.last_day, depth = excluded.depth
WHERE (kept.last_day, kept.depth) IS DISTINCT FROM (excluded.last_day, excluded.depth)
RETURNING (xmax = 0) AS created
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
