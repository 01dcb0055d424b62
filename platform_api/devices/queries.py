"""SQL of devices. Every statement carries the caller's scope: tenant_id, and sites (NULL: all)."""

SITES = """
SELECT s.site_id, s.kind, s.name, s.city, s.lat, s.lon, s.timezone, s.org_id,
       count(g.gateway_id) FILTER (WHERE g.revoked_at IS NULL) AS gateways,
       count(g.gateway_id) FILTER (WHERE g.revoked_at IS NULL AND p.state = 'online') AS gateways_online
FROM site s
LEFT JOIN gateway g ON g.tenant_id = s.tenant_id AND g.site_id = s.site_id
LEFT JOIN gateway_presence p ON p.tenant_id = g.tenant_id AND p.gateway_id = g.gateway_id
WHERE s.tenant_id = %(tenant_id)s
  AND (%(sites)s::text[] IS NULL OR s.site_id = ANY(%(sites)s))
  AND (%(after)s::text IS NULL OR s.site_id > %(after)s)
GROUP BY s.tenant_id, s.site_id
ORDER BY s.site_id
LIMIT %(limit)s
"""

_GATEWAY = """
SELECT g.gateway_id, g.site_id, g.name, g.revoked_at, p.state, p.since, p.agent,
       coalesce(p.outbox_frames, 0) AS outbox_frames, coalesce(p.outbox_oldest_s, 0) AS outbox_oldest_s,
       (SELECT max(w.updated_at) FROM ingest_watermark w
        WHERE w.tenant_id = g.tenant_id AND w.gateway_id = g.gateway_id) AS committed_at,
       k.created_at AS issued_at, k.created_at IS NOT NULL AS issued, coalesce(k.live, false) AS live,
       (SELECT max(c.expires_at) FROM claim c
        WHERE c.tenant_id = g.tenant_id AND c.gateway_id = g.gateway_id
          AND c.used_at IS NULL AND c.expires_at > now()) AS invited_until,
       f.version AS config_desired, f.state AS config_state, f.error AS config_error,
       (SELECT max(a.version) FROM gateway_config a
        WHERE a.tenant_id = g.tenant_id AND a.gateway_id = g.gateway_id AND a.state = 'applied') AS config_applied
FROM gateway g
LEFT JOIN gateway_presence p ON p.tenant_id = g.tenant_id AND p.gateway_id = g.gateway_id
LEFT JOIN LATERAL (
    SELECT created_at, revoked_at IS NULL AS live FROM credential
    WHERE tenant_id = g.tenant_id AND gateway_id = g.gateway_id ORDER BY created_at DESC LIMIT 1
) k ON true
LEFT JOIN LATERAL (
    SELECT version, state, error FROM gateway_config
    WHERE tenant_id = g.tenant_id AND gateway_id = g.gateway_id ORDER BY version DESC LIMIT 1
) f ON true
WHERE g.tenant_id = %(tenant_id)s
  AND (%(sites)s::text[] IS NULL OR g.site_id = ANY(%(sites)s))
"""

GATEWAYS = f"""{_GATEWAY}
  AND (%(site)s::text IS NULL OR g.site_id = %(site)s)
  AND (%(after)s::text IS NULL OR g.gateway_id > %(after)s)
ORDER BY g.gateway_id
LIMIT %(limit)s
"""

GATEWAY = f"{_GATEWAY} AND g.gateway_id = %(gateway)s"

DEVICES = """
SELECT d.gateway_id, d.device_id, g.site_id, d.profile, d.name,
       (SELECT max(l.time) FROM series s JOIN latest_value l USING (series_id)
        WHERE s.tenant_id = d.tenant_id AND s.gateway_id = d.gateway_id
          AND split_part(s.channel, '.', 1) = d.device_id) AS seen_at
FROM device d
JOIN gateway g USING (tenant_id, gateway_id)
WHERE d.tenant_id = %(tenant_id)s
  AND (%(sites)s::text[] IS NULL OR g.site_id = ANY(%(sites)s))
  AND (%(site)s::text IS NULL OR g.site_id = %(site)s)
  AND (%(gateway)s::text IS NULL OR d.gateway_id = %(gateway)s)
  AND (%(after_gateway)s::text IS NULL OR (d.gateway_id, d.device_id) > (%(after_gateway)s, %(after_device)s))
ORDER BY d.gateway_id, d.device_id
LIMIT %(limit)s
"""

SERIES = """
SELECT s.series_id, s.gateway_id, g.site_id, s.channel, s.interval_s, s.limit_c, s.limit_s,
       l.time AS latest_time, l.value AS latest_value, l.quality AS latest_quality
FROM series s
JOIN gateway g USING (tenant_id, gateway_id)
LEFT JOIN latest_value l USING (series_id)
WHERE s.tenant_id = %(tenant_id)s
  AND (%(sites)s::text[] IS NULL OR g.site_id = ANY(%(sites)s))
  AND (%(site)s::text IS NULL OR g.site_id = %(site)s)
  AND (%(gateway)s::text IS NULL OR s.gateway_id = %(gateway)s)
  AND (%(channel)s::text IS NULL OR s.channel = %(channel)s)
  AND (%(after)s::integer IS NULL OR s.series_id > %(after)s)
ORDER BY s.series_id
LIMIT %(limit)s
"""

CHANNEL_SETTINGS = """
SELECT g.site_id AS site, c.gateway_id AS gateway, c.channel, c.class, c.interval_s, c.limit_c, c.limit_s
FROM channel_setting c
JOIN gateway g USING (tenant_id, gateway_id)
WHERE c.tenant_id = %(tenant_id)s
  AND (%(sites)s::text[] IS NULL OR g.site_id = ANY(%(sites)s))
  AND (%(site)s::text IS NULL OR g.site_id = %(site)s)
  AND (%(gateway)s::text IS NULL OR c.gateway_id = %(gateway)s)
  AND (%(after_gateway)s::text IS NULL OR (c.gateway_id, c.channel) > (%(after_gateway)s, %(after_channel)s))
ORDER BY c.gateway_id, c.channel
LIMIT %(limit)s
"""
