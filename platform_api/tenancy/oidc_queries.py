"""SQL of log-ins by another's word. All but the attempts run inside of the provider's tenant, under row security."""

DELETE_EXPIRED_ATTEMPTS = "DELETE FROM oidc_attempt WHERE expires_at < %(now)s"

INSERT_ATTEMPT = """
INSERT INTO oidc_attempt (state_hash, nonce, verifier, expires_at)
VALUES (%(state_hash)s, %(nonce)s, %(verifier)s, %(expires_at)s)
"""

# Whoever is first has it: a state is good once.
TAKE_ATTEMPT = """
DELETE FROM oidc_attempt WHERE state_hash = %(state_hash)s RETURNING nonce, verifier, expires_at
"""

LINKED_USER = """
SELECT user_id FROM oidc_identity
WHERE tenant_id = %(tenant_id)s AND issuer = %(issuer)s AND subject = %(subject)s
"""

# Two, so that logins which differ in their case alone are seen to be ambiguous.
USERS_BY_EMAIL = """
SELECT user_id, login FROM app_user
WHERE tenant_id = %(tenant_id)s AND lower(login) = lower(%(email)s) AND NOT disabled AND role <> 'device'
LIMIT 2
"""

# Nothing is changed for a user who is linked to somebody else: an address may be given to a new person.
LINK = """
INSERT INTO oidc_identity (tenant_id, issuer, subject, user_id)
VALUES (%(tenant_id)s, %(issuer)s, %(subject)s, %(user_id)s)
ON CONFLICT DO NOTHING
RETURNING user_id
"""

UNLINK = "DELETE FROM oidc_identity WHERE tenant_id = %(tenant_id)s AND user_id = %(user_id)s"
"""Whoever logs in next with the user's address is them from then on."""
