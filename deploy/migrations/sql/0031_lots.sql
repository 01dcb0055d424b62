-- Until now sales of tills and moves of shelves took no lots, so that places had units of lots that were gone. What is
-- beyond their books is taken out of the lots that expire first: units of a lot become units of none, where they lie.
-- Owned by platform_api/stock.

CREATE TEMPORARY TABLE gone ON COMMIT DROP AS
WITH beyond AS (
    SELECT s.tenant_id, s.location_id, s.sku, sum(s.units) - greatest(coalesce(b.on_hand, 0), 0) AS units,
           new_key() AS move_id
    FROM stock_lot s LEFT JOIN stock_balance b USING (tenant_id, location_id, sku)
    GROUP BY s.tenant_id, s.location_id, s.sku, b.on_hand HAVING sum(s.units) > greatest(coalesce(b.on_hand, 0), 0)
), in_turn AS (
    SELECT b.*, s.lot_id, s.units AS in_lot,
           sum(s.units) OVER (PARTITION BY b.move_id ORDER BY o.expires_on NULLS LAST, s.lot_id) - s.units AS before
    FROM beyond b JOIN stock_lot s USING (tenant_id, location_id, sku) JOIN lot o USING (tenant_id, lot_id)
    WHERE s.units > 0
)
SELECT tenant_id, location_id, sku, move_id, lot_id, least(in_lot, units - before)::integer AS units,
       row_number() OVER (PARTITION BY move_id ORDER BY before, lot_id)::integer AS number
FROM in_turn WHERE units > before;

INSERT INTO stock_move (tenant_id, move_id, kind, happened_at, booked_at, source, source_event_id, reason)
SELECT DISTINCT tenant_id, move_id, 'reconcile', now(), now(), 'migration 0031', location_id || '/' || sku,
       'lots of which nothing was left'
FROM gone;
INSERT INTO stock_entry (tenant_id, move_id, entry_no, location_id, sku, lot_id, units, value_minor, happened_at)
SELECT tenant_id, move_id, 2 * number - 1, location_id, sku, lot_id, -units, 0, now() FROM gone
UNION ALL
SELECT tenant_id, move_id, 2 * number, location_id, sku, NULL, units, 0, now() FROM gone;
UPDATE stock_lot s SET units = s.units - g.units FROM gone g
WHERE (s.tenant_id, s.location_id, s.sku, s.lot_id) = (g.tenant_id, g.location_id, g.sku, g.lot_id);
SET CONSTRAINTS ALL IMMEDIATE;
SET CONSTRAINTS ALL DEFERRED;
