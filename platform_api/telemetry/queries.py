"""SQL of telemetry.

Every statement carries the caller's scope (tenant_id, and sites; NULL: all), or ids checked by one that does. Every
statement on readings is bounded in time.
"""

from typing import Final

from platform_api.telemetry.rules import Resolution

SERIES = """
SELECT s.series_id, s.channel, s.interval_s
FROM series s JOIN gateway g USING (tenant_id, gateway_id)
WHERE s.tenant_id = %(tenant_id)s AND s.series_id = ANY(%(series)s)
  AND (%(sites)s::text[] IS NULL OR g.site_id = ANY(%(sites)s))
"""

STALE = "SELECT EXISTS (SELECT 1 FROM rollup_dirty WHERE lo < %(until)s AND hi >= %(since)s) AS stale"

# Readings have no key: two that are equal in all are two, so a page begins at the last one seen, and leaves out as many
# as were seen of its equals.
RAW = """
SELECT time, value, quality, 1 AS n, value AS min, value AS max
FROM reading
WHERE series_id = %(series_id)s AND time >= %(since)s AND time < %(until)s
  AND (%(bad)s OR quality <> 2)
  AND (%(after_time)s::timestamptz IS NULL
       OR (time, value, quality) >= (%(after_time)s, %(after_value)s, %(after_quality)s))
ORDER BY time, value, quality
OFFSET %(equals)s LIMIT %(limit)s
"""

THINNED = """
SELECT date_bin(make_interval(secs => %(thin_s)s), time, %(since)s) AS time, avg(value) AS value, NULL AS quality,
       count(*) AS n, min(value) AS min, max(value) AS max
FROM reading
WHERE series_id = %(series_id)s AND time >= %(since)s AND time < %(until)s AND (%(bad)s OR quality <> 2)
GROUP BY 1
ORDER BY 1
LIMIT %(limit)s
"""

_ROLLUP: Final = """
SELECT bucket AS time, sum / n AS value, NULL AS quality, n, min, max
FROM {table}
WHERE series_id = %(series_id)s AND bucket >= %(since)s AND bucket < %(until)s
  AND (%(after_time)s::timestamptz IS NULL OR bucket > %(after_time)s)
ORDER BY bucket
LIMIT %(limit)s
"""

ROLLUPS: Final = {
    Resolution.MINUTE: _ROLLUP.format(table="reading_1m"),
    Resolution.HOUR: _ROLLUP.format(table="reading_1h"),
    Resolution.DAY: _ROLLUP.format(table="reading_1d"),
}

# ---------------------------------------------------------------- exports

# Named by id, or by where they are; one more than may be exported is asked for.
SERIES_BY_NAME = """
SELECT s.series_id, s.gateway_id, s.channel
FROM series s JOIN gateway g USING (tenant_id, gateway_id)
WHERE s.tenant_id = %(tenant_id)s
  AND (%(sites)s::text[] IS NULL OR g.site_id = ANY(%(sites)s))
  AND (%(series)s::integer[] IS NULL OR s.series_id = ANY(%(series)s))
  AND (%(site)s::text IS NULL OR g.site_id = %(site)s)
  AND (%(gateway)s::text IS NULL OR s.gateway_id = %(gateway)s)
  AND (%(channel)s::text IS NULL OR s.channel = %(channel)s)
ORDER BY s.gateway_id, s.channel
LIMIT %(limit)s
"""

EXPORT_RAW = """
SELECT time, value, quality
FROM reading
WHERE series_id = %(series_id)s AND time >= %(since)s AND time < %(until)s AND (%(bad)s OR quality <> 2)
ORDER BY time, value, quality
"""

_EXPORT_ROLLUP: Final = """
SELECT bucket, n, sum / n, min, max, first, last
FROM {table}
WHERE series_id = %(series_id)s AND bucket >= %(since)s AND bucket < %(until)s
ORDER BY bucket
"""

EXPORT_ROLLUPS: Final = {
    Resolution.MINUTE: _EXPORT_ROLLUP.format(table="reading_1m"),
    Resolution.HOUR: _EXPORT_ROLLUP.format(table="reading_1h"),
    Resolution.DAY: _EXPORT_ROLLUP.format(table="reading_1d"),
}

# ---------------------------------------------------------------- what was lost

GAPS = """
SELECT g.site_id, t.gateway_id, t.lane, t.ep, t.from_seq, t.to_seq, t.reason, t.noted_at
FROM ingest_gap t JOIN gateway g USING (tenant_id, gateway_id)
WHERE t.tenant_id = %(tenant_id)s
  AND (%(sites)s::text[] IS NULL OR g.site_id = ANY(%(sites)s))
  AND (%(site)s::text IS NULL OR g.site_id = %(site)s)
  AND (%(gateway)s::text IS NULL OR t.gateway_id = %(gateway)s)
  AND (%(since)s::timestamptz IS NULL OR t.noted_at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR t.noted_at < %(until)s)
  AND (%(after_at)s::timestamptz IS NULL
       OR (t.noted_at, t.gateway_id, t.lane, t.ep, t.from_seq)
        < (%(after_at)s, %(after_gateway)s, %(after_lane)s, %(after_ep)s, %(after_seq)s))
ORDER BY t.noted_at DESC, t.gateway_id DESC, t.lane DESC, t.ep DESC, t.from_seq DESC
LIMIT %(limit)s
"""
