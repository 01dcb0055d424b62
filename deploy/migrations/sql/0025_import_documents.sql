-- Documents that files brought: each is posted once. Owned by platform_api/imports.
--
-- number is what a file calls it, subject what it became; sha256 is of its contents: another telling is a mistake.
CREATE TABLE import_document (
    tenant_id   text NOT NULL REFERENCES tenant,
    kind        text NOT NULL CHECK (kind IN ('stock-moves', 'orders', 'shipments', 'deliveries')),
    number      text NOT NULL,
    sha256      text NOT NULL,
    subject     uuid NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, kind, number)
);
REVOKE UPDATE, DELETE ON import_document FROM shelfpulse_api;
CREATE INDEX sales_order_number ON sales_order (tenant_id, order_no);
