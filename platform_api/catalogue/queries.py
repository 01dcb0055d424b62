"""SQL of the catalogue. Every statement carries tenant_id; row security holds beneath it."""

_SKU = """
SELECT k.sku, k.name_zh, k.name_en, k.gtin, k.unit_weight_g, k.unit_weight_sd_g, k.tax_basis_points, k.by_lot, k.state,
       k.version, k.pack_units,
       coalesce((SELECT jsonb_agg(jsonb_build_object('uom', p.uom, 'factor', p.factor, 'gtin', p.gtin)
                                  ORDER BY p.factor)
                 FROM sku_pack p WHERE p.tenant_id = k.tenant_id AND p.sku = k.sku), '[]') AS packs
FROM sku k
WHERE k.tenant_id = %(tenant_id)s
"""

SKUS = f"""{_SKU}
  AND (%(after)s::text IS NULL OR k.sku > %(after)s)
  AND (%(text)s::text IS NULL OR strpos(lower(k.name_zh || ' ' || k.name_en || ' ' || k.sku || ' ' || k.gtin),
                                        lower(%(text)s)) > 0)
ORDER BY k.sku
LIMIT %(limit)s
"""

SKU = f"{_SKU} AND k.sku = %(sku)s"

SKUS_BY_NAME = f"{_SKU} AND k.sku = ANY(%(skus)s)"

LOCK_SKU = "SELECT version FROM sku WHERE tenant_id = %(tenant_id)s AND sku = %(sku)s FOR UPDATE"

INSERT_SKU = """
INSERT INTO sku (tenant_id, sku, name_zh, name_en, gtin, unit_weight_g, unit_weight_sd_g, tax_basis_points, by_lot,
                 state, pack_units)
VALUES (%(tenant_id)s, %(sku)s, %(name_zh)s, %(name_en)s, %(gtin)s, %(unit_weight_g)s, %(unit_weight_sd_g)s,
        %(tax_basis_points)s, %(by_lot)s, %(state)s, %(pack_units)s)
ON CONFLICT DO NOTHING
RETURNING sku
"""

UPDATE_SKU = """
UPDATE sku
SET name_zh = %(name_zh)s, name_en = %(name_en)s, gtin = %(gtin)s, unit_weight_g = %(unit_weight_g)s,
    unit_weight_sd_g = %(unit_weight_sd_g)s, tax_basis_points = %(tax_basis_points)s, by_lot = %(by_lot)s,
    state = %(state)s, pack_units = %(pack_units)s, version = version + 1
WHERE tenant_id = %(tenant_id)s AND sku = %(sku)s
"""

DELETE_PACKS = "DELETE FROM sku_pack WHERE tenant_id = %(tenant_id)s AND sku = %(sku)s"

INSERT_PACK = """
INSERT INTO sku_pack (tenant_id, sku, uom, factor, gtin)
VALUES (%(tenant_id)s, %(sku)s, %(uom)s, %(factor)s, %(gtin)s)
"""

_LIST = """
SELECT l.list_id, l.name, l.level, l.target, l.currency, l.state, l.version,
       coalesce((SELECT jsonb_agg(jsonb_build_object(
                            'sku', i.sku, 'uom', i.uom, 'min_qty', i.min_qty, 'amount_minor', i.amount_minor,
                            'valid_from', i.valid_from, 'valid_to', i.valid_to) ORDER BY i.item_no)
                 FROM price_item i WHERE i.tenant_id = l.tenant_id AND i.list_id = l.list_id), '[]') AS items
FROM price_list l
WHERE l.tenant_id = %(tenant_id)s
"""

LISTS = f"""{_LIST}
  AND (%(after)s::text IS NULL OR l.list_id > %(after)s)
ORDER BY l.list_id
LIMIT %(limit)s
"""

LIST = f"{_LIST} AND l.list_id = %(list_id)s"

LOCK_LIST = """
SELECT version, state FROM price_list WHERE tenant_id = %(tenant_id)s AND list_id = %(list_id)s FOR UPDATE
"""

COUNT_LISTS = "SELECT count(*) AS n FROM price_list WHERE tenant_id = %(tenant_id)s"

INSERT_LIST = """
INSERT INTO price_list (tenant_id, list_id, name, level, target, currency)
VALUES (%(tenant_id)s, %(list_id)s, %(name)s, %(level)s, %(target)s, %(currency)s)
ON CONFLICT DO NOTHING
RETURNING list_id
"""

UPDATE_LIST = """
UPDATE price_list
SET name = %(name)s, level = %(level)s, target = %(target)s, currency = %(currency)s, version = version + 1
WHERE tenant_id = %(tenant_id)s AND list_id = %(list_id)s
"""

DELETE_ITEMS = "DELETE FROM price_item WHERE tenant_id = %(tenant_id)s AND list_id = %(list_id)s"

INSERT_ITEM = """
INSERT INTO price_item (tenant_id, list_id, item_no, sku, uom, min_qty, amount_minor, valid_from, valid_to)
VALUES (%(tenant_id)s, %(list_id)s, %(item_no)s, %(sku)s, %(uom)s, %(min_qty)s, %(amount_minor)s, %(valid_from)s,
        %(valid_to)s)
"""

# One publication of a tenant at a time: two lists, each without a tie, could tie with one another.
LOCK_PUBLICATION = "SELECT pg_advisory_xact_lock(hashtextextended(%(tenant_id)s, 8))"

SET_LIST_STATE = """
UPDATE price_list
SET state = %(state)s, version = version + 1,
    published_at = CASE WHEN %(state)s = 'published' THEN now() ELSE published_at END
WHERE tenant_id = %(tenant_id)s AND list_id = %(list_id)s
"""

# Published prices, and those of one list that shall be.
RIVALS = """
SELECT l.list_id, l.level, l.target, l.currency, i.sku, i.uom, i.min_qty, i.amount_minor, i.valid_from, i.valid_to
FROM price_list l JOIN price_item i USING (tenant_id, list_id)
JOIN price_list n ON n.tenant_id = l.tenant_id AND n.level = l.level AND n.target = l.target AND n.list_id = %(list_id)s
WHERE l.tenant_id = %(tenant_id)s AND (l.state = 'published' OR l.list_id = %(list_id)s)
"""

# Prices that may concern a buyer; which one holds is decided in pricing.py.
PRICES = """
SELECT l.list_id, l.level, l.target, l.currency, i.sku, i.uom, i.min_qty, i.amount_minor, i.valid_from, i.valid_to
FROM price_list l JOIN price_item i USING (tenant_id, list_id)
WHERE l.tenant_id = %(tenant_id)s AND l.state = 'published' AND i.sku = ANY(%(skus)s) AND l.currency = %(currency)s
  AND (l.level = 'default' OR (l.level = 'segment' AND l.target = %(segment)s)
       OR (l.level IN ('special', 'org') AND l.target = ANY(%(chain)s)))
"""

# An organisation and those above it, the nearest first.
CHAIN = """
WITH RECURSIVE above AS (
    SELECT o.org_id, o.parent_id, o.segment, 0 AS depth
    FROM org o WHERE o.tenant_id = %(tenant_id)s AND o.org_id = %(org_id)s
    UNION ALL
    SELECT o.org_id, o.parent_id, o.segment, a.depth + 1
    FROM org o JOIN above a ON o.org_id = a.parent_id WHERE o.tenant_id = %(tenant_id)s AND a.depth < 32
)
SELECT org_id, segment FROM above ORDER BY depth
"""

ENTITLEMENTS = """
SELECT org_id, sku, allowed FROM entitlement
WHERE tenant_id = %(tenant_id)s AND org_id = ANY(%(chain)s) AND (%(skus)s::text[] IS NULL OR sku = ANY(%(skus)s))
"""

DELETE_ENTITLEMENTS = "DELETE FROM entitlement WHERE tenant_id = %(tenant_id)s AND org_id = %(org_id)s"

INSERT_ENTITLEMENT = """
INSERT INTO entitlement (tenant_id, org_id, sku, allowed) VALUES (%(tenant_id)s, %(org_id)s, %(sku)s, %(allowed)s)
"""

# The picture itself only for who does not have it.
IMAGE = """
SELECT media_type, sha256, CASE WHEN sha256 = ANY(%(known)s) THEN NULL ELSE content END AS content FROM sku_image
WHERE tenant_id = %(tenant_id)s AND sku = %(sku)s
"""

KEEP_IMAGE = """
INSERT INTO sku_image (tenant_id, sku, media_type, sha256, content)
VALUES (%(tenant_id)s, %(sku)s, %(media_type)s, %(sha256)s, %(content)s)
ON CONFLICT (tenant_id, sku) DO UPDATE
SET media_type = excluded.media_type, sha256 = excluded.sha256, content = excluded.content, updated_at = now()
"""

IMAGE_TAG = "SELECT sha256 FROM sku_image WHERE tenant_id = %(tenant_id)s AND sku = %(sku)s"

DELETE_IMAGE = "DELETE FROM sku_image WHERE tenant_id = %(tenant_id)s AND sku = %(sku)s"
