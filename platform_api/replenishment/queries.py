"""SQL of replenishment. Every statement carries the caller's scope: tenant_id, and sites (NULL: all)."""

_COLUMNS = """
SELECT p.proposal_id, p.site_id, p.sku, k.name_zh, k.name_en, p.cycle, p.units, p.state, p.evidence, p.triggered_at,
       p.created_at, p.updated_at, p.version
FROM proposal p
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
UPDATE proposal SET state = %(state)s, updated_at = now(), version = version + 1
WHERE tenant_id = %(tenant_id)s AND proposal_id = %(proposal_id)s AND version = %(version)s
"""
