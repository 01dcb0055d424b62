"""SQL of a tenant's administration. Every statement carries tenant_id; row security holds beneath it."""

_ORG = "SELECT org_id, parent_id, kind, name, segment, version FROM org WHERE tenant_id = %(tenant_id)s"

ORGS = f"""{_ORG}
  AND (%(orgs)s::text[] IS NULL OR org_id = ANY(%(orgs)s))
  AND (%(after)s::text IS NULL OR org_id > %(after)s)
ORDER BY org_id
LIMIT %(limit)s
"""

ORG = f"{_ORG} AND org_id = %(org_id)s AND (%(orgs)s::text[] IS NULL OR org_id = ANY(%(orgs)s))"

ORG_FOR_UPDATE = f"{_ORG} AND org_id = %(org_id)s FOR UPDATE"

# One change of the tree at a time: two moves, each right by itself, could make a ring together.
LOCK_TREE = "SELECT pg_advisory_xact_lock(hashtextextended(%(tenant_id)s, 7))"

# Whether an organisation is the other one or stands below it.
IS_BELOW = """
WITH RECURSIVE above AS (
    SELECT o.org_id, o.parent_id FROM org o WHERE o.tenant_id = %(tenant_id)s AND o.org_id = %(org_id)s
    UNION
    SELECT o.org_id, o.parent_id FROM org o JOIN above a ON o.org_id = a.parent_id WHERE o.tenant_id = %(tenant_id)s
)
SELECT EXISTS (SELECT FROM above WHERE org_id = %(root)s) AS below
"""

COUNT_ORGS = "SELECT count(*) AS n FROM org WHERE tenant_id = %(tenant_id)s"

INSERT_ORG = """
INSERT INTO org (tenant_id, org_id, parent_id, kind, name, segment)
VALUES (%(tenant_id)s, %(org_id)s, %(parent)s, %(kind)s, %(name)s, %(segment)s)
ON CONFLICT DO NOTHING
RETURNING org_id
"""

UPDATE_ORG = """
UPDATE org SET parent_id = %(parent)s, kind = %(kind)s, name = %(name)s, segment = %(segment)s, version = version + 1
WHERE tenant_id = %(tenant_id)s AND org_id = %(org_id)s AND version = %(version)s
"""

_USER = """
SELECT user_id, login, name, role, org_id, locale, disabled, created_at, version
FROM app_user WHERE tenant_id = %(tenant_id)s
"""

USERS = f"""{_USER}
  AND (%(after)s::text IS NULL OR login > %(after)s)
ORDER BY login
LIMIT %(limit)s
"""

USER = f"{_USER} AND user_id = %(user_id)s"

USER_FOR_UPDATE = f"{USER} FOR UPDATE"

COUNT_USERS = "SELECT count(*) AS n FROM app_user WHERE tenant_id = %(tenant_id)s"

# Headquarters of the whole tenant: of no organisation, or of the one above all others.
HEADS = """
SELECT u.user_id FROM app_user u
WHERE u.tenant_id = %(tenant_id)s AND u.role = 'hq' AND NOT u.disabled
  AND (u.org_id IS NULL OR u.org_id = (SELECT CASE WHEN count(*) = 1 THEN min(o.org_id) END FROM org o
                                       WHERE o.tenant_id = %(tenant_id)s AND o.parent_id IS NULL))
ORDER BY u.user_id
"""

# Before anybody is changed, so that two people who disable each other at once leave one of them.
LOCK_HEADS = f"{HEADS} FOR UPDATE OF u"

FORGET_HASH = """
UPDATE app_user SET password_hash = NULL WHERE tenant_id = %(tenant_id)s AND user_id = %(user_id)s
"""

UPDATE_USER = """
UPDATE app_user
SET role = %(role)s, org_id = %(org)s, name = %(name)s, locale = %(locale)s, disabled = %(disabled)s,
    version = version + 1
WHERE tenant_id = %(tenant_id)s AND user_id = %(user_id)s AND version = %(version)s
"""

END_SESSIONS = "DELETE FROM refresh_token WHERE user_id = %(user_id)s"

KEYS = """
SELECT k.key_id, k.prefix, u.login, k.name, k.scopes, k.created_at, k.expires_at, k.revoked_at
FROM api_key k JOIN app_user u USING (user_id)
WHERE k.tenant_id = %(tenant_id)s
  AND (%(after_at)s::timestamptz IS NULL OR (k.created_at, k.key_id) < (%(after_at)s, %(after_id)s))
ORDER BY k.created_at DESC, k.key_id DESC
LIMIT %(limit)s
"""

KEY = """
SELECT k.key_id, k.prefix, u.login, k.name, k.scopes, k.created_at, k.expires_at, k.revoked_at
FROM api_key k JOIN app_user u USING (user_id)
WHERE k.tenant_id = %(tenant_id)s AND k.key_id = %(key_id)s
"""

COUNT_KEYS = "SELECT count(*) AS n FROM api_key WHERE tenant_id = %(tenant_id)s AND revoked_at IS NULL"

LOGIN_EXISTS = "SELECT user_id FROM app_user WHERE tenant_id = %(tenant_id)s AND login = %(login)s"

REVOKE_KEY = """
UPDATE api_key SET revoked_at = coalesce(revoked_at, %(now)s)
WHERE tenant_id = %(tenant_id)s AND key_id = %(key_id)s
"""

AUDIT = """
SELECT audit_id, at, login, by_key, action, subject, detail FROM audit_log
WHERE tenant_id = %(tenant_id)s
  AND (%(login)s::text IS NULL OR login = %(login)s)
  AND (%(since)s::timestamptz IS NULL OR at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR at < %(until)s)
  AND (%(after)s::bigint IS NULL OR audit_id < %(after)s)
ORDER BY audit_id DESC
LIMIT %(limit)s
"""
