"""SQL of tenancy."""

INSERT_TENANT = """
INSERT INTO tenant (tenant_id, name) VALUES (%(tenant_id)s, %(name)s) ON CONFLICT DO NOTHING
"""

TENANT_EXISTS = "SELECT 1 AS one FROM tenant WHERE tenant_id = %(tenant_id)s"

INSERT_USER = """
INSERT INTO app_user (user_id, tenant_id, org_id, login, name, role, password_hash, locale)
VALUES (%(user_id)s, %(tenant_id)s, %(org_id)s, %(login)s, %(name)s, %(role)s, %(password_hash)s, %(locale)s)
"""

# Whoever logs in or presents a credential, with what they may see (orgs and sites are NULL for people of the whole
# tenant). From here on the transaction sees their tenant: the database's function is the only way to a first row.
IDENTITY = """
SELECT i.*, set_config('app.tenant', i.tenant_id, true) AS entered
FROM auth_identity(%(user_id)s, %(login)s) i
"""

USER_ID_BY_LOGIN = """
SELECT u.user_id, u.tenant_id, t.sandbox_of IS NOT NULL AS sandbox
FROM app_user u JOIN tenant t USING (tenant_id) WHERE u.login = %(login)s
"""

REPLACE_HASH = "UPDATE app_user SET password_hash = %(password_hash)s WHERE user_id = %(user_id)s"

UPDATE_LOCALE = """
UPDATE app_user SET locale = %(locale)s WHERE tenant_id = %(tenant_id)s AND user_id = %(user_id)s
"""

INSERT_KEY = """
INSERT INTO api_key (key_id, tenant_id, user_id, prefix, key_hash, name, expires_at, scopes)
VALUES (%(key_id)s, %(tenant_id)s, %(user_id)s, %(prefix)s, %(key_hash)s, %(name)s, %(expires_at)s, %(scopes)s)
"""

# An API key and whom it acts for (NULL: disabled), in one round trip. It proves nothing before its hash was compared:
# whoever does not present the secret is refused, and what was entered ends with the transaction.
KEY_IDENTITY = """
SELECT k.key_hash, k.expires_at, k.revoked_at, k.scopes, i.*, set_config('app.tenant', i.tenant_id, true) AS entered
FROM auth_key(%(prefix)s) k LEFT JOIN LATERAL auth_identity(k.user_id, NULL) i ON true
"""

INSERT_REFRESH = """
INSERT INTO refresh_token (token_hash, family, user_id, issued_at, expires_at)
VALUES (%(token_hash)s, %(family)s, %(user_id)s, %(issued_at)s, %(expires_at)s)
"""

# Locked, so that two tabs that refresh at once are judged one after the other.
REFRESH_FOR_UPDATE = """
SELECT family, user_id, expires_at, used_at FROM refresh_token WHERE token_hash = %(token_hash)s FOR UPDATE
"""

MARK_REFRESH_USED = "UPDATE refresh_token SET used_at = %(now)s WHERE token_hash = %(token_hash)s AND used_at IS NULL"

DELETE_FAMILY = "DELETE FROM refresh_token WHERE family = %(family)s"

DELETE_FAMILY_BY_MEMBER = """
DELETE FROM refresh_token
WHERE family = (SELECT family FROM refresh_token WHERE token_hash = %(token_hash)s)
"""

DELETE_EXPIRED_OF_USER = "DELETE FROM refresh_token WHERE user_id = %(user_id)s AND expires_at < %(now)s"
