"""SQL of anomalies. Every statement carries the caller's scope: tenant_id, and sites (NULL: all)."""

_COLUMNS = """
SELECT a.anomaly_id, a.site_id, a.kind, a.place_kind, a.place, a.start_at, a.end_at, a.detected_at, a.severity,
       a.score, a.evidence, a.state, a.label, a.note, a.decided_at, u.name AS decided_by, a.version
FROM anomaly a
LEFT JOIN app_user u ON u.user_id = a.decided_by
WHERE a.tenant_id = %(tenant_id)s
  AND (%(sites)s::text[] IS NULL OR a.site_id = ANY(%(sites)s))
"""

ANOMALIES = f"""{_COLUMNS}
  AND (%(site)s::text IS NULL OR a.site_id = %(site)s)
  AND (%(kinds)s::text[] IS NULL OR a.kind = ANY(%(kinds)s))
  AND (%(states)s::text[] IS NULL OR a.state = ANY(%(states)s))
  AND (%(since)s::timestamptz IS NULL OR a.detected_at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR a.detected_at < %(until)s)
  AND (%(after_at)s::timestamptz IS NULL OR (a.detected_at, a.anomaly_id) < (%(after_at)s, %(after_id)s))
ORDER BY a.detected_at DESC, a.anomaly_id DESC
LIMIT %(limit)s
"""

ANOMALY = f"{_COLUMNS} AND a.anomaly_id = %(anomaly_id)s"

ANOMALY_FOR_UPDATE = f"{ANOMALY} FOR UPDATE OF a"

DECIDE = """
UPDATE anomaly
SET state = %(state)s, label = coalesce(%(label)s, label), note = coalesce(%(note)s, note),
    decided_by = %(user_id)s, decided_at = now(), version = version + 1
WHERE tenant_id = %(tenant_id)s AND anomaly_id = %(anomaly_id)s AND version = %(version)s
"""
