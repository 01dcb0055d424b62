-- ---------------------------------------------------------------- sales: owned by platform_api/sales

-- What the tills sold: the witness that is independent of the shelf. Names are those of the wire (settled point 9:
-- the stream reads by id below the xmin horizon, so ids need not be committed in order).
-- units: negative for a return. receipt and line: the till's own, which make a second delivery harmless.
CREATE TABLE pos_sale (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant       text NOT NULL REFERENCES tenant (tenant_id),
    site         text NOT NULL,
    sku          text NOT NULL,
    units        integer NOT NULL CHECK (units <> 0),
    sold_at      timestamptz NOT NULL,
    receipt      text NOT NULL,
    line         integer NOT NULL CHECK (line >= 0),
    received_at  timestamptz NOT NULL DEFAULT now(),
    UNIQUE (tenant, site, receipt, line),
    FOREIGN KEY (tenant, site) REFERENCES site (tenant_id, site_id),
    FOREIGN KEY (tenant, sku) REFERENCES sku (tenant_id, sku)
);
CREATE INDEX pos_sale_sold ON pos_sale (tenant, site, sku, sold_at DESC);
CREATE INDEX pos_sale_recent ON pos_sale (tenant, id DESC);
