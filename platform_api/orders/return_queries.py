"""SQL of returns. Every statement carries tenant_id; row security holds beneath it."""

_RETURN = """
SELECT r.return_id, r.order_id, r.org_id, r.shipment_id, r.state, r.reason, r.decision, r.created_at, r.updated_at,
       r.version, o.currency,
       coalesce((SELECT jsonb_agg(jsonb_build_object('line_no', l.line_no, 'sku', l.sku, 'units', l.units,
                                            'reason', l.reason, 'restocked', l.restocked,
                                            'written_off', l.written_off, 'held', l.held,
                                            'credited_minor', l.credited_minor) ORDER BY l.line_no)
        FROM order_return_line l WHERE l.tenant_id = r.tenant_id AND l.return_id = r.return_id), '[]') AS lines
FROM order_return r JOIN sales_order o USING (tenant_id, order_id)
WHERE r.tenant_id = %(tenant_id)s AND (%(orgs)s::text[] IS NULL OR r.org_id = ANY(%(orgs)s))
"""

RETURNS = f"""{_RETURN}
  AND (%(order_id)s::uuid IS NULL OR r.order_id = %(order_id)s)
  AND (%(after)s::uuid IS NULL OR r.return_id < %(after)s)
ORDER BY r.return_id DESC
LIMIT %(limit)s
"""

RETURN = f"{_RETURN} AND r.return_id = %(return_id)s"

LOCK_RETURN = f"{RETURN} FOR UPDATE OF r"

# Units by line of an order that other returns will bring back, of those that were delivered.
UNDER_WAY = """
SELECT l.line_no, sum(l.units)::int AS units
FROM order_return r JOIN order_return_line l USING (tenant_id, return_id)
WHERE r.tenant_id = %(tenant_id)s AND r.order_id = %(order_id)s AND r.state IN ('requested', 'approved')
  AND r.shipment_id IS NULL
GROUP BY l.line_no
"""

INSERT_RETURN = """
INSERT INTO order_return (tenant_id, return_id, order_id, org_id, shipment_id, state, reason, requested_by)
VALUES (%(tenant_id)s, %(return_id)s, %(order_id)s, %(org_id)s, %(shipment_id)s, %(state)s, %(reason)s, %(user_id)s)
"""

INSERT_LINE = """
INSERT INTO order_return_line (tenant_id, return_id, line_no, sku, units, reason)
VALUES (%(tenant_id)s, %(return_id)s, %(line_no)s, %(sku)s, %(units)s, %(line_reason)s)
"""

SET_STATE = """
UPDATE order_return SET state = %(state)s, decision = %(decision)s, updated_at = book_time(), version = version + 1
WHERE tenant_id = %(tenant_id)s AND return_id = %(return_id)s
"""

SET_FATE = """
UPDATE order_return_line
SET restocked = %(restocked)s, written_off = %(written_off)s, held = %(held)s, credited_minor = %(credited_minor)s
WHERE tenant_id = %(tenant_id)s AND return_id = %(return_id)s AND line_no = %(line_no)s
"""
