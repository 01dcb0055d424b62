-- Tenants of test data, apart from everybody's real ones as any two tenants are. Owned by platform_api/tenancy.

-- The tenant whose people try things there; NULL for a tenant of the real world. Each has one sandbox at most.
ALTER TABLE tenant ADD COLUMN sandbox_of text UNIQUE REFERENCES tenant CHECK (sandbox_of <> tenant_id);

-- As before, and whether it is a sandbox that they come to.
DROP FUNCTION auth_identity(uuid, text);
CREATE FUNCTION auth_identity(p_user uuid, p_login text) RETURNS TABLE (
    user_id uuid, tenant_id text, tenant_name text, sandbox boolean, org_id text, login text, name text, role text,
    locale text, password_hash text, orgs text[], sites text[]
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
    SELECT p.user_id, p.tenant_id, t.name, t.sandbox_of IS NOT NULL, p.org_id, p.login, p.name, p.role, p.locale,
           p.password_hash,
           CASE WHEN p.org_id IS NULL AND p.role IN ('hq', 'ops', 'auditor') THEN NULL
                ELSE ARRAY(SELECT b.org_id FROM below b ORDER BY 1) END,
           CASE WHEN p.org_id IS NULL AND p.role IN ('hq', 'ops', 'auditor') THEN NULL
                ELSE ARRAY(SELECT s.site_id FROM site s JOIN below b USING (tenant_id, org_id) ORDER BY 1) END
    FROM person p JOIN tenant t ON t.tenant_id = p.tenant_id
$$;
REVOKE ALL ON FUNCTION auth_identity(uuid, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION auth_identity(uuid, text) TO shelfpulse_api;

-- What only grows can be cleared where it is test data: a sandbox begins anew. The audit log stays there too.
CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND TG_TABLE_NAME <> 'audit_log'
       AND EXISTS (SELECT FROM tenant t WHERE t.tenant_id = OLD.tenant_id AND t.sandbox_of IS NOT NULL) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION '% only grows: a correction is a new row', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
END
$$;
