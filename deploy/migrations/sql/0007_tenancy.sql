-- Tenants apart in the database itself, and what the API writes beside its business: audit, idempotency, quotas.
--
-- The API takes the role shelfpulse_api on every connection, whoever logs in. It owns nothing, and sees rows of the one
-- tenant that its transaction has named (set_config('app.tenant', …, true)); of none before that. The owner's processes
-- (stream, worker, command line) serve all tenants: row security is forced on them too, with a policy that says so.

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'shelfpulse_api') THEN
        CREATE ROLE shelfpulse_api NOLOGIN;
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL;  -- another database of this server was migrated in the same moment
END
$$;
DO $$
BEGIN
    IF NOT pg_has_role(current_user, 'shelfpulse_api', 'MEMBER') THEN
        EXECUTE format('GRANT shelfpulse_api TO %I', current_user);
    END IF;
END
$$;

-- Row security for each table with a column tenant_id (or tenant) that has none yet. Called after every migration, so that no new table
-- can be forgotten. Rights are given once, with the security: what a later migration takes away stays away.
CREATE FUNCTION secure_tenants() RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    found record;
    secured integer := 0;
BEGIN
    FOR found IN
        SELECT c.oid::regclass AS name, a.attname AS tenant FROM pg_class c
        JOIN pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname IN ('tenant_id', 'tenant') AND NOT a.attisdropped
        WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND NOT c.relrowsecurity
    LOOP
        EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', found.name);
        EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', found.name);
        EXECUTE format(
            'CREATE POLICY tenant ON %1$s TO shelfpulse_api'
            ' USING (%2$I = nullif(current_setting(''app.tenant'', true), ''''))'
            ' WITH CHECK (%2$I = nullif(current_setting(''app.tenant'', true), ''''))', found.name, found.tenant);
        EXECUTE format('CREATE POLICY platform ON %s TO %I USING (true) WITH CHECK (true)', found.name, current_user);
        secured := secured + 1;
    END LOOP;
    RETURN secured;
END
$$;
REVOKE ALL ON FUNCTION secure_tenants() FROM PUBLIC;

GRANT USAGE ON SCHEMA public, compat TO shelfpulse_api;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO shelfpulse_api;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA compat TO shelfpulse_api;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO shelfpulse_api;
GRANT INSERT, UPDATE, DELETE ON org, app_user, refresh_token, api_key, site, gateway, device, sku, slot, stock_policy,
    pos_sale, proposal, anomaly, claim, credential, gateway_config, command, quarantine TO shelfpulse_api;
-- Hashes are read by the functions below alone.
REVOKE SELECT ON app_user, api_key FROM shelfpulse_api;

-- ---------------------------------------------------------------- tenancy: users, keys, quotas

ALTER TABLE org ADD COLUMN segment text NOT NULL DEFAULT '', ADD COLUMN version integer NOT NULL DEFAULT 1;
ALTER TABLE app_user ADD COLUMN version integer NOT NULL DEFAULT 1;
CREATE INDEX app_user_tenant ON app_user (tenant_id, login);
ALTER TABLE api_key ADD COLUMN scopes text[] NOT NULL DEFAULT '{read,write}'
    CHECK (scopes <@ '{read,write}'::text[] AND cardinality(scopes) > 0);
CREATE INDEX api_key_tenant ON api_key (tenant_id, created_at DESC);
GRANT SELECT (user_id, tenant_id, org_id, login, name, role, locale, disabled, created_at, version)
    ON app_user TO shelfpulse_api;
GRANT SELECT (key_id, tenant_id, user_id, prefix, name, created_at, expires_at, revoked_at, scopes)
    ON api_key TO shelfpulse_api;

-- What a tenant may have at most; a kind without a row has the platform's default (platform_api/kit/quotas.py).
CREATE TABLE tenant_quota (
    tenant_id  text NOT NULL REFERENCES tenant,
    kind       text NOT NULL,
    maximum    integer NOT NULL CHECK (maximum >= 0),
    PRIMARY KEY (tenant_id, kind)
);
GRANT SELECT ON tenant_quota TO shelfpulse_api;
REVOKE INSERT, UPDATE, DELETE ON tenant_quota FROM shelfpulse_api;

-- Before it is known who asks, nobody's rows can be seen. These find them by what only its owner knows or by what
-- a signed token says, and belong to the owner of the tables.
CREATE FUNCTION auth_identity(p_user uuid, p_login text) RETURNS TABLE (
    user_id uuid, tenant_id text, tenant_name text, org_id text, login text, name text, role text, locale text,
    password_hash text, orgs text[], sites text[]
) LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH RECURSIVE person AS (
        SELECT u.* FROM app_user u
        WHERE (u.user_id = p_user OR (p_user IS NULL AND u.login = p_login)) AND NOT u.disabled
    ), below AS (
        SELECT o.tenant_id, o.org_id FROM org o JOIN person p ON o.tenant_id = p.tenant_id AND o.org_id = p.org_id
        UNION
        SELECT o.tenant_id, o.org_id FROM org o JOIN below b ON o.tenant_id = b.tenant_id AND o.parent_id = b.org_id
    )
    -- NULL: all of the tenant. Dealers, representatives and stores without an organisation see nothing.
    SELECT p.user_id, p.tenant_id, t.name, p.org_id, p.login, p.name, p.role, p.locale, p.password_hash,
           CASE WHEN p.org_id IS NULL AND p.role IN ('hq', 'ops', 'auditor') THEN NULL
                ELSE ARRAY(SELECT b.org_id FROM below b ORDER BY 1) END,
           CASE WHEN p.org_id IS NULL AND p.role IN ('hq', 'ops', 'auditor') THEN NULL
                ELSE ARRAY(SELECT s.site_id FROM site s JOIN below b USING (tenant_id, org_id) ORDER BY 1) END
    FROM person p JOIN tenant t ON t.tenant_id = p.tenant_id
$$;
CREATE FUNCTION auth_key(p_prefix text) RETURNS TABLE (
    user_id uuid, key_hash bytea, expires_at timestamptz, revoked_at timestamptz, scopes text[]
) LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT k.user_id, k.key_hash, k.expires_at, k.revoked_at, k.scopes FROM api_key k WHERE k.prefix = p_prefix
$$;
CREATE FUNCTION auth_claim_tenant(p_code_hash bytea) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT c.tenant_id FROM claim c WHERE c.code_hash = p_code_hash
$$;
REVOKE ALL ON FUNCTION auth_identity(uuid, text), auth_key(text), auth_claim_tenant(bytea)
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION auth_identity(uuid, text), auth_key(text), auth_claim_tenant(bytea)
    TO shelfpulse_api;

-- ---------------------------------------------------------------- plumbing: platform_api/kit

-- Who changed what: one row each write that succeeded, in its transaction. Nobody changes it afterwards.
CREATE TABLE audit_log (
    tenant_id  text NOT NULL REFERENCES tenant,
    audit_id   bigint GENERATED ALWAYS AS IDENTITY,
    at         timestamptz NOT NULL DEFAULT now(),
    user_id    uuid,
    login      text NOT NULL,
    by_key     text NOT NULL DEFAULT '',
    action     text NOT NULL,
    subject    jsonb NOT NULL DEFAULT '{}',
    detail     jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (tenant_id, audit_id)
);
REVOKE UPDATE, DELETE ON audit_log FROM shelfpulse_api;

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% only grows: a correction is a new row', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
END
$$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON audit_log FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- Answers of creating requests, told again when the same key comes again. Forgotten after a day.
CREATE TABLE idempotency_key (
    tenant_id   text NOT NULL REFERENCES tenant,
    user_id     uuid NOT NULL,
    key         text NOT NULL,
    request     text NOT NULL,
    body_sha256 bytea NOT NULL,
    status      integer NOT NULL,
    headers     jsonb NOT NULL,
    body        text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, user_id, key)
);
CREATE INDEX idempotency_key_age ON idempotency_key (created_at);
