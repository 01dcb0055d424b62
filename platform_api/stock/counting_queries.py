"""SQL of counts and cases. Every statement carries tenant_id; row security holds beneath it."""

from platform_api.stock.queries import SEEN

INSERT_COUNT = """
INSERT INTO stock_count (tenant_id, count_id, location_id, reason, created_by)
VALUES (%(tenant_id)s, %(count_id)s, %(location)s, %(reason)s, %(user_id)s)
"""

INSERT_LINE = """
INSERT INTO stock_count_line (tenant_id, count_id, sku) VALUES (%(tenant_id)s, %(count_id)s, %(sku)s)
ON CONFLICT DO NOTHING
"""

# What lies at a place by the books.
SKUS_AT = """
SELECT sku FROM stock_balance
WHERE tenant_id = %(tenant_id)s AND location_id = %(location)s AND on_hand <> 0 ORDER BY sku
"""

# booked is told once it is decided: whoever counts must not know it.
_COUNT = f"""
SELECT c.count_id, c.location_id, c.state, c.reason, c.created_at, c.counted_at, c.posted_at, c.version,
       (SELECT u.login FROM app_user u WHERE u.user_id = c.counted_by) AS counted_by,
       coalesce((SELECT jsonb_agg(jsonb_build_object('sku', n.sku, 'counted', n.counted, 'reason', n.reason,
                            'booked', CASE WHEN c.state = 'posted' THEN n.booked END) ORDER BY n.sku)
                 FROM stock_count_line n WHERE n.tenant_id = c.tenant_id AND n.count_id = c.count_id), '[]') AS lines
FROM stock_count c JOIN location l USING (tenant_id, location_id)
WHERE c.tenant_id = %(tenant_id)s AND {SEEN}
"""

COUNTS = f"""{_COUNT}
  AND (%(after)s::uuid IS NULL OR c.count_id < %(after)s)
ORDER BY c.count_id DESC
LIMIT %(limit)s
"""

COUNT = f"{_COUNT} AND c.count_id = %(count_id)s"

LOCK_COUNT = f"""
SELECT c.location_id, c.state, c.version, c.counted_at, c.counted_by
FROM stock_count c JOIN location l USING (tenant_id, location_id)
WHERE c.tenant_id = %(tenant_id)s AND c.count_id = %(count_id)s AND {SEEN}
FOR UPDATE OF c
"""

WRITE_LINE = """
INSERT INTO stock_count_line AS kept (tenant_id, count_id, sku, counted, reason)
VALUES (%(tenant_id)s, %(count_id)s, %(sku)s, %(counted)s, %(reason)s)
ON CONFLICT (tenant_id, count_id, sku) DO UPDATE SET counted = excluded.counted, reason = excluded.reason
"""

BUMP = "UPDATE stock_count SET version = version + 1 WHERE tenant_id = %(tenant_id)s AND count_id = %(count_id)s"

SUBMIT = """
UPDATE stock_count
SET state = 'submitted', counted_at = %(now)s, counted_by = %(user_id)s, version = version + 1
WHERE tenant_id = %(tenant_id)s AND count_id = %(count_id)s
"""

MISSING = """
SELECT sku FROM stock_count_line
WHERE tenant_id = %(tenant_id)s AND count_id = %(count_id)s AND counted IS NULL ORDER BY sku
"""

# What was booked as of the time of the count: what moved since changes both sides alike. Its places are locked. Where a
# later count is booked already, the difference of this one is in it.
BOOKED = """
SELECT n.sku, n.counted, n.reason,
       EXISTS (SELECT FROM stock_count c JOIN stock_count_line x USING (tenant_id, count_id)
               WHERE c.tenant_id = n.tenant_id AND c.location_id = %(location)s AND c.state = 'posted'
                 AND c.counted_at > %(counted_at)s AND x.sku = n.sku) AS counted_again,
       coalesce((SELECT sum(e.units) FROM stock_entry e
                 WHERE e.tenant_id = n.tenant_id AND e.location_id = %(location)s AND e.sku = n.sku
                   AND e.happened_at <= %(counted_at)s), 0)::int AS booked
FROM stock_count_line n
WHERE n.tenant_id = %(tenant_id)s AND n.count_id = %(count_id)s
ORDER BY n.sku
"""

COUNTED = """
SELECT sku FROM stock_count_line WHERE tenant_id = %(tenant_id)s AND count_id = %(count_id)s
"""

EXPLAIN = """
UPDATE stock_count_line SET reason = %(reason)s
WHERE tenant_id = %(tenant_id)s AND count_id = %(count_id)s AND sku = %(sku)s
"""

KEEP_BOOKED = """
UPDATE stock_count_line SET booked = %(booked)s
WHERE tenant_id = %(tenant_id)s AND count_id = %(count_id)s AND sku = %(sku)s
"""

END = """
UPDATE stock_count
SET state = %(state)s, posted_at = %(now)s, posted_by = %(user_id)s, version = version + 1
WHERE tenant_id = %(tenant_id)s AND count_id = %(count_id)s
"""

# Cases that waited for this count have had it.
CLOSE_CASES = """
UPDATE recon_case SET state = 'gone', updated_at = now()
WHERE tenant_id = %(tenant_id)s AND count_id = %(count_id)s AND state = 'count_asked'
"""

# booked is told to nobody while somebody counts there (_COUNT).
CASES = f"""
SELECT r.case_id, r.location_id, r.sku, r.state, r.observed, r.as_of, r.windows, r.opened_at, r.count_id,
       CASE WHEN NOT is_counted(r.tenant_id, r.location_id, r.sku) THEN r.booked END AS booked
FROM recon_case r JOIN location l USING (tenant_id, location_id)
WHERE r.tenant_id = %(tenant_id)s AND {SEEN}
  AND (%(after)s::uuid IS NULL OR r.case_id < %(after)s)
ORDER BY r.case_id DESC
LIMIT %(limit)s
"""

PERIOD = """
SELECT p.month, p.closed_at, (SELECT u.login FROM app_user u WHERE u.user_id = p.closed_by) AS closed_by
FROM stock_period p WHERE p.tenant_id = %(tenant_id)s AND p.month = %(month)s
"""

PERIODS = """
SELECT p.month, p.closed_at, (SELECT u.login FROM app_user u WHERE u.user_id = p.closed_by) AS closed_by
FROM stock_period p WHERE p.tenant_id = %(tenant_id)s
  AND (%(after)s::date IS NULL OR p.month < %(after)s)
ORDER BY p.month DESC
LIMIT %(limit)s
"""

CLOSE_PERIOD = """
INSERT INTO stock_period (tenant_id, month, closed_by) VALUES (%(tenant_id)s, %(month)s, %(user_id)s)
ON CONFLICT DO NOTHING
"""
