-- What was not accepted at the door: refused units go back, missing ones are a loss, both are credited.
-- Owned by platform_api/orders and platform_api/logistics.

ALTER TABLE order_line
    ADD COLUMN refused_units integer NOT NULL DEFAULT 0 CHECK (refused_units >= 0),
    ADD COLUMN missing_units integer NOT NULL DEFAULT 0 CHECK (missing_units >= 0);

-- units = accepted + missing + refused once somebody has signed. credited_minor is of what was not accepted.
ALTER TABLE shipment_line
    ADD COLUMN missing integer NOT NULL DEFAULT 0,
    ADD COLUMN invoiced_minor bigint NOT NULL DEFAULT 0 CHECK (invoiced_minor >= 0),
    ADD COLUMN credited_minor bigint NOT NULL DEFAULT 0;

-- A return of what was refused names the shipment; it is credited with that one, not again.
ALTER TABLE order_return ADD COLUMN shipment_id uuid, ADD FOREIGN KEY (tenant_id, shipment_id) REFERENCES shipment;
CREATE UNIQUE INDEX order_return_shipment ON order_return (tenant_id, shipment_id) WHERE shipment_id IS NOT NULL;

-- What each shipment was invoiced: as totals.py has it, of what had left by then less what had left before.
WITH gross AS (
    SELECT l.tenant_id, l.order_id, l.line_no, l.units, l.net_minor + coalesce(sum(a.amount_minor), 0) AS minor
    FROM order_line l LEFT JOIN order_adjustment a USING (tenant_id, order_id, line_no)
    GROUP BY l.tenant_id, l.order_id, l.line_no, l.units, l.net_minor
), left_by AS (
    SELECT n.tenant_id, n.shipment_id, n.line_no, n.units, g.minor, g.units AS whole,
           sum(n.units) OVER (PARTITION BY s.tenant_id, s.order_id, n.line_no ORDER BY s.shipment_id) AS shipped
    FROM shipment_line n JOIN shipment s USING (tenant_id, shipment_id) JOIN gross g USING (tenant_id, order_id, line_no)
)
UPDATE shipment_line n
SET invoiced_minor = div(2 * b.minor * b.shipped + b.whole, 2 * b.whole)
                     - div(2 * b.minor * (b.shipped - b.units) + b.whole, 2 * b.whole)
FROM left_by b
WHERE (n.tenant_id, n.shipment_id, n.line_no) = (b.tenant_id, b.shipment_id, b.line_no);

-- Until now whatever was not accepted was booked as a loss, and credited to nobody.
UPDATE shipment_line
SET missing = units - accepted,
    credited_minor = div(2 * invoiced_minor::numeric * (units - accepted) + units, 2 * units)
WHERE accepted < units;

UPDATE order_line l
SET missing_units = b.missing, credited_minor = l.credited_minor + b.credited
FROM (SELECT s.tenant_id, s.order_id, n.line_no, sum(n.missing) AS missing, sum(n.credited_minor) AS credited
      FROM shipment_line n JOIN shipment s USING (tenant_id, shipment_id) WHERE n.missing > 0 GROUP BY 1, 2, 3) b
WHERE (l.tenant_id, l.order_id, l.line_no) = (b.tenant_id, b.order_id, b.line_no);

WITH noted AS (
    INSERT INTO ar_entry (tenant_id, entry_id, org_id, currency, kind, amount_minor, source, order_id, reference)
    SELECT s.tenant_id, new_key(), o.org_id, o.currency, 'credit_note', -sum(n.credited_minor),
           'delivery:' || s.shipment_id, s.order_id, s.tracking_no
    FROM shipment_line n JOIN shipment s USING (tenant_id, shipment_id) JOIN sales_order o USING (tenant_id, order_id)
    GROUP BY s.tenant_id, s.shipment_id, o.org_id, o.currency, s.order_id, s.tracking_no
    HAVING sum(n.credited_minor) > 0
    RETURNING tenant_id, org_id, currency, amount_minor
)
UPDATE credit_account c SET receivable_minor = c.receivable_minor + b.amount
FROM (SELECT tenant_id, org_id, currency, sum(amount_minor) AS amount FROM noted GROUP BY 1, 2, 3) b
WHERE (c.tenant_id, c.org_id, c.currency) = (b.tenant_id, b.org_id, b.currency);

ALTER TABLE shipment_line
    ADD CHECK (missing >= 0 AND accepted + missing <= units),
    ADD CHECK (credited_minor BETWEEN 0 AND invoiced_minor);
ALTER TABLE order_line ADD CHECK (delivered_units + refused_units + missing_units <= shipped_units);
