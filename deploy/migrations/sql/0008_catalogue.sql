-- What is sold, in which packs, to whom, and for how much. Owned by platform_api/catalogue.
-- Money is integer minor units of the list's currency.

ALTER TABLE sku
    ADD COLUMN state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'retired')),
    ADD COLUMN by_lot boolean NOT NULL DEFAULT false,
    ADD COLUMN tax_basis_points integer NOT NULL DEFAULT 0 CHECK (tax_basis_points BETWEEN 0 AND 10000),
    ADD COLUMN version integer NOT NULL DEFAULT 1;

-- How a SKU is packed. Each has its unit ('unit', factor 1), which no row needs to say.
CREATE TABLE sku_pack (
    tenant_id  text NOT NULL,
    sku        text NOT NULL,
    uom        text NOT NULL,
    factor     integer NOT NULL CHECK (factor > 1),
    gtin       text NOT NULL DEFAULT '',
    PRIMARY KEY (tenant_id, sku, uom),
    FOREIGN KEY (tenant_id, sku) REFERENCES sku,
    CHECK (uom <> 'unit')
);
CREATE UNIQUE INDEX sku_pack_gtin ON sku_pack (tenant_id, gtin) WHERE gtin <> '';
INSERT INTO sku_pack (tenant_id, sku, uom, factor)
SELECT tenant_id, sku, 'case', pack_units FROM sku WHERE pack_units > 1;

-- level says for whom a list is, and comes before depth in the tree: special, org, segment, default.
CREATE TABLE price_list (
    tenant_id     text NOT NULL REFERENCES tenant,
    list_id       text NOT NULL,
    name          text NOT NULL,
    level         text NOT NULL CHECK (level IN ('special', 'org', 'segment', 'default')),
    target        text NOT NULL DEFAULT '',
    currency      text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    state         text NOT NULL DEFAULT 'draft' CHECK (state IN ('draft', 'published', 'withdrawn')),
    published_at  timestamptz,
    version       integer NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, list_id),
    CHECK ((level = 'default') = (target = ''))
);
CREATE INDEX price_list_target ON price_list (tenant_id, level, target) WHERE state = 'published';

-- amount_minor is the price of one pack of that uom, from min_qty such packs on.
CREATE TABLE price_item (
    tenant_id     text NOT NULL,
    list_id       text NOT NULL,
    item_no       integer NOT NULL,
    sku           text NOT NULL,
    uom           text NOT NULL,
    min_qty       integer NOT NULL DEFAULT 1 CHECK (min_qty > 0),
    amount_minor  bigint NOT NULL CHECK (amount_minor >= 0),
    valid_from    timestamptz,
    valid_to      timestamptz,
    PRIMARY KEY (tenant_id, list_id, item_no),
    FOREIGN KEY (tenant_id, list_id) REFERENCES price_list,
    FOREIGN KEY (tenant_id, sku) REFERENCES sku,
    CHECK (valid_from IS NULL OR valid_to IS NULL OR valid_from < valid_to)
);
CREATE INDEX price_item_sku ON price_item (tenant_id, sku, list_id);

-- What an organisation, and those below it, may order; sku '*' is everything. The nearest word counts, none means no.
CREATE TABLE entitlement (
    tenant_id  text NOT NULL,
    org_id     text NOT NULL,
    sku        text NOT NULL,
    allowed    boolean NOT NULL,
    PRIMARY KEY (tenant_id, org_id, sku),
    FOREIGN KEY (tenant_id, org_id) REFERENCES org
);
