"""SQL of live.

Every statement carries the caller's scope (tenant_id, and sites; NULL: all) or ids checked by one that does. What the
wall shows is built as JSON by the database: its times are ms since 1970 UTC, its places ``gateway/slot``.
"""

from typing import Final

VISIBLE_SERIES = """
SELECT s.series_id
FROM series s JOIN gateway g USING (tenant_id, gateway_id)
WHERE s.tenant_id = %(tenant_id)s AND s.series_id = ANY(%(series)s)
  AND (%(sites)s::text[] IS NULL OR g.site_id = ANY(%(sites)s))
"""

# ---------------------------------------------------------------- the wall

EVENTS_SHOWN: Final = 60
EVENTS_A_DELTA: Final = 100
ANOMALIES_SHOWN: Final = 50
PROPOSALS_SHOWN: Final = 50
SLOTS_SHOWN: Final = 5_000

_SCOPE: Final = """
{alias}.tenant_id = %(tenant_id)s AND (%(sites)s::text[] IS NULL OR {alias}.site_id = ANY(%(sites)s))
"""


def _list(item: str, source: str) -> str:
    return f"(SELECT coalesce(json_agg({item}), '[]') FROM ({source}) x)"


def _ms(column: str) -> str:
    return f"(extract(epoch FROM {column}) * 1000)::bigint"


_CURSOR: Final = "(extract(epoch FROM statement_timestamp()) * 1000000)::bigint AS cursor"

_POSITION: Final = f"""json_build_object(
    'slot', x.gateway_id || '/' || x.slot_id, 'on_shelf', x.on_shelf, 'at', {_ms("x.as_of")})"""

_EVENT: Final = f"""json_build_object(
    'id', x.gateway_id || '/' || x.event_id, 'site', x.site_id, 'slot', x.gateway_id || '/' || x.slot_id,
    'sku', x.sku, 'kind', x.kind, 'units', x.units, 'on_shelf', x.on_shelf, 'at', {_ms("x.time")})"""

_ANOMALY: Final = f"""json_build_object(
    'id', x.anomaly_id, 'kind', x.kind, 'site', x.site_id, 'place_kind', x.place_kind, 'place', x.place,
    'start', {_ms("x.start_at")}, 'end', {_ms("x.end_at")}, 'detected', {_ms("x.detected_at")},
    'severity', x.severity, 'evidence', x.evidence, 'state', x.state, 'version', x.version)"""

_PROPOSAL: Final = f"""json_build_object(
    'id', x.proposal_id, 'site', x.site_id, 'sku', x.sku, 'units', x.units, 'state', x.state,
    'evidence', x.evidence, 'at', {_ms("x.triggered_at")}, 'version', x.version)"""

_SITE: Final = "json_build_object('id', x.site_id, 'name', x.name, 'city', x.city, 'kind', x.kind)"

# A SKU in several slots of a site has one reorder point: each slot shows its share by capacity.
_SLOT: Final = f"""json_build_object(
    'slot', x.gateway_id || '/' || x.slot_id, 'site', x.site_id, 'sku', x.sku, 'capacity', x.capacity,
    'on_shelf', x.on_shelf, 'at', {_ms("x.as_of")}, 'reorder', x.reorder, 'series', x.series_id)"""

_SLOTS: Final = f"""
SELECT t.gateway_id, t.slot_id, t.site_id, t.sku, t.capacity, p.on_shelf, p.as_of, s.series_id,
       r.reorder_point::float8 * t.capacity / sum(t.capacity) OVER (PARTITION BY t.site_id, t.sku) AS reorder
FROM slot t
LEFT JOIN shelf_position p
       ON p.tenant_id = t.tenant_id AND p.gateway_id = t.gateway_id AND p.slot_id = t.slot_id
LEFT JOIN stock_policy r ON r.tenant_id = t.tenant_id AND r.site_id = t.site_id AND r.sku = t.sku
LEFT JOIN series s ON s.tenant_id = t.tenant_id AND s.gateway_id = t.gateway_id AND s.channel = t.channel
WHERE {_SCOPE.format(alias="t")}
ORDER BY t.site_id, t.gateway_id, t.slot_id
LIMIT {SLOTS_SHOWN}
"""

WALL = f"""
SELECT {_CURSOR},
  {_list(_SITE, f"SELECT * FROM site t WHERE {_SCOPE.format(alias='t')} ORDER BY t.site_id")} AS sites,
  {_list(_SLOT, _SLOTS)} AS slots,
  (SELECT coalesce(json_object_agg(k.sku, json_build_array(k.name_zh, k.name_en)), '{{}}')
   FROM sku k WHERE k.tenant_id = %(tenant_id)s) AS skus,
  {
    _list(
        _EVENT,
        f'''SELECT * FROM shelf_event t WHERE {_SCOPE.format(alias='t')}
                     ORDER BY t.received_at DESC LIMIT {EVENTS_SHOWN}''',
    )
} AS events,
  {
    _list(
        _ANOMALY,
        f'''SELECT * FROM anomaly t WHERE {_SCOPE.format(alias='t')}
                       AND t.state IN ('open', 'acknowledged')
                       ORDER BY t.detected_at DESC LIMIT {ANOMALIES_SHOWN}''',
    )
} AS anomalies,
  {
    _list(
        _PROPOSAL,
        f'''SELECT * FROM proposal t WHERE {_SCOPE.format(alias='t')}
                        AND t.state IN ('open', 'approved', 'ordered')
                        ORDER BY t.created_at DESC LIMIT {PROPOSALS_SHOWN}''',
    )
} AS proposals
"""

# since is where the last delta ended, less the overlap: a transaction's rows carry the time at which it began, and
# show when it commits. The want_… parameters leave out what no notice spoke of.
CHANGES = f"""
SELECT {_CURSOR},
  {
    _list(
        _POSITION,
        f'''SELECT * FROM shelf_position t WHERE %(want_events)s AND {_SCOPE.format(alias='t')}
                        AND t.updated_at > %(since)s''',
    )
} AS positions,
  {
    _list(
        _EVENT,
        f'''SELECT * FROM shelf_event t WHERE %(want_events)s AND {_SCOPE.format(alias='t')}
                     AND t.received_at > %(since)s
                     ORDER BY t.received_at DESC LIMIT {EVENTS_A_DELTA}''',
    )
} AS events,
  {
    _list(
        _ANOMALY,
        f'''SELECT * FROM anomaly t WHERE %(want_anomalies)s AND {_SCOPE.format(alias='t')}
                       AND (t.created_at > %(since)s OR t.decided_at > %(since)s OR t.end_at > %(since)s)
                       ORDER BY t.detected_at DESC LIMIT {ANOMALIES_SHOWN}''',
    )
} AS anomalies,
  {
    _list(
        _PROPOSAL,
        f'''SELECT * FROM proposal t WHERE %(want_proposals)s AND {_SCOPE.format(alias='t')}
                        AND t.updated_at > %(since)s
                        ORDER BY t.updated_at DESC LIMIT {PROPOSALS_SHOWN}''',
    )
} AS proposals
"""

TOTALS = f"""
WITH seen AS (
    SELECT t.gateway_id, split_part(s.channel, '.', 1) AS device_id, l.time
    FROM series s
    JOIN gateway t ON t.tenant_id = s.tenant_id AND t.gateway_id = s.gateway_id
    JOIN latest_value l USING (series_id)
    WHERE {_SCOPE.format(alias="t")}
)
SELECT
  (SELECT count(DISTINCT (gateway_id, device_id)) FROM seen) AS devices,
  (SELECT count(DISTINCT (gateway_id, device_id)) FROM seen
   WHERE time > now() - make_interval(secs => %(online_s)s)) AS devices_online,
  (SELECT greatest(0, {_ms("now()")} - {_ms("max(time)")}) FROM seen) AS lag_ms,
  (SELECT count(*) FROM anomaly t WHERE {_SCOPE.format(alias="t")} AND t.state = 'open') AS anomalies_open,
  (SELECT count(*) FROM proposal t
   WHERE {_SCOPE.format(alias="t")} AND t.state IN ('open', 'approved', 'ordered')) AS proposals_live
"""

LATEST = f"SELECT series_id, {_ms('time')} AS at, value FROM latest_value WHERE series_id = ANY(%(series)s)"

SLOT = f"""
SELECT t.gateway_id, t.slot_id, t.site_id, t.sku, k.name_zh, k.name_en, t.capacity, t.unit_weight_g, t.channel,
       w.name AS site_name, p.on_shelf, p.as_of, r.reorder_point, r.target, s.series_id
FROM slot t
JOIN sku k ON k.tenant_id = t.tenant_id AND k.sku = t.sku
JOIN site w ON w.tenant_id = t.tenant_id AND w.site_id = t.site_id
LEFT JOIN shelf_position p
       ON p.tenant_id = t.tenant_id AND p.gateway_id = t.gateway_id AND p.slot_id = t.slot_id
LEFT JOIN stock_policy r ON r.tenant_id = t.tenant_id AND r.site_id = t.site_id AND r.sku = t.sku
LEFT JOIN series s ON s.tenant_id = t.tenant_id AND s.gateway_id = t.gateway_id AND s.channel = t.channel
WHERE {_SCOPE.format(alias="t")} AND t.gateway_id = %(gateway)s AND t.slot_id = %(slot)s
"""

SLOT_EVENTS = f"""
SELECT e.kind, e.units, {_ms("e.time")} AS at
FROM shelf_event e
WHERE {_SCOPE.format(alias="e")} AND e.gateway_id = %(gateway)s AND e.slot_id = %(slot)s AND e.time >= %(since)s
ORDER BY e.time DESC
LIMIT 200
"""

# The slot whose chart opens first: the one that something happened at last.
BUSIEST_SLOT = f"""
SELECT e.gateway_id, e.slot_id
FROM shelf_event e
JOIN slot t ON t.tenant_id = e.tenant_id AND t.gateway_id = e.gateway_id AND t.slot_id = e.slot_id
WHERE {_SCOPE.format(alias="e")}
ORDER BY e.received_at DESC
LIMIT 1
"""

FIRST_SLOT = f"""
SELECT t.gateway_id, t.slot_id FROM slot t WHERE {_SCOPE.format(alias="t")}
ORDER BY t.site_id, t.gateway_id, t.slot_id LIMIT 1
"""
