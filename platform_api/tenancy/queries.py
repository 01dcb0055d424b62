"""SQL of tenancy."""

INSERT_TENANT = """
INSERT INTO tenant (tenant_id, name) VALUES (%(tenant_id)s, %(name)s) ON CONFLICT DO NOTHING
"""

TENANT_EXISTS = "SELECT 1 AS one FROM tenant WHERE tenant_id = %(tenant_id)s"

INSERT_USER = """
INSERT INTO app_user (user_id, tenant_id, org_id, login, name, role, password_hash, locale)
VALUES (%(user_id)s, %(tenant_id)s, %(org_id)s, %(login)s, %(name)s, %(role)s, %(password_hash)s, %(locale)s)
"""

# Whoever logs in or presents a credential, with what they may see. sites is NULL for people of the whole tenant;
# dealers, representatives and stores without an organisation see nothing.
_IDENTITY = """
SELECT u.user_id, u.tenant_id, t.name AS tenant_name, u.login, u.name, u.role, u.locale, u.password_hash,
       CASE WHEN u.org_id IS NULL AND u.role IN ('hq', 'ops', 'auditor') THEN NULL ELSE ARRAY(
           WITH RECURSIVE below AS (
               SELECT o.org_id FROM org o WHERE o.tenant_id = u.tenant_id AND o.org_id = u.org_id
               UNION
               SELECT o.org_id FROM org o JOIN below b ON o.parent_id = b.org_id WHERE o.tenant_id = u.tenant_id
           )
           SELECT s.site_id FROM site s JOIN below b USING (org_id) WHERE s.tenant_id = u.tenant_id ORDER BY s.site_id
       ) END AS sites
FROM app_user u JOIN tenant t USING (tenant_id)
"""

USER_BY_LOGIN = f"{_IDENTITY} WHERE u.login = %(login)s AND NOT u.disabled"
USER_BY_ID = f"{_IDENTITY} WHERE u.user_id = %(user_id)s AND NOT u.disabled"

USER_ID_BY_LOGIN = "SELECT user_id, tenant_id FROM app_user WHERE login = %(login)s"

REPLACE_HASH = "UPDATE app_user SET password_hash = %(password_hash)s WHERE user_id = %(user_id)s"

UPDATE_LOCALE = """
UPDATE app_user SET locale = %(locale)s WHERE tenant_id = %(tenant_id)s AND user_id = %(user_id)s
"""

INSERT_KEY = """
INSERT INTO api_key (key_id, tenant_id, user_id, prefix, key_hash, name, expires_at)
VALUES (%(key_id)s, %(tenant_id)s, %(user_id)s, %(prefix)s, %(key_hash)s, %(name)s, %(expires_at)s)
"""

KEY_BY_PREFIX = """
SELECT user_id, key_hash, expires_at, revoked_at FROM api_key WHERE prefix = %(prefix)s
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
