-- Discounts that were agreed for an order as it is, or for lines of it (line_no 0: the whole). Owned by
-- platform_api/orders. Each adjustment that comes of one names its reason.
CREATE TABLE order_discount (
    tenant_id     text NOT NULL,
    order_id      uuid NOT NULL,
    line_no       integer NOT NULL CHECK (line_no >= 0),
    basis_points  integer NOT NULL CHECK (basis_points BETWEEN 1 AND 10000),
    reason        text NOT NULL,
    PRIMARY KEY (tenant_id, order_id, line_no),
    FOREIGN KEY (tenant_id, order_id) REFERENCES sales_order
);
ALTER TABLE order_adjustment DROP CONSTRAINT order_adjustment_kind_check;
ALTER TABLE order_adjustment ADD CONSTRAINT order_adjustment_kind_check
    CHECK (kind IN ('tax', 'line_discount', 'discount'));
