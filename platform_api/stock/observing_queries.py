"""SQL of the worker's jobs on stock: events to book, and what shelves and books say as of one time. All tenants."""

# What the stream wrote since, as it came: numbers of a lane begin at 1 again when a gateway lost its outbox. Rows that
# another worker has are left to it.
TAKE = """
SELECT i.tenant_id, i.gateway_id, i.event_id, e.time, e.site_id, e.slot_id, e.sku, e.kind, e.units, e.on_shelf,
       e.lane_seq, e.received_at, coalesce(d.source, 'telemetry') AS source,
       EXISTS (SELECT FROM sku k WHERE k.tenant_id = e.tenant_id AND k.sku = e.sku) AS known,
       EXISTS (SELECT FROM location l
               WHERE l.tenant_id = e.tenant_id AND l.location_id = e.site_id || '.shelf') AS placed
FROM stock_inbox i
JOIN shelf_event e USING (tenant_id, gateway_id, event_id)
LEFT JOIN LATERAL (
    SELECT s.source FROM depletion_source s
    WHERE s.tenant_id = e.tenant_id AND s.site_id = e.site_id AND s.sku = e.sku AND s.since <= e.time
    ORDER BY s.since DESC LIMIT 1
) d ON true
WHERE i.retry_at <= %(now)s
ORDER BY i.tenant_id, i.gateway_id, e.received_at, e.lane_seq, i.event_id
LIMIT %(limit)s
FOR UPDATE OF i SKIP LOCKED
"""

SETTLE = """
DELETE FROM stock_inbox
WHERE tenant_id = %(tenant_id)s AND gateway_id = %(gateway_id)s AND event_id = %(event_id)s
"""

PUT_OFF = """
UPDATE stock_inbox SET error = %(error)s, retry_at = %(retry_at)s
WHERE tenant_id = %(tenant_id)s AND gateway_id = %(gateway_id)s AND event_id = %(event_id)s
"""

OPEN_SLOT = """
INSERT INTO stock_opening (tenant_id, gateway_id, slot_id, sku, lane_seq, counted_at)
VALUES (%(tenant_id)s, %(gateway_id)s, %(slot_id)s, %(sku)s, %(lane_seq)s, %(time)s)
ON CONFLICT DO NOTHING
"""

OPENED_AT = """
SELECT lane_seq, counted_at, opened_at FROM stock_opening
WHERE tenant_id = %(tenant_id)s AND gateway_id = %(gateway_id)s AND slot_id = %(slot_id)s AND sku = %(sku)s
"""

# What lay on all slots of a SKU at a store as of one time, next to what the ledger says of that time. Where tills have
# the word it is the time of the last sale that they told, if that is earlier. Left out are shelves whose every slot has
# not been counted yet, whose events or sales wait to be booked, whose gateway is away, or whose device was in doubt:
# such a device never posts. Left out as well are those that people counted while nobody has booked it, and those whose
# books were corrected after that time: the difference of then has had its correction.
COMPARE = """
WITH shelf AS (
    SELECT DISTINCT t.tenant_id, t.site_id, t.sku FROM slot t
), moment AS (
    SELECT s.tenant_id, s.site_id, s.sku,
           CASE (SELECT d.source FROM depletion_source d
                 WHERE d.tenant_id = s.tenant_id AND d.site_id = s.site_id AND d.sku = s.sku AND d.since <= %(as_of)s
                 ORDER BY d.since DESC LIMIT 1)
                WHEN 'pos' THEN least(%(as_of)s, (SELECT max(p.sold_at) FROM pos_sale p
                                                  WHERE p.tenant = s.tenant_id AND p.site = s.site_id))
                ELSE %(as_of)s END AS as_of
    FROM shelf s
), counted AS (
    SELECT t.tenant_id, t.site_id, t.sku, t.gateway_id, t.slot_id, m.as_of, seen.on_shelf
    FROM slot t
    JOIN moment m USING (tenant_id, site_id, sku)
    JOIN stock_opening o USING (tenant_id, gateway_id, slot_id, sku)
    LEFT JOIN LATERAL (
        SELECT e.on_shelf FROM shelf_event e
        WHERE e.tenant_id = t.tenant_id AND e.gateway_id = t.gateway_id AND e.slot_id = t.slot_id AND e.sku = t.sku
          AND e.time <= m.as_of AND e.on_shelf IS NOT NULL
        ORDER BY e.time DESC, e.lane_seq DESC LIMIT 1
    ) seen ON true
), observed AS (
    SELECT c.tenant_id, c.site_id, c.sku, c.as_of, sum(c.on_shelf)::int AS units
    FROM counted c
    GROUP BY 1, 2, 3, 4
    HAVING count(c.on_shelf) = (SELECT count(*) FROM slot t
                                WHERE t.tenant_id = c.tenant_id AND t.site_id = c.site_id AND t.sku = c.sku)
)
SELECT o.tenant_id, o.site_id, o.sku, o.as_of, o.units AS observed,
       coalesce((SELECT sum(e.units) FROM stock_entry e
                 WHERE e.tenant_id = o.tenant_id AND e.location_id = o.site_id || '.shelf' AND e.sku = o.sku
                   AND e.happened_at <= o.as_of), 0)::int AS booked,
       r.case_id, r.state, r.windows, r.observed AS observed_before, r.booked AS booked_before,
       r.as_of AS as_of_before
FROM observed o
LEFT JOIN recon_case r ON r.tenant_id = o.tenant_id AND r.location_id = o.site_id || '.shelf' AND r.sku = o.sku
                      AND r.state IN ('watched', 'count_asked')
WHERE NOT EXISTS (
    SELECT FROM stock_inbox i JOIN shelf_event e USING (tenant_id, gateway_id, event_id)
    WHERE i.tenant_id = o.tenant_id AND e.site_id = o.site_id AND e.sku = o.sku
) AND NOT EXISTS (
    SELECT FROM pos_inbox i WHERE i.tenant_id = o.tenant_id AND i.site_id = o.site_id AND i.sku = o.sku
) AND NOT EXISTS (
    SELECT FROM slot t
    LEFT JOIN gateway_presence p ON p.tenant_id = t.tenant_id AND p.gateway_id = t.gateway_id
    WHERE t.tenant_id = o.tenant_id AND t.site_id = o.site_id AND t.sku = o.sku
      AND p.state IS DISTINCT FROM 'online'
) AND NOT EXISTS (
    SELECT FROM slot t JOIN anomaly a ON a.tenant_id = t.tenant_id AND a.gateway_id = t.gateway_id
    WHERE t.tenant_id = o.tenant_id AND t.site_id = o.site_id AND t.sku = o.sku
      AND a.state IN ('open', 'acknowledged') AND a.kind IN ('drift', 'stuck_sensor', 'dropout', 'device_fault')
      AND coalesce(a.end_at, 'infinity') > o.as_of
      -- All that a slot is part of: its gateway, itself, its series, its device, the controller of its bay.
      AND a.place IN (t.gateway_id, t.gateway_id || '/' || t.slot_id, t.gateway_id || '/' || t.channel,
                      t.gateway_id || '/' || split_part(t.channel, '.', 1),
                      t.gateway_id || '/' || regexp_replace(split_part(t.channel, '.', 1), '-b[^-]*$', ''))
) AND NOT EXISTS (
    SELECT FROM stock_count c JOIN stock_count_line n USING (tenant_id, count_id)
    WHERE c.tenant_id = o.tenant_id AND c.location_id = o.site_id || '.shelf' AND c.state = 'submitted'
      AND n.sku = o.sku
) AND NOT EXISTS (
    SELECT FROM stock_entry e JOIN stock_move m USING (tenant_id, move_id)
    WHERE e.tenant_id = o.tenant_id AND e.location_id = o.site_id || '.shelf' AND e.sku = o.sku
      AND e.happened_at > o.as_of AND m.source NOT IN ('shelf', 'opening', 'pos')
)
ORDER BY o.tenant_id, o.site_id, o.sku
"""

# Another worker may have judged it meanwhile.
LOCK_CASE = """
SELECT as_of FROM recon_case
WHERE tenant_id = %(tenant_id)s AND case_id = %(case_id)s AND state IN ('watched', 'count_asked')
FOR UPDATE
"""

# Of a place that is locked.
BOOKED_THEN = """
SELECT coalesce(sum(units), 0)::int AS booked FROM stock_entry
WHERE tenant_id = %(tenant_id)s AND location_id = %(location)s AND sku = %(sku)s AND happened_at <= %(as_of)s
"""

OPEN_CASE = """
INSERT INTO recon_case (tenant_id, case_id, location_id, sku, observed, booked, as_of)
VALUES (%(tenant_id)s, %(case_id)s, %(location)s, %(sku)s, %(observed)s, %(booked)s, %(as_of)s)
ON CONFLICT DO NOTHING
"""

MOVE_CASE = """
UPDATE recon_case
SET state = %(state)s, observed = %(observed)s, booked = %(booked)s, as_of = %(as_of)s, windows = %(windows)s,
    count_id = coalesce(%(count_id)s, count_id), updated_at = now()
WHERE tenant_id = %(tenant_id)s AND case_id = %(case_id)s
"""
