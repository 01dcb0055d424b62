-- What is agreed: discounts as amounts, and what moving units between two sites costs.

-- A discount is a share or an amount (minor units of the order's currency), never both. Owned by platform_api/orders.
ALTER TABLE order_discount DROP CONSTRAINT order_discount_basis_points_check;
ALTER TABLE order_discount ADD COLUMN amount_minor bigint NOT NULL DEFAULT 0;
ALTER TABLE order_discount ADD CONSTRAINT share_or_amount CHECK (
    basis_points BETWEEN 0 AND 10000 AND amount_minor >= 0 AND (basis_points > 0) <> (amount_minor > 0));

-- What moving a unit from one site to another costs, where somebody said so: elsewhere it is estimated from the way.
-- Not allowed: no proposal moves anything there. Owned by platform_api/replenishment.
CREATE TABLE transfer_lane (
    tenant_id    text NOT NULL,
    origin       text NOT NULL,
    destination  text NOT NULL,
    currency     text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    cost_minor   bigint NOT NULL CHECK (cost_minor >= 0),
    allowed      boolean NOT NULL DEFAULT true,
    PRIMARY KEY (tenant_id, origin, destination),
    FOREIGN KEY (tenant_id, origin) REFERENCES site ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, destination) REFERENCES site ON DELETE CASCADE,
    CHECK (origin <> destination)
);
