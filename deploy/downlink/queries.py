"""SQL of the downlink. Every statement is one transaction of its own."""

from typing import Final

CHANNEL: Final = "shelfpulse_downlink"
LISTEN: Final = f"LISTEN {CHANNEL}"
TRY_LEAD: Final = "SELECT pg_try_advisory_lock(%(key)s)"

# What was published before the newest connection is told again: the broker may have lost it, the agent acts once.
FORGET_TRIES: Final = """
UPDATE command SET tried_at = NULL
WHERE state IN ('queued', 'sent') AND expires_at > now() AND tried_at IS NOT NULL
"""

DUE_COMMANDS: Final = """
SELECT c.command_id, c.tenant_id, g.site_id, c.gateway_id, c.kind, c.args, c.expires_at
FROM command c JOIN gateway g USING (tenant_id, gateway_id)
WHERE c.state IN ('queued', 'sent') AND c.expires_at > now() AND g.revoked_at IS NULL
  AND (c.tried_at IS NULL OR (c.state = 'queued' AND c.tried_at < now() - %(retry_s)s * interval '1 second'))
ORDER BY c.tried_at NULLS FIRST, c.created_at
LIMIT %(limit)s
"""

NOTE_COMMANDS: Final = """
UPDATE command c SET
    tried_at = now(),
    sent_at = CASE WHEN n.sent THEN coalesce(c.sent_at, now()) ELSE c.sent_at END,
    state = CASE WHEN n.sent AND c.state = 'queued' THEN 'sent' ELSE c.state END
FROM unnest(%(ids)s::text[], %(sent)s::boolean[]) AS n(command_id, sent)
WHERE c.command_id = n.command_id
"""

# Queued commands are over at their time; those that were sent, a little later: the answer is on its way. A gateway that
# has begun is given long, and may still say later what came of it (apply_answer).
EXPIRE_COMMANDS: Final = """
UPDATE command SET
    state = 'expired', finished_at = now(),
    error = CASE state WHEN 'queued' THEN 'never heard by the gateway' ELSE 'no answer in time' END
WHERE state IN ('queued', 'sent', 'acked') AND expires_at < now()
  AND expires_at < now() - CASE state WHEN 'queued' THEN interval '0' WHEN 'sent' THEN %(sent_s)s * interval '1 second'
                                      ELSE %(acked_s)s * interval '1 second' END
"""

_CONFIG: Final = """
SELECT c.tenant_id, g.site_id, c.gateway_id, c.version, c.config, c.sha256
FROM gateway_config c JOIN gateway g USING (tenant_id, gateway_id)
WHERE g.revoked_at IS NULL
  AND NOT EXISTS (SELECT 1 FROM gateway_config n
                  WHERE n.tenant_id = c.tenant_id AND n.gateway_id = c.gateway_id AND n.version > c.version)
"""

DUE_CONFIGS: Final = f"{_CONFIG} AND c.state = 'desired' ORDER BY c.created_at LIMIT %(limit)s"

# All that gateways should have, by name, page by page.
CURRENT_CONFIGS: Final = f"""{_CONFIG}
  AND (c.tenant_id, c.gateway_id) > (%(after_tenant)s, %(after_gateway)s)
ORDER BY c.tenant_id, c.gateway_id LIMIT %(limit)s
"""

NOTE_CONFIGS: Final = """
UPDATE gateway_config c SET state = 'sent', sent_at = now()
FROM unnest(%(tenants)s::text[], %(gateways)s::text[], %(versions)s::integer[]) AS n(tenant_id, gateway_id, version)
WHERE c.tenant_id = n.tenant_id AND c.gateway_id = n.gateway_id AND c.version = n.version AND c.state = 'desired'
"""
