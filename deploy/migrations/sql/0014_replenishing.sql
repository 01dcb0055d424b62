-- From a proposal to an order or a transfer. Owned by platform_api/replenishment; driven by platform_api/flows.

-- Approved beyond the dealer's credit: it is not asked for again when the goods leave.
ALTER TABLE sales_order ADD COLUMN credit_overridden boolean NOT NULL DEFAULT false;

-- No second automatic order of a SKU for a site within this time of the last one.
ALTER TABLE stock_policy ADD COLUMN cooldown_s integer NOT NULL DEFAULT 3600 CHECK (cooldown_s >= 0);

-- What became of a proposal, one row each: how it is being fulfilled, or what keeps it from it.
CREATE TABLE proposal_flow (
    tenant_id    text NOT NULL,
    proposal_id  uuid NOT NULL REFERENCES proposal,
    outcome      text NOT NULL CHECK (outcome IN ('backroom', 'transfer', 'order', 'blocked')),
    note         text NOT NULL DEFAULT '',
    units        integer NOT NULL DEFAULT 0,
    order_id     uuid,
    source       text NOT NULL DEFAULT '',
    at           timestamptz NOT NULL DEFAULT now(),
    retry_at     timestamptz,
    PRIMARY KEY (tenant_id, proposal_id)
);
CREATE INDEX proposal_flow_order ON proposal_flow (tenant_id, order_id) WHERE order_id IS NOT NULL;
REVOKE INSERT, UPDATE, DELETE ON proposal_flow FROM shelfpulse_api;
