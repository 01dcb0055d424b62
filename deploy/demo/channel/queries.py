"""SQL of the demo's channel: what its people look at before they decide. Every statement carries tenant_id."""

TRAVEL = "SELECT set_config('app.book_time', %(at)s, true)"

# One history at a time, whoever plays it.
LOCK = "SELECT pg_advisory_xact_lock(hashtextextended(%(tenant_id)s, 23))"

PEOPLE = "SELECT login, user_id FROM app_user WHERE tenant_id = %(tenant_id)s"

FREE = """
SELECT sku, on_hand - reserved AS free FROM stock_balance
WHERE tenant_id = %(tenant_id)s AND location_id = %(location)s
"""

# The tills' daily receipts: the first, and of how many days there are any.
PLAYED = """
SELECT min(receipt) AS first, count(DISTINCT receipt) AS days FROM pos_sale
WHERE tenant = %(tenant_id)s AND receipt LIKE %(receipt)s
"""

OWED = """
SELECT coalesce(sum(amount_minor) FILTER (WHERE kind <> 'invoice' OR at < %(before)s), 0)::bigint AS amount_minor
FROM ar_entry WHERE tenant_id = %(tenant_id)s AND org_id = %(org)s AND kind <> 'deposit'
"""

TAXED = """
UPDATE sku SET tax_basis_points = %(tax)s, by_lot = sku = ANY(%(by_lot)s), version = version + 1
WHERE tenant_id = %(tenant_id)s AND (tax_basis_points, by_lot) IS DISTINCT FROM (%(tax)s, sku = ANY(%(by_lot)s))
"""

DRAFT_LISTS = """
SELECT list_id FROM price_list WHERE tenant_id = %(tenant_id)s AND state = 'draft' ORDER BY list_id FOR UPDATE
"""

IMAGED = "SELECT sku FROM sku_image WHERE tenant_id = %(tenant_id)s"

INSERT_CARRIER = """
INSERT INTO carrier (tenant_id, carrier_id, kind, name)
VALUES (%(tenant_id)s, 'van', 'simulated', '晨露自有车队 Own vans')
ON CONFLICT DO NOTHING
"""

LIVE_PROPOSALS = """
SELECT sku FROM proposal
WHERE tenant_id = %(tenant_id)s AND site_id = %(site)s AND state IN ('open', 'approved', 'ordered')
"""

CYCLE = """
SELECT coalesce(max(cycle), 0) + 1 AS cycle FROM proposal
WHERE tenant_id = %(tenant_id)s AND site_id = %(site)s AND sku = %(sku)s
"""

ORDER_OF_PROPOSAL = """
SELECT order_id FROM proposal_flow WHERE tenant_id = %(tenant_id)s AND proposal_id = %(proposal_id)s
"""

TODAY = """
SELECT 1 AS one FROM sales_order WHERE tenant_id = %(tenant_id)s AND reference = %(reference)s LIMIT 1
"""

COUNTS = """
SELECT (SELECT count(*) FROM sales_order WHERE tenant_id = %(tenant_id)s) AS orders,
       (SELECT count(*) FROM shipment WHERE tenant_id = %(tenant_id)s) AS shipments,
       (SELECT count(*) FROM order_return WHERE tenant_id = %(tenant_id)s) AS returns,
       (SELECT count(*) FROM ar_entry WHERE tenant_id = %(tenant_id)s) AS receivables,
       (SELECT count(*) FROM stock_move WHERE tenant_id = %(tenant_id)s) AS moves,
       (SELECT count(*) FROM pos_sale WHERE tenant = %(tenant_id)s) AS lines_of_tills,
       (SELECT count(*) FROM proposal WHERE tenant_id = %(tenant_id)s) AS proposals,
       (SELECT count(*) FROM refill_task WHERE tenant_id = %(tenant_id)s) AS refills,
       (SELECT count(*) FROM stock_count WHERE tenant_id = %(tenant_id)s) AS counts
"""
