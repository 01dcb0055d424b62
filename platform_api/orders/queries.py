"""SQL of orders. Every statement carries tenant_id; row security holds beneath it."""

_ORDER = """
SELECT o.order_id, o.order_no, o.org_id, o.ship_from, o.ship_to, o.currency, o.state, o.reference, o.proposal_id,
       o.net_minor, o.adjustment_minor, o.total_minor, o.committed_minor, o.credit_overridden,
       o.created_at, o.submitted_at, o.updated_at,
       o.version
FROM sales_order o
WHERE o.tenant_id = %(tenant_id)s
  AND (%(orgs)s::text[] IS NULL OR o.org_id = ANY(%(orgs)s))
"""

ORDERS = f"""{_ORDER}
  AND (%(org_id)s::text IS NULL OR o.org_id = %(org_id)s)
  AND (%(states)s::text[] IS NULL OR o.state = ANY(%(states)s))
  AND (%(after)s::uuid IS NULL OR o.order_id < %(after)s)
ORDER BY o.order_id DESC
LIMIT %(limit)s
"""

ORDER = f"{_ORDER} AND o.order_id = %(order_id)s"

ORDER_FOR_UPDATE = f"{ORDER} FOR UPDATE"

LINES = """
SELECT l.line_no, l.sku, l.uom, l.factor, l.packs, l.units, l.unit_price_minor, l.net_minor, l.tax_basis_points,
       l.explanation, l.reserved_units, l.shipped_units, l.delivered_units, l.returned_units, l.refused_units,
       l.missing_units, l.invoiced_minor, l.credited_minor,
       coalesce((SELECT jsonb_agg(jsonb_build_object('kind', a.kind, 'amount_minor', a.amount_minor,
                                                     'explanation', a.explanation) ORDER BY a.kind)
                 FROM order_adjustment a
                 WHERE a.tenant_id = l.tenant_id AND a.order_id = l.order_id AND a.line_no = l.line_no), '[]')
           AS adjustments
FROM order_line l
WHERE l.tenant_id = %(tenant_id)s AND l.order_id = %(order_id)s
ORDER BY l.line_no
"""

HISTORY = """
SELECT action, from_state, to_state, reason, login, at FROM order_event
WHERE tenant_id = %(tenant_id)s AND order_id = %(order_id)s
ORDER BY event_no
"""

BY_NUMBER = "SELECT order_id AS subject FROM sales_order WHERE tenant_id = %(tenant_id)s AND order_no = %(number)s"

COUNT_OPEN = """
SELECT count(*) AS n FROM sales_order
WHERE tenant_id = %(tenant_id)s AND state NOT IN ('delivered', 'closed', 'cancelled')
"""

INSERT_ORDER = """
INSERT INTO sales_order (tenant_id, order_id, org_id, ship_from, ship_to, currency, reference, proposal_id, created_by)
VALUES (%(tenant_id)s, %(order_id)s, %(org_id)s, %(ship_from)s, %(ship_to)s, %(currency)s, %(reference)s,
        %(proposal_id)s, %(user_id)s)
ON CONFLICT DO NOTHING
RETURNING order_id
"""

DELETE_LINES = "DELETE FROM order_line WHERE tenant_id = %(tenant_id)s AND order_id = %(order_id)s"

DISCOUNTS = """
SELECT line_no, basis_points, amount_minor, reason FROM order_discount
WHERE tenant_id = %(tenant_id)s AND order_id = %(order_id)s
"""

DELETE_DISCOUNTS = "DELETE FROM order_discount WHERE tenant_id = %(tenant_id)s AND order_id = %(order_id)s"

INSERT_DISCOUNT = """
INSERT INTO order_discount (tenant_id, order_id, line_no, basis_points, amount_minor, reason)
VALUES (%(tenant_id)s, %(order_id)s, %(line_no)s, %(basis_points)s, %(amount_minor)s, %(reason)s)
"""

INSERT_LINE = """
INSERT INTO order_line (tenant_id, order_id, line_no, sku, uom, factor, packs, units, unit_price_minor, net_minor,
                        tax_basis_points, explanation)
VALUES (%(tenant_id)s, %(order_id)s, %(line_no)s, %(sku)s, %(uom)s, %(factor)s, %(packs)s, %(units)s,
        %(unit_price_minor)s, %(net_minor)s, %(tax_basis_points)s, %(explanation)s)
"""

INSERT_ADJUSTMENT = """
INSERT INTO order_adjustment (tenant_id, order_id, line_no, kind, amount_minor, explanation)
VALUES (%(tenant_id)s, %(order_id)s, %(line_no)s, %(kind)s, %(amount_minor)s, %(explanation)s)
"""

SET_TOTALS = """
UPDATE sales_order
SET net_minor = %(net_minor)s, adjustment_minor = %(adjustment_minor)s, total_minor = %(total_minor)s,
    ship_from = coalesce(%(ship_from)s, ship_from), ship_to = coalesce(%(ship_to)s, ship_to),
    reference = coalesce(%(reference)s, reference), updated_at = book_time()
WHERE tenant_id = %(tenant_id)s AND order_id = %(order_id)s
"""

SET_STATE = """
UPDATE sales_order
SET state = %(state)s, updated_at = book_time(),
    submitted_at = CASE WHEN %(state)s IN ('submitted', 'credit_hold') THEN book_time() ELSE submitted_at END
WHERE tenant_id = %(tenant_id)s AND order_id = %(order_id)s
"""

# Once for each request that changed an order, whatever it changed: what ETag names.
BUMP = """
UPDATE sales_order
SET version = version + 1, committed_minor = committed_minor + %(committed_minor)s, updated_at = book_time()
WHERE tenant_id = %(tenant_id)s AND order_id = %(order_id)s
"""

ADD_COMMITTED = """
UPDATE sales_order SET committed_minor = committed_minor + %(amount_minor)s
WHERE tenant_id = %(tenant_id)s AND order_id = %(order_id)s
"""

OVERRIDE_CREDIT = """
UPDATE sales_order SET credit_overridden = true WHERE tenant_id = %(tenant_id)s AND order_id = %(order_id)s
"""

INSERT_EVENT = """
INSERT INTO order_event (tenant_id, order_id, action, from_state, to_state, reason, login)
VALUES (%(tenant_id)s, %(order_id)s, %(action)s, %(from_state)s, %(to_state)s, %(reason)s, %(login)s)
"""

CHANGE_LINE = """
UPDATE order_line
SET reserved_units = reserved_units + %(reserved)s, shipped_units = shipped_units + %(shipped)s,
    delivered_units = delivered_units + %(delivered)s, returned_units = returned_units + %(returned)s,
    refused_units = refused_units + %(refused)s, missing_units = missing_units + %(missing)s,
    invoiced_minor = invoiced_minor + %(invoiced)s, credited_minor = credited_minor + %(credited)s
WHERE tenant_id = %(tenant_id)s AND order_id = %(order_id)s AND line_no = %(line_no)s
"""

RELEASE_LINES = """
UPDATE order_line SET reserved_units = 0 WHERE tenant_id = %(tenant_id)s AND order_id = %(order_id)s
"""

# Orders that wait for units, the oldest first. Those that somebody works on are left to the next round.
BACK_ORDERS = """
SELECT o.tenant_id, o.order_id FROM sales_order o
WHERE o.state IN ('approved', 'allocated', 'part_shipped')
  AND EXISTS (
      SELECT FROM order_line l
      JOIN stock_balance b ON b.tenant_id = l.tenant_id AND b.location_id = o.ship_from AND b.sku = l.sku
      WHERE l.tenant_id = o.tenant_id AND l.order_id = o.order_id
        AND l.units > l.reserved_units + l.shipped_units
        AND b.on_hand - expired_units(b.tenant_id, b.location_id, b.sku) > b.reserved
  )
ORDER BY o.tenant_id, o.order_id
LIMIT 200
"""

# A warehouse of the nearest organisation above the buyer that has one, then one of nobody in particular.
DEFAULT_WAREHOUSE = """
SELECT l.location_id FROM location l
LEFT JOIN site s ON s.tenant_id = l.tenant_id AND s.site_id = l.site_id
WHERE l.tenant_id = %(tenant_id)s AND l.kind = 'warehouse'
  AND (s.org_id IS NULL OR s.org_id = ANY(%(chain)s))
ORDER BY array_position(%(chain)s, s.org_id) NULLS LAST, l.location_id
LIMIT 1
"""

PLACE = """
SELECT l.location_id, l.kind, l.site_id, s.org_id FROM location l
LEFT JOIN site s ON s.tenant_id = l.tenant_id AND s.site_id = l.site_id
WHERE l.tenant_id = %(tenant_id)s AND l.location_id = %(location)s
"""
