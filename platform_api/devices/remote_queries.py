"""SQL of claims, credentials, commands and configurations.

Statements with ``sites`` carry the caller's scope (NULL: all of the tenant). A gateway's row is locked before its
claims and credentials are touched, always in this order.
"""

LOCK_GATEWAY = """
SELECT gateway_id, site_id, revoked_at FROM gateway
WHERE tenant_id = %(tenant_id)s AND gateway_id = %(gateway)s
  AND (%(sites)s::text[] IS NULL OR site_id = ANY(%(sites)s))
FOR NO KEY UPDATE
"""

GATEWAY_EXISTS = """
SELECT 1 AS one FROM gateway
WHERE tenant_id = %(tenant_id)s AND gateway_id = %(gateway)s
  AND (%(sites)s::text[] IS NULL OR site_id = ANY(%(sites)s))
"""

TENANTS_OF_GATEWAY = "SELECT tenant_id FROM gateway WHERE gateway_id = %(gateway)s ORDER BY tenant_id"

# ---------------------------------------------------------------- claims and credentials

# Used ones too: their machine could redeem them again.
END_CLAIMS = """
UPDATE claim SET expires_at = %(now)s
WHERE tenant_id = %(tenant_id)s AND gateway_id = %(gateway)s AND expires_at > %(now)s
"""

INSERT_CLAIM = """
INSERT INTO claim (claim_id, tenant_id, gateway_id, code_hash, created_by, created_at, expires_at)
VALUES (%(claim_id)s, %(tenant_id)s, %(gateway)s, %(code_hash)s, %(user_id)s, %(now)s, %(expires_at)s)
"""

CLAIMS = """
SELECT c.claim_id, c.gateway_id, u.name AS created_by, c.created_at, c.expires_at, c.used_at, c.used_machine
FROM claim c
LEFT JOIN app_user u ON u.user_id = c.created_by
WHERE c.tenant_id = %(tenant_id)s AND c.gateway_id = %(gateway)s
  AND (%(after_at)s::timestamptz IS NULL OR (c.created_at, c.claim_id) < (%(after_at)s, %(after_id)s))
ORDER BY c.created_at DESC, c.claim_id DESC
LIMIT %(limit)s
"""

TENANT_OF_CODE = "SELECT auth_claim_tenant(%(code_hash)s) AS tenant_id"

CLAIM_BY_CODE = "SELECT tenant_id, gateway_id FROM claim WHERE code_hash = %(code_hash)s"

CLAIM_FOR_UPDATE = """
SELECT claim_id, expires_at, used_at, used_machine FROM claim WHERE code_hash = %(code_hash)s FOR UPDATE
"""

USE_CLAIM = """
UPDATE claim SET used_at = coalesce(used_at, %(now)s), used_machine = %(machine)s WHERE claim_id = %(claim_id)s
"""

REVOKE_CREDENTIALS = """
UPDATE credential SET revoked_at = %(now)s
WHERE tenant_id = %(tenant_id)s AND gateway_id = %(gateway)s AND revoked_at IS NULL
"""

INSERT_CREDENTIAL = """
INSERT INTO credential (credential_id, tenant_id, gateway_id, claim_id, machine, pbkdf2, bcrypt, created_at)
VALUES (%(credential_id)s, %(tenant_id)s, %(gateway)s, %(claim_id)s, %(machine)s, %(pbkdf2)s, %(bcrypt)s, %(now)s)
"""

LIVE_CREDENTIAL = """
SELECT machine, pbkdf2 FROM credential
WHERE tenant_id = %(tenant_id)s AND gateway_id = %(gateway)s AND revoked_at IS NULL
"""

SET_REVOKED = """
UPDATE gateway SET revoked_at = %(revoked_at)s WHERE tenant_id = %(tenant_id)s AND gateway_id = %(gateway)s
"""

# ---------------------------------------------------------------- commands

_COMMAND = """
SELECT c.command_id, c.gateway_id, c.kind, c.args, c.state, c.result, c.error, u.name AS created_by, c.created_at,
       c.expires_at, c.sent_at, c.acked_at, c.finished_at
FROM command c
JOIN gateway g USING (tenant_id, gateway_id)
LEFT JOIN app_user u ON u.user_id = c.created_by
WHERE c.tenant_id = %(tenant_id)s AND c.gateway_id = %(gateway)s
  AND (%(sites)s::text[] IS NULL OR g.site_id = ANY(%(sites)s))
"""

COMMANDS = f"""{_COMMAND}
  AND (%(states)s::text[] IS NULL OR c.state = ANY(%(states)s))
  AND (%(after_at)s::timestamptz IS NULL OR (c.created_at, c.command_id) < (%(after_at)s, %(after_id)s))
ORDER BY c.created_at DESC, c.command_id DESC
LIMIT %(limit)s
"""

COMMAND = f"{_COMMAND} AND c.command_id = %(command_id)s"

COUNT_WAITING = """
SELECT count(*) AS n FROM command
WHERE tenant_id = %(tenant_id)s AND gateway_id = %(gateway)s AND state IN ('queued', 'sent', 'acked')
"""

INSERT_COMMAND = """
INSERT INTO command (command_id, tenant_id, gateway_id, kind, args, created_by, created_at, expires_at)
VALUES (%(command_id)s, %(tenant_id)s, %(gateway)s, %(kind)s, %(args)s, %(user_id)s, %(now)s, %(expires_at)s)
"""

# ---------------------------------------------------------------- configurations

_CONFIG = """
SELECT c.version, c.config, c.sha256, c.state, c.error, u.name AS created_by, c.created_at, c.sent_at, c.reported_at
FROM gateway_config c
LEFT JOIN app_user u ON u.user_id = c.created_by
WHERE c.tenant_id = %(tenant_id)s AND c.gateway_id = %(gateway)s
"""

CONFIGS = f"""{_CONFIG}
  AND (%(after)s::integer IS NULL OR c.version < %(after)s)
ORDER BY c.version DESC
LIMIT %(limit)s
"""

NEWEST_CONFIG = f"{_CONFIG} ORDER BY c.version DESC LIMIT 1"

AS_STORED = "SELECT %(config)s::jsonb AS config"

INSERT_CONFIG = """
INSERT INTO gateway_config (tenant_id, gateway_id, version, config, sha256, created_by)
VALUES (%(tenant_id)s, %(gateway)s, %(version)s, %(config)s, %(sha256)s, %(user_id)s)
"""

SUPERSEDE_CONFIGS = """
UPDATE gateway_config SET state = 'superseded'
WHERE tenant_id = %(tenant_id)s AND gateway_id = %(gateway)s AND version < %(version)s AND state IN ('desired', 'sent')
"""
