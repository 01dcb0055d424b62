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

RAW = """
SELECT time, value, quality, 1 AS n, value AS min, value AS max
FROM reading
WHERE series_id = %(series_id)s AND time >= %(since)s AND time < %(until)s
  AND (%(bad)s OR quality <> 2)
  AND (%(after_time)s::timestamptz IS NULL OR (time, value) > (%(after_time)s, %(after_value)s))
ORDER BY time, value
LIMIT %(limit)s
"""

THINNED = """
SELECT date_bin(make_interval(secs => %(thin_s)s), time, %(since)s) AS time, avg(value) AS value, NULL AS quality,
       count(*) AS n, min(value) AS min, max(value) AS max
FROM reading
WHERE series_id = %(series_id)s AND time >= %(since)s AND time < %(until)s AND (%(bad)s OR quality <> 2)
  AND (%(after_time)s::timestamptz IS NULL OR time > %(after_time)s)
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
