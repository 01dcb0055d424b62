"""SQL of replenishment. Every statement carries the caller's scope: tenant_id, and sites (NULL: all)."""

_COLUMNS = """
SELECT p.proposal_id, p.site_id, p.sku, k.name_zh, k.name_en, p.cycle, p.units, p.state, p.evidence, p.triggered_at,
       p.created_at, p.updated_at, p.version, f.outcome, f.note, f.order_id, f.considered
FROM proposal p
LEFT JOIN proposal_flow f ON f.tenant_id = p.tenant_id AND f.proposal_id = p.proposal_id
LEFT JOIN sku k ON k.tenant_id = p.tenant_id AND k.sku = p.sku
WHERE p.tenant_id = %(tenant_id)s
  AND (%(sites)s::text[] IS NULL OR p.site_id = ANY(%(sites)s))
"""

PROPOSALS = f"""{_COLUMNS}
  AND (%(site)s::text IS NULL OR p.site_id = %(site)s)
  AND (%(sku)s::text IS NULL OR p.sku = %(sku)s)
  AND (%(states)s::text[] IS NULL OR p.state = ANY(%(states)s))
  AND (%(after_at)s::timestamptz IS NULL OR (p.created_at, p.proposal_id) < (%(after_at)s, %(after_id)s))
ORDER BY p.created_at DESC, p.proposal_id DESC
LIMIT %(limit)s
"""

PROPOSAL = f"{_COLUMNS} AND p.proposal_id = %(proposal_id)s"

PROPOSAL_FOR_UPDATE = f"{PROPOSAL} FOR UPDATE OF p"

DECIDE = """
UPDATE proposal SET state = %(state)s, updated_at = book_time(), version = version + 1
WHERE tenant_id = %(tenant_id)s AND proposal_id = %(proposal_id)s AND version = %(version)s
"""

POLICIES = """
SELECT t.site_id, t.sku, t.mode, t.reorder_point, t.target, t.cooldown_s, t.min_order, t.tuned_nightly, t.updated_at
FROM stock_policy t
WHERE t.tenant_id = %(tenant_id)s
  AND (%(sites)s::text[] IS NULL OR t.site_id = ANY(%(sites)s))
  AND (%(site)s::text IS NULL OR t.site_id = %(site)s)
  AND (%(sku)s::text IS NULL OR t.sku = %(sku)s)
  AND (%(after_site)s::text IS NULL OR (t.site_id, t.sku) > (%(after_site)s, %(after_sku)s))
ORDER BY t.site_id, t.sku
LIMIT %(limit)s
"""

PUT_POLICY = """
INSERT INTO stock_policy (tenant_id, site_id, sku, mode, reorder_point, target, cooldown_s, min_order, tuned_nightly)
SELECT s.tenant_id, s.site_id, k.sku, %(mode)s, %(reorder_point)s, %(target)s, %(cooldown_s)s, %(min_order)s,
       %(tuned_nightly)s
FROM site s JOIN sku k ON k.tenant_id = s.tenant_id AND k.sku = %(sku)s
WHERE s.tenant_id = %(tenant_id)s AND s.site_id = %(site)s
  AND (%(sites)s::text[] IS NULL OR s.site_id = ANY(%(sites)s))
ON CONFLICT (tenant_id, site_id, sku) DO UPDATE
SET mode = excluded.mode, reorder_point = excluded.reorder_point, target = excluded.target,
    cooldown_s = excluded.cooldown_s, min_order = excluded.min_order,
    tuned_nightly = excluded.tuned_nightly, updated_at = now()
RETURNING site_id, sku, mode, reorder_point, target, cooldown_s, min_order, tuned_nightly, updated_at
"""

LANES = """
SELECT l.origin, l.destination, l.currency, l.cost_minor, l.allowed FROM transfer_lane l
WHERE l.tenant_id = %(tenant_id)s
  AND (%(sites)s::text[] IS NULL OR l.origin = ANY(%(sites)s) AND l.destination = ANY(%(sites)s))
  AND (%(after_origin)s::text IS NULL OR (l.origin, l.destination) > (%(after_origin)s, %(after_destination)s))
ORDER BY l.origin, l.destination
LIMIT %(limit)s
"""

PUT_LANE = """
INSERT INTO transfer_lane (tenant_id, origin, destination, currency, cost_minor, allowed)
SELECT o.tenant_id, o.site_id, d.site_id, %(currency)s, %(cost_minor)s, %(allowed)s
FROM site o JOIN site d ON d.tenant_id = o.tenant_id AND d.site_id = %(destination)s
WHERE o.tenant_id = %(tenant_id)s AND o.site_id = %(origin)s
  AND (%(sites)s::text[] IS NULL OR o.site_id = ANY(%(sites)s) AND d.site_id = ANY(%(sites)s))
ON CONFLICT (tenant_id, origin, destination) DO UPDATE
SET currency = excluded.currency, cost_minor = excluded.cost_minor, allowed = excluded.allowed
RETURNING origin, destination, currency, cost_minor, allowed
"""

DELETE_LANE = """
DELETE FROM transfer_lane
WHERE tenant_id = %(tenant_id)s AND origin = %(origin)s AND destination = %(destination)s
  AND (%(sites)s::text[] IS NULL OR origin = ANY(%(sites)s) AND destination = ANY(%(sites)s))
"""
