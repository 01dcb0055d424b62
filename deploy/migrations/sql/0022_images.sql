-- Pictures of SKUs, one each, in the database: they are small, and go with its backup. Owned by platform_api/catalogue.
CREATE TABLE sku_image (
    tenant_id   text NOT NULL,
    sku         text NOT NULL,
    media_type  text NOT NULL CHECK (media_type IN ('image/jpeg', 'image/png', 'image/webp')),
    sha256      text NOT NULL,
    content     bytea NOT NULL,
    updated_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, sku),
    FOREIGN KEY (tenant_id, sku) REFERENCES sku ON DELETE CASCADE
);
