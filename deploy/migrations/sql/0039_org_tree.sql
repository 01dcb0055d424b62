-- No organisation stands below itself, whoever moves it. Owned by platform_api/tenancy.
--
-- Looked at when the transaction ends: a file may move organisations one after the other through what would be a ring.
-- Transactions look one after the other, each at what the one before has committed: two moves that are right by
-- themselves make no ring together. A new organisation has nothing below it.
CREATE FUNCTION refuse_ring() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(NEW.tenant_id, 7));
    IF EXISTS (
        WITH RECURSIVE above AS (
            SELECT o.parent_id FROM org o WHERE o.tenant_id = NEW.tenant_id AND o.org_id = NEW.org_id
            UNION
            SELECT o.parent_id FROM org o JOIN above a ON o.org_id = a.parent_id WHERE o.tenant_id = NEW.tenant_id
        )
        SELECT FROM above WHERE parent_id = NEW.org_id
    ) THEN
        RAISE EXCEPTION 'an organisation cannot stand below itself'
            USING ERRCODE = 'check_violation', TABLE = 'org', CONSTRAINT = 'org_tree';
    END IF;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER org_tree AFTER UPDATE OF parent_id ON org DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (NEW.parent_id IS NOT NULL AND NEW.parent_id IS DISTINCT FROM OLD.parent_id) EXECUTE FUNCTION refuse_ring();
ALTER TABLE org ADD CONSTRAINT org_below_itself CHECK (parent_id <> org_id);
