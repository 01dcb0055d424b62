"""SQL of stock. Every statement carries tenant_id; row security holds beneath it."""

# A site's locations are seen by whoever sees the site; those of the tenant by people of the whole tenant.
SEEN = "(%(sites)s::text[] IS NULL OR l.site_id = ANY(%(sites)s))"

_LOCATION = f"""
SELECT l.location_id, l.kind, l.site_id, l.parent_id, l.name FROM location l
WHERE l.tenant_id = %(tenant_id)s AND {SEEN}
"""

LOCATIONS = f"""{_LOCATION}
  AND (%(after)s::text IS NULL OR l.location_id > %(after)s)
ORDER BY l.location_id
LIMIT %(limit)s
"""

LOCATION = f"{_LOCATION} AND l.location_id = %(location)s"

_BALANCE = f"""
SELECT b.location_id, l.kind, l.site_id, l.name AS place, b.sku, k.name_zh, k.name_en, b.on_hand,
       b.reserved, b.value_minor, k.currency, b.updated_at,
       expired_units(b.tenant_id, b.location_id, b.sku) AS expired,
       coalesce((SELECT sum(d.units) FROM due_receipt d
                 WHERE d.tenant_id = b.tenant_id AND d.location_id = b.location_id AND d.sku = b.sku
                   AND d.state = 'open' AND (%(until)s::timestamptz IS NULL OR d.due_at <= %(until)s)), 0)::int AS due
FROM stock_balance b
JOIN location l USING (tenant_id, location_id)
JOIN sku k USING (tenant_id, sku)
WHERE b.tenant_id = %(tenant_id)s AND {SEEN}
  AND (%(location)s::text IS NULL OR b.location_id = %(location)s)
  AND (%(sku)s::text IS NULL OR b.sku = %(sku)s)
  AND (%(kind)s::text IS NULL OR l.kind = %(kind)s)
  AND (%(site)s::text IS NULL OR l.site_id = %(site)s)
  AND (%(least)s::int IS NULL OR b.on_hand >= %(least)s)
"""

BALANCES = f"""{_BALANCE}
  AND (%(after_location)s::text IS NULL OR (b.location_id, b.sku) > (%(after_location)s, %(after_sku)s))
ORDER BY b.location_id, b.sku
LIMIT %(limit)s
"""

# For people: nothing where nothing lies, is promised or is due, and kinds of places in the order that is given.
BALANCES_IN_USE = f"""{_BALANCE}
  AND (b.on_hand <> 0 OR b.reserved <> 0
       OR EXISTS (SELECT FROM due_receipt d
                  WHERE d.tenant_id = b.tenant_id AND d.location_id = b.location_id AND d.sku = b.sku
                    AND d.state = 'open'))
  AND (%(after_rank)s::int IS NULL OR (array_position(%(kinds)s::text[], l.kind), b.location_id, b.sku)
       > (%(after_rank)s, %(after_location)s, %(after_sku)s))
ORDER BY array_position(%(kinds)s::text[], l.kind), b.location_id, b.sku
LIMIT %(limit)s
"""

_MOVES = """
SELECT m.move_id, m.kind, m.happened_at, m.booked_at, m.posted_at, m.reason, m.reference, k.currency,
       e.entry_no, e.location_id, e.sku, e.units, e.value_minor, o.code AS lot
"""

_NEWEST = """
  AND (%(sku)s::text IS NULL OR e.sku = %(sku)s)
  AND (%(after_move)s::uuid IS NULL OR (e.move_id, e.entry_no) < (%(after_move)s, %(after_entry)s))
ORDER BY e.move_id DESC, e.entry_no DESC
LIMIT %(limit)s
"""

MOVES = f"""{_MOVES}
FROM stock_entry e
JOIN stock_move m USING (tenant_id, move_id)
JOIN location l USING (tenant_id, location_id)
JOIN sku k USING (tenant_id, sku)
LEFT JOIN lot o USING (tenant_id, lot_id)
WHERE e.tenant_id = %(tenant_id)s AND {SEEN}
  AND (%(location)s::text IS NULL OR e.location_id = %(location)s)
  AND (%(reference)s::text IS NULL OR m.reference = %(reference)s)
  AND (%(since)s::timestamptz IS NULL OR m.happened_at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR m.happened_at < %(until)s)
{_NEWEST}"""

# The same of a part of the tenant at any time: the newest of each of its places, rather than a walk past those of all
# others.
MOVES_OF_PART = f"""{_MOVES}
FROM (
    SELECT n.* FROM location l CROSS JOIN LATERAL (
        SELECT e.tenant_id, e.move_id, e.entry_no FROM stock_entry e
        WHERE e.tenant_id = %(tenant_id)s AND e.location_id = l.location_id {_NEWEST}
    ) n
    WHERE l.tenant_id = %(tenant_id)s AND l.site_id = ANY(%(sites)s)
    ORDER BY n.move_id DESC, n.entry_no DESC
    LIMIT %(limit)s
) n
JOIN stock_entry e USING (tenant_id, move_id, entry_no)
JOIN stock_move m USING (tenant_id, move_id)
JOIN sku k USING (tenant_id, sku)
LEFT JOIN lot o USING (tenant_id, lot_id)
ORDER BY e.move_id DESC, e.entry_no DESC
"""

# ---------------------------------------------------------------- the ledger

# Held together with other posters, but never with a closing of periods.
SHARE_PERIODS = "SELECT pg_advisory_xact_lock_shared(hashtextextended(%(tenant_id)s, 9))"
HOLD_PERIODS = "SELECT pg_advisory_xact_lock(hashtextextended(%(tenant_id)s, 9))"

# Months of UTC, whatever the clock of the session.
IS_CLOSED = """
SELECT EXISTS (
    SELECT FROM stock_period
    WHERE tenant_id = %(tenant_id)s AND month = date_trunc('month', %(at)s::timestamptz AT TIME ZONE 'UTC')::date
) AS closed
"""

INSERT_MOVE = """
INSERT INTO stock_move (tenant_id, move_id, kind, happened_at, booked_at, source, source_event_id, reason, reference,
                        user_id)
VALUES (%(tenant_id)s, %(move_id)s, %(kind)s, %(happened_at)s, %(booked_at)s, %(source)s, %(source_event_id)s,
        %(reason)s, %(reference)s, %(user_id)s)
ON CONFLICT (tenant_id, source, source_event_id) DO NOTHING
RETURNING move_id
"""

INSERT_ENTRIES = """
INSERT INTO stock_entry (tenant_id, move_id, entry_no, location_id, sku, lot_id, units, value_minor, happened_at)
SELECT %(tenant_id)s, %(move_id)s, n.entry_no, n.location_id, n.sku, n.lot_id, n.units, n.value_minor, %(happened_at)s
FROM unnest(%(locations)s::text[], %(skus)s::text[], %(lots)s::uuid[], %(units)s::int[], %(values)s::bigint[])
     WITH ORDINALITY AS n (location_id, sku, lot_id, units, value_minor, entry_no)
"""

LOCATION_KINDS = """
SELECT location_id, kind FROM location WHERE tenant_id = %(tenant_id)s AND location_id = ANY(%(locations)s)
"""

# In the order of the key, as every lock of balances: two transactions never wait for each other.
ADD_BALANCES = """
INSERT INTO stock_balance (tenant_id, location_id, sku, unbounded)
SELECT %(tenant_id)s, w.location_id, w.sku, l.kind = 'shelf'
FROM unnest(%(locations)s::text[], %(skus)s::text[]) AS w (location_id, sku)
JOIN location l ON l.tenant_id = %(tenant_id)s AND l.location_id = w.location_id
WHERE l.kind IN ('warehouse', 'store', 'shelf', 'transit', 'hold')
ORDER BY w.location_id COLLATE "C", w.sku COLLATE "C"
ON CONFLICT DO NOTHING
"""

LOCK_BALANCES = """
SELECT b.location_id, b.sku, b.on_hand, b.reserved, b.value_minor, b.unbounded
FROM stock_balance b
JOIN unnest(%(locations)s::text[], %(skus)s::text[]) AS w (location_id, sku) USING (location_id, sku)
WHERE b.tenant_id = %(tenant_id)s
ORDER BY b.location_id COLLATE "C", b.sku COLLATE "C"
FOR UPDATE OF b
"""

# Of places that are locked.
UPDATE_BALANCES = """
UPDATE stock_balance b
SET on_hand = b.on_hand + n.units, value_minor = b.value_minor + n.value_minor, updated_at = now()
FROM unnest(%(locations)s::text[], %(skus)s::text[], %(units)s::int[], %(values)s::bigint[])
     AS n (location_id, sku, units, value_minor)
WHERE b.tenant_id = %(tenant_id)s AND b.location_id = n.location_id AND b.sku = n.sku
"""

CHANGE_RESERVED = """
UPDATE stock_balance SET reserved = reserved + %(units)s, updated_at = now()
WHERE tenant_id = %(tenant_id)s AND location_id = %(location)s AND sku = %(sku)s
"""

ADD_LOT = """
INSERT INTO stock_lot AS kept (tenant_id, location_id, sku, lot_id, units)
VALUES (%(tenant_id)s, %(location)s, %(sku)s, %(lot_id)s, %(units)s)
ON CONFLICT (tenant_id, location_id, sku, lot_id) DO UPDATE SET units = kept.units + excluded.units
"""

TAKE_LOT = """
UPDATE stock_lot SET units = units + %(units)s
WHERE tenant_id = %(tenant_id)s AND location_id = %(location)s AND sku = %(sku)s AND lot_id = %(lot_id)s
  AND units + %(units)s >= 0
"""

LOTS_AT = """
SELECT s.sku, s.lot_id, o.code, o.expires_on, s.units FROM stock_lot s JOIN lot o USING (tenant_id, lot_id)
WHERE s.tenant_id = %(tenant_id)s AND s.location_id = %(location)s AND s.sku = ANY(%(skus)s) AND s.units > 0
ORDER BY o.expires_on NULLS LAST, s.lot_id
"""

KEEP_LOT = """
INSERT INTO lot AS kept (tenant_id, lot_id, sku, code, expires_on)
VALUES (%(tenant_id)s, %(lot_id)s, %(sku)s, %(code)s, %(expires_on)s)
ON CONFLICT (tenant_id, sku, code) DO UPDATE SET expires_on = coalesce(kept.expires_on, excluded.expires_on)
RETURNING lot_id, expires_on
"""

KNOWN_SKUS = "SELECT sku, by_lot FROM sku WHERE tenant_id = %(tenant_id)s AND sku = ANY(%(skus)s)"

# ---------------------------------------------------------------- reservations

INSERT_RESERVATION = """
INSERT INTO reservation (tenant_id, reservation_id, location_id, sku, units, reference, expires_at)
VALUES (%(tenant_id)s, %(reservation_id)s, %(location)s, %(sku)s, %(units)s, %(reference)s, %(expires_at)s)
"""

EXPIRED_UNITS = """
SELECT w.sku, expired_units(%(tenant_id)s, %(location)s, w.sku) AS units FROM unnest(%(skus)s::text[]) AS w (sku)
"""

# Where units have expired that are promised to nobody. For the worker, of all tenants.
EXPIRED_PLACES = """
SELECT b.tenant_id, b.location_id, b.sku FROM stock_balance b JOIN location l USING (tenant_id, location_id)
WHERE l.kind IN ('warehouse', 'store') AND b.on_hand > b.reserved
  AND (b.tenant_id, b.location_id, b.sku) IN (
      SELECT s.tenant_id, s.location_id, s.sku FROM stock_lot s JOIN lot o USING (tenant_id, lot_id)
      WHERE s.units > 0 AND o.expires_on <= (book_time() AT TIME ZONE 'UTC')::date)
ORDER BY b.tenant_id, b.location_id, b.sku
LIMIT 500
"""

# Of a place that is locked; as expired_units.
EXPIRED_LOTS = """
SELECT s.lot_id, s.units FROM stock_lot s JOIN lot o USING (tenant_id, lot_id)
WHERE s.tenant_id = %(tenant_id)s AND s.location_id = %(location_id)s AND s.sku = %(sku)s AND s.units > 0
  AND o.expires_on <= (book_time() AT TIME ZONE 'UTC')::date
ORDER BY o.expires_on, s.lot_id
"""

HELD = """
SELECT reservation_id, location_id, sku, units FROM reservation
WHERE tenant_id = %(tenant_id)s AND reference = %(reference)s AND state = 'held'
  AND (%(location)s::text IS NULL OR location_id = %(location)s)
ORDER BY location_id COLLATE "C", sku COLLATE "C", reservation_id
"""

END_RESERVATION = """
UPDATE reservation SET state = %(state)s
WHERE tenant_id = %(tenant_id)s AND reservation_id = %(reservation_id)s AND state = 'held'
"""

SHRINK_RESERVATION = """
UPDATE reservation SET units = units - %(units)s
WHERE tenant_id = %(tenant_id)s AND reservation_id = %(reservation_id)s
"""

EXPIRED = """
SELECT tenant_id, reservation_id, location_id, sku, units FROM reservation
WHERE state = 'held' AND expires_at <= %(now)s
ORDER BY tenant_id, expires_at
LIMIT 500
"""
