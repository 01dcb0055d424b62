-- Files that people upload: checked when they come, written when they are committed. Owned by platform_api/imports.

CREATE TABLE import_batch (
    tenant_id     text NOT NULL REFERENCES tenant,
    import_id     uuid NOT NULL,
    kind          text NOT NULL,
    state         text NOT NULL CHECK (state IN ('staged', 'refused', 'committed')),
    -- NULL once it is written, refused or old.
    content       bytea,
    rows          integer NOT NULL,
    created       integer NOT NULL DEFAULT 0,
    updated       integer NOT NULL DEFAULT 0,
    faults        jsonb NOT NULL DEFAULT '[]',
    created_by    uuid,
    created_at    timestamptz NOT NULL DEFAULT now(),
    committed_at  timestamptz,
    PRIMARY KEY (tenant_id, import_id)
);
CREATE INDEX import_batch_age ON import_batch (created_at) WHERE content IS NOT NULL;
REVOKE DELETE ON import_batch FROM shelfpulse_api;
