"""SQL of inventory. Every statement carries the caller's scope: tenant_id, and sites (NULL: all)."""

POSITIONS = """
SELECT t.site_id, t.gateway_id, t.slot_id, t.sku, k.name_zh, k.name_en, t.capacity, p.on_shelf, p.as_of,
       r.reorder_point, r.target, s.series_id
FROM slot t
JOIN sku k ON k.tenant_id = t.tenant_id AND k.sku = t.sku
LEFT JOIN shelf_position p
       ON p.tenant_id = t.tenant_id AND p.gateway_id = t.gateway_id AND p.slot_id = t.slot_id
LEFT JOIN stock_policy r ON r.tenant_id = t.tenant_id AND r.site_id = t.site_id AND r.sku = t.sku
LEFT JOIN series s ON s.tenant_id = t.tenant_id AND s.gateway_id = t.gateway_id AND s.channel = t.channel
WHERE t.tenant_id = %(tenant_id)s
  AND (%(sites)s::text[] IS NULL OR t.site_id = ANY(%(sites)s))
  AND (%(site)s::text IS NULL OR t.site_id = %(site)s)
  AND (%(sku)s::text IS NULL OR t.sku = %(sku)s)
  AND (%(after_gateway)s::text IS NULL OR (t.gateway_id, t.slot_id) > (%(after_gateway)s, %(after_slot)s))
ORDER BY t.gateway_id, t.slot_id
LIMIT %(limit)s
"""

EVENTS = """
SELECT e.site_id, e.gateway_id, e.event_id, e.slot_id, e.sku, e.kind, e.units, e.delta_g, e.confidence, e.on_shelf,
       e.of_event, e.why, e.other, e.synced, e.time, e.received_at
FROM shelf_event e
WHERE e.tenant_id = %(tenant_id)s
  AND (%(sites)s::text[] IS NULL OR e.site_id = ANY(%(sites)s))
  AND (%(site)s::text IS NULL OR e.site_id = %(site)s)
  AND (%(gateway)s::text IS NULL OR e.gateway_id = %(gateway)s)
  AND (%(slot)s::text IS NULL OR e.slot_id = %(slot)s)
  AND (%(sku)s::text IS NULL OR e.sku = %(sku)s)
  AND (%(kinds)s::text[] IS NULL OR e.kind = ANY(%(kinds)s))
  AND (%(since)s::timestamptz IS NULL OR e.time >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR e.time < %(until)s)
  AND (%(after_at)s::timestamptz IS NULL
       OR (e.received_at, e.gateway_id, e.event_id) < (%(after_at)s, %(after_gateway)s, %(after_event)s))
ORDER BY e.received_at DESC, e.gateway_id DESC, e.event_id DESC
LIMIT %(limit)s
"""

# Days and hours are those of the site's own clock. Whole ones come from sell_through, a day's from its days: what the
# ends of the range cut off is summed from whole hours, and of a cut hour from its events. Only what begins before the
# horizon is summed, as no page needs it all; and a page begins where the last one ended. OFFSET 0 keeps each range a
# walk along an index: PostgreSQL would rather read all events of the site and sieve. What was put back within the 20 s
# of a pick is an event of its own, so net sales are the sum.
SELL_THROUGH = """
WITH span AS (
    SELECT s.site_id, s.timezone,
           date_trunc('hour', %(since)s + interval '1 hour' - interval '1 microsecond', s.timezone) AS hour_lo,
           date_trunc('hour', %(until)s, s.timezone) AS hour_hi,
           date_trunc('day', (%(since)s AT TIME ZONE s.timezone) + interval '1 day' - interval '1 microsecond')
               AT TIME ZONE s.timezone AS day_lo,
           date_trunc('day', %(until)s, s.timezone) AS day_hi
    FROM site s
    WHERE s.tenant_id = %(tenant_id)s
      AND (%(sites)s::text[] IS NULL OR s.site_id = ANY(%(sites)s))
      AND (%(site)s::text IS NULL OR s.site_id = %(site)s)
), whole AS (
    SELECT *, CASE WHEN %(by)s = 'day' THEN day_lo ELSE hour_hi END AS lo,
           CASE WHEN %(by)s = 'day' THEN day_hi ELSE hour_hi END AS hi
    FROM span
), range AS (
    SELECT site_id, timezone, step, greatest(begins, %(after_start)s) AS begins,
           least(ends, %(horizon)s + %(longest)s) AS ends
    FROM whole CROSS JOIN LATERAL (VALUES
        ('event', %(since)s, least(hour_lo, %(until)s)), ('event', greatest(hour_lo, hour_hi), %(until)s),
        ('hour', hour_lo, least(lo, hour_hi)), ('hour', greatest(lo, hi), hour_hi),
        ('day', lo, hi)
    ) AS bounds (step, begins, ends)
    WHERE begins < ends
), part AS (
    SELECT date_trunc(%(by)s, e.time, a.timezone) AS start, a.site_id, e.sku, e.sold, e.put_back, e.restocked
    FROM range a CROSS JOIN LATERAL (
        SELECT * FROM selling s
        WHERE s.tenant_id = %(tenant_id)s AND s.site_id = a.site_id AND s.time >= a.begins AND s.time < a.ends OFFSET 0
    ) AS e
    WHERE a.step = 'event'
    UNION ALL
    SELECT CASE WHEN a.step = %(by)s THEN r.start ELSE date_trunc(%(by)s, r.start, a.timezone) END, a.site_id, r.sku,
           r.sold, r.put_back, r.restocked
    FROM range a CROSS JOIN LATERAL (
        SELECT * FROM sell_through s
        WHERE s.tenant_id = %(tenant_id)s AND s.site_id = a.site_id AND s.step = a.step
          AND s.start >= a.begins AND s.start < a.ends OFFSET 0
    ) AS r
    WHERE a.step <> 'event'
)
SELECT start, site_id, sku, sum(sold)::bigint AS sold, sum(put_back)::bigint AS put_back,
       sum(restocked)::bigint AS restocked
FROM part
WHERE start < %(horizon)s
  AND (%(sku)s::text IS NULL OR sku = %(sku)s)
  AND (%(after_start)s::timestamptz IS NULL
       OR (start, site_id, sku) > (%(after_start)s, %(after_site)s, %(after_sku)s))
GROUP BY start, site_id, sku
HAVING sum(sold) <> 0 OR sum(put_back) <> 0 OR sum(restocked) <> 0
ORDER BY start, site_id, sku
LIMIT %(limit)s
"""

# What lay on all slots of a SKU at a site, as a staircase: each event steps by how much its slot's count changed.
# A slot counts from the first time that it was observed; before it the SKU is not judged by it. Slots and SKUs go by
# numbers, since thousands of events are sorted by them twice.
AVAILABILITY = """
WITH wanted AS (
    SELECT row_number() OVER (ORDER BY site_id, sku) AS pair, site_id, sku FROM (
        SELECT DISTINCT t.site_id, t.sku FROM slot t
        WHERE t.tenant_id = %(tenant_id)s
          AND (%(sites)s::text[] IS NULL OR t.site_id = ANY(%(sites)s))
          AND (%(site)s::text IS NULL OR t.site_id = %(site)s)
          AND (%(sku)s::text IS NULL OR t.sku = %(sku)s)
          AND (%(after_site)s::text IS NULL OR (t.site_id, t.sku) > (%(after_site)s, %(after_sku)s))
        ORDER BY 1, 2
        LIMIT %(limit)s
    ) AS page
), place AS (
    SELECT row_number() OVER (ORDER BY t.gateway_id, t.slot_id) AS place, pair, t.tenant_id, t.gateway_id, t.slot_id,
           t.sku
    FROM slot t JOIN wanted USING (site_id, sku)
    WHERE t.tenant_id = %(tenant_id)s
), counted AS (
    SELECT p.pair, p.place, %(since)s AS at, 0::bigint AS lane_seq, before.on_shelf
    FROM place p
    CROSS JOIN LATERAL (
        SELECT e.on_shelf FROM shelf_event e
        WHERE e.tenant_id = p.tenant_id AND e.gateway_id = p.gateway_id AND e.slot_id = p.slot_id
          AND e.sku = p.sku AND e.time < %(since)s AND e.on_shelf IS NOT NULL
        ORDER BY e.time DESC, e.lane_seq DESC
        LIMIT 1
    ) AS before
    UNION ALL
    SELECT p.pair, p.place, e.time, e.lane_seq, e.on_shelf
    FROM place p
    JOIN shelf_event e ON e.tenant_id = p.tenant_id AND e.gateway_id = p.gateway_id AND e.slot_id = p.slot_id
    WHERE e.sku = p.sku AND e.time >= %(since)s AND e.time < %(until)s AND e.on_shelf IS NOT NULL
), step AS (
    SELECT pair, place, at, lane_seq, on_shelf - lag(on_shelf, 1, 0) OVER slot AS change
    FROM counted
    WINDOW slot AS (PARTITION BY place ORDER BY at, lane_seq)
), stair AS (
    SELECT pair, at, sum(change) OVER stairs AS units, lead(at, 1, %(until)s) OVER stairs AS next_at
    FROM step
    WINDOW stairs AS (PARTITION BY pair ORDER BY at, place, lane_seq)
), summed AS (
    SELECT pair, min(at) AS since, sum(next_at - at) AS observed,
           sum(next_at - at) FILTER (WHERE units <= 0) AS empty
    FROM stair GROUP BY pair
)
SELECT site_id, sku, since, coalesce(extract(epoch FROM observed), 0)::float8 AS observed_s,
       coalesce(extract(epoch FROM empty), 0)::float8 AS empty_s
FROM wanted LEFT JOIN summed USING (pair)
ORDER BY pair
"""
