-- Log-in by the word of a provider of identities (OpenID Connect).

-- People may have no password of ours: then they come by a provider, or their API keys act for them.
ALTER TABLE app_user ALTER COLUMN password_hash DROP NOT NULL;

-- Log-ins that left for a provider and are not back yet. Nobody is known by then, so that they belong to no tenant.
CREATE TABLE oidc_attempt (
    state_hash bytea PRIMARY KEY,
    nonce      text NOT NULL,
    verifier   text NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX oidc_attempt_age ON oidc_attempt (expires_at);

-- Whom a provider means by a subject. A user is one subject of a provider: an address that is given to another person
-- later does not lead that person to the user.
CREATE TABLE oidc_identity (
    tenant_id  text NOT NULL REFERENCES tenant,
    issuer     text NOT NULL,
    subject    text NOT NULL,
    user_id    uuid NOT NULL REFERENCES app_user ON DELETE CASCADE,
    linked_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, issuer, subject),
    UNIQUE (tenant_id, issuer, user_id)
);
