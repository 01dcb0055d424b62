-- Orders, what each unit of their money is made of, and what dealers owe. Owned by platform_api/orders and
-- platform_api/finance. Money is integer minor units of the order's currency.

-- ---------------------------------------------------------------- finance

-- exposure = receivable + committed (approved or submitted, not shipped) - deposit; receivable and deposit project
-- ar_entry. Without an account a dealer has no credit.
CREATE TABLE credit_account (
    tenant_id         text NOT NULL,
    org_id            text NOT NULL,
    currency          text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    limit_minor       bigint NOT NULL DEFAULT 0 CHECK (limit_minor >= 0),
    receivable_minor  bigint NOT NULL DEFAULT 0,
    committed_minor   bigint NOT NULL DEFAULT 0 CHECK (committed_minor >= 0),
    deposit_minor     bigint NOT NULL DEFAULT 0,
    auto_approve      boolean NOT NULL DEFAULT false,
    version           integer NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, org_id, currency),
    FOREIGN KEY (tenant_id, org_id) REFERENCES org
);

-- What is owed (positive) and paid (negative); a deposit is paid ahead. Append-only; told once a source.
CREATE TABLE ar_entry (
    tenant_id     text NOT NULL,
    entry_id      uuid NOT NULL,
    org_id        text NOT NULL,
    currency      text NOT NULL,
    kind          text NOT NULL CHECK (kind IN ('invoice', 'payment', 'credit_note', 'deposit')),
    amount_minor  bigint NOT NULL CHECK (amount_minor <> 0),
    source        text NOT NULL,
    order_id      uuid,
    reference     text NOT NULL DEFAULT '',
    user_id       uuid,
    at            timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, entry_id),
    UNIQUE (tenant_id, source),
    FOREIGN KEY (tenant_id, org_id, currency) REFERENCES credit_account
);
CREATE INDEX ar_entry_org ON ar_entry (tenant_id, org_id, entry_id DESC);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON ar_entry FOR EACH ROW EXECUTE FUNCTION refuse_change();
REVOKE UPDATE, DELETE ON ar_entry FROM shelfpulse_api;

-- ---------------------------------------------------------------- orders

CREATE TABLE sales_order (
    tenant_id         text NOT NULL REFERENCES tenant,
    order_id          uuid NOT NULL,
    order_no          bigint GENERATED ALWAYS AS IDENTITY,
    org_id            text NOT NULL,
    ship_from         text NOT NULL,
    ship_to           text NOT NULL,
    currency          text NOT NULL,
    state             text NOT NULL DEFAULT 'draft' CHECK (state IN
                          ('draft', 'submitted', 'credit_hold', 'approved', 'allocated', 'part_shipped', 'shipped',
                           'delivered', 'closed', 'cancelled')),
    reference         text NOT NULL DEFAULT '',
    proposal_id       uuid,
    net_minor         bigint NOT NULL DEFAULT 0,
    adjustment_minor  bigint NOT NULL DEFAULT 0,
    total_minor       bigint NOT NULL DEFAULT 0,
    committed_minor   bigint NOT NULL DEFAULT 0 CHECK (committed_minor >= 0),
    created_by        uuid,
    created_at        timestamptz NOT NULL DEFAULT now(),
    submitted_at      timestamptz,
    updated_at        timestamptz NOT NULL DEFAULT now(),
    version           integer NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, order_id),
    FOREIGN KEY (tenant_id, org_id) REFERENCES org,
    FOREIGN KEY (tenant_id, ship_from) REFERENCES location,
    FOREIGN KEY (tenant_id, ship_to) REFERENCES location,
    CHECK (total_minor = net_minor + adjustment_minor)
);
CREATE INDEX sales_order_org ON sales_order (tenant_id, org_id, order_id DESC);
CREATE INDEX sales_order_waiting ON sales_order (tenant_id, order_id) WHERE state IN ('approved', 'allocated', 'part_shipped');
-- The last word on "the dealer's order once, ever".
CREATE UNIQUE INDEX sales_order_proposal ON sales_order (tenant_id, proposal_id) WHERE proposal_id IS NOT NULL;

CREATE TABLE order_line (
    tenant_id         text NOT NULL,
    order_id          uuid NOT NULL,
    line_no           integer NOT NULL,
    sku               text NOT NULL,
    uom               text NOT NULL,
    factor            integer NOT NULL CHECK (factor > 0),
    packs             integer NOT NULL CHECK (packs > 0),
    units             integer NOT NULL,
    unit_price_minor  bigint NOT NULL CHECK (unit_price_minor >= 0),
    net_minor         bigint NOT NULL,
    tax_basis_points  integer NOT NULL DEFAULT 0,
    explanation       jsonb NOT NULL,
    reserved_units    integer NOT NULL DEFAULT 0 CHECK (reserved_units >= 0),
    shipped_units     integer NOT NULL DEFAULT 0 CHECK (shipped_units >= 0),
    delivered_units   integer NOT NULL DEFAULT 0 CHECK (delivered_units >= 0),
    returned_units    integer NOT NULL DEFAULT 0 CHECK (returned_units >= 0),
    invoiced_minor    bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, order_id, line_no),
    FOREIGN KEY (tenant_id, order_id) REFERENCES sales_order,
    FOREIGN KEY (tenant_id, sku) REFERENCES sku,
    CHECK (units = packs * factor),
    CHECK (net_minor = packs * unit_price_minor),
    CHECK (reserved_units + shipped_units <= units AND delivered_units <= shipped_units
           AND returned_units <= delivered_units)
);

-- What is added to a line's net (a tax) or taken from it (a discount), and why.
CREATE TABLE order_adjustment (
    tenant_id     text NOT NULL,
    order_id      uuid NOT NULL,
    line_no       integer NOT NULL,
    kind          text NOT NULL CHECK (kind IN ('tax', 'discount')),
    amount_minor  bigint NOT NULL,
    explanation   jsonb NOT NULL,
    PRIMARY KEY (tenant_id, order_id, line_no, kind),
    FOREIGN KEY (tenant_id, order_id, line_no) REFERENCES order_line ON DELETE CASCADE
);

CREATE TABLE order_event (
    tenant_id   text NOT NULL,
    order_id    uuid NOT NULL,
    event_no    bigint GENERATED ALWAYS AS IDENTITY,
    action      text NOT NULL,
    from_state  text NOT NULL,
    to_state    text NOT NULL,
    reason      text NOT NULL DEFAULT '',
    login       text NOT NULL,
    at          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, order_id, event_no),
    FOREIGN KEY (tenant_id, order_id) REFERENCES sales_order
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON order_event FOR EACH ROW EXECUTE FUNCTION refuse_change();
REVOKE UPDATE, DELETE ON order_event FROM shelfpulse_api;
