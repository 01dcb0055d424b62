"""SQL of transfers that somebody asked for: seen by whoever sees one of both places."""

_TRANSFER = """
SELECT r.transfer_id, r.origin, r.destination, r.state, r.reference, r.reason, r.proposal_id, r.created_at,
       r.updated_at, r.version,
       (SELECT jsonb_agg(jsonb_build_object('sku', n.sku, 'units', n.units, 'held', n.held, 'sent', n.sent,
                                            'received', n.received, 'missing', n.missing, 'given_up', n.given_up)
                         ORDER BY n.sku)
        FROM transfer_request_line n WHERE n.tenant_id = r.tenant_id AND n.transfer_id = r.transfer_id) AS lines
FROM transfer_request r
WHERE r.tenant_id = %(tenant_id)s
  AND (%(sites)s::text[] IS NULL OR EXISTS (
      SELECT FROM location l WHERE l.tenant_id = r.tenant_id AND l.location_id IN (r.origin, r.destination)
        AND l.site_id = ANY(%(sites)s)))
"""

_NEWEST = """
  AND (%(states)s::text[] IS NULL OR r.state = ANY(%(states)s))
  AND (%(after)s::uuid IS NULL OR r.transfer_id < %(after)s)
ORDER BY r.transfer_id DESC
LIMIT %(limit)s
"""

TRANSFERS = f"{_TRANSFER}{_NEWEST}"

# Of who sees some places: the newest of each of these, and of them the newest.
TRANSFERS_OF_PART = f"""{_TRANSFER}
  AND r.transfer_id IN (
      SELECT n.transfer_id FROM location l CROSS JOIN LATERAL (
          (SELECT r.transfer_id FROM transfer_request r
           WHERE r.tenant_id = %(tenant_id)s AND r.origin = l.location_id {_NEWEST})
          UNION ALL
          (SELECT r.transfer_id FROM transfer_request r
           WHERE r.tenant_id = %(tenant_id)s AND r.destination = l.location_id {_NEWEST})
      ) n
      WHERE l.tenant_id = %(tenant_id)s AND l.site_id = ANY(%(sites)s))
ORDER BY r.transfer_id DESC
LIMIT %(limit)s
"""

TRANSFER = f"{_TRANSFER} AND r.transfer_id = %(transfer_id)s"

LOCK_TRANSFER = f"{TRANSFER} FOR UPDATE OF r"

INSERT_TRANSFER = """
INSERT INTO transfer_request (tenant_id, transfer_id, origin, destination, reference, proposal_id, created_by)
VALUES (%(tenant_id)s, %(transfer_id)s, %(origin)s, %(destination)s, %(reference)s, %(proposal_id)s, %(user_id)s)
ON CONFLICT (tenant_id, proposal_id, origin) WHERE proposal_id IS NOT NULL DO NOTHING
RETURNING transfer_id
"""

INSERT_LINE = """
INSERT INTO transfer_request_line (tenant_id, transfer_id, sku, units)
VALUES (%(tenant_id)s, %(transfer_id)s, %(sku)s, %(units)s)
"""

CHANGE_LINE = """
UPDATE transfer_request_line
SET held = held + %(held)s, sent = sent + %(sent)s, received = received + %(received)s,
    missing = missing + %(missing)s, given_up = given_up + %(given_up)s
WHERE tenant_id = %(tenant_id)s AND transfer_id = %(transfer_id)s AND sku = %(sku)s
"""

SET_STATE = """
UPDATE transfer_request
SET state = %(state)s, last_act = %(act)s, reason = coalesce(%(reason)s, reason), updated_at = book_time(),
    version = version + 1
WHERE tenant_id = %(tenant_id)s AND transfer_id = %(transfer_id)s
"""

BUMP = """
UPDATE transfer_request SET updated_at = book_time(), version = version + 1
WHERE tenant_id = %(tenant_id)s AND transfer_id = %(transfer_id)s
"""

# Transfers that wait for units which have come, the oldest first. On a shelf nothing can be held for anybody.
BACK_ORDERS = """
SELECT r.tenant_id, r.transfer_id FROM transfer_request r
JOIN location l ON l.tenant_id = r.tenant_id AND l.location_id = r.origin AND l.kind <> 'shelf'
WHERE r.state IN ('requested', 'part_sent')
  AND EXISTS (
      SELECT FROM transfer_request_line n
      JOIN stock_balance b ON b.tenant_id = n.tenant_id AND b.location_id = r.origin AND b.sku = n.sku
      WHERE n.tenant_id = r.tenant_id AND n.transfer_id = r.transfer_id
        AND n.units > n.held + n.sent + n.given_up
        AND b.on_hand - expired_units(b.tenant_id, b.location_id, b.sku) > b.reserved
  )
ORDER BY r.tenant_id, r.transfer_id
LIMIT 200
"""
