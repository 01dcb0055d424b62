-- Goods that come back, line by line, and what is credited for them. Owned by platform_api/orders.

CREATE TABLE order_return (
    tenant_id     text NOT NULL,
    return_id     uuid NOT NULL,
    order_id      uuid NOT NULL,
    org_id        text NOT NULL,
    state         text NOT NULL DEFAULT 'requested'
                      CHECK (state IN ('requested', 'approved', 'rejected', 'received')),
    reason        text NOT NULL,
    decision      text NOT NULL DEFAULT '',
    requested_by  uuid,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    version       integer NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, return_id),
    FOREIGN KEY (tenant_id, order_id) REFERENCES sales_order
);
CREATE INDEX order_return_order ON order_return (tenant_id, order_id);

-- units are those that shall come back; restocked and written_off those that did.
CREATE TABLE order_return_line (
    tenant_id       text NOT NULL,
    return_id       uuid NOT NULL,
    line_no         integer NOT NULL,
    sku             text NOT NULL,
    units           integer NOT NULL CHECK (units > 0),
    restocked       integer NOT NULL DEFAULT 0 CHECK (restocked >= 0),
    written_off     integer NOT NULL DEFAULT 0 CHECK (written_off >= 0),
    credited_minor  bigint NOT NULL DEFAULT 0 CHECK (credited_minor >= 0),
    PRIMARY KEY (tenant_id, return_id, line_no),
    FOREIGN KEY (tenant_id, return_id) REFERENCES order_return,
    CHECK (restocked + written_off <= units)
);

-- What was credited of what was invoiced.
ALTER TABLE order_line ADD COLUMN credited_minor bigint NOT NULL DEFAULT 0 CHECK (credited_minor >= 0);
