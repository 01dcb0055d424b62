-- What goes on hold, is released or written off is told, whoever moves it: people, returns, or the worker, which puts what
-- has expired there. Owned by platform_api/webhooks.

CREATE FUNCTION tell_hold() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    moved stock_move;
BEGIN
    SELECT * INTO moved FROM stock_move WHERE tenant_id = NEW.tenant_id AND move_id = NEW.move_id;
    PERFORM tell(
        NEW.tenant_id, org_of_location(NEW.tenant_id, NEW.location_id),
        'stock.' || CASE WHEN NEW.units > 0 THEN 'held' WHEN moved.kind = 'release' THEN 'released' ELSE 'written_off' END,
        'stock/' || NEW.location_id || '/' || NEW.sku, jsonb_build_object(
        'move', NEW.move_id, 'site', (SELECT site_id FROM location l
                                      WHERE l.tenant_id = NEW.tenant_id AND l.location_id = NEW.location_id),
        'sku', NEW.sku, 'lot', (SELECT code FROM lot o WHERE o.tenant_id = NEW.tenant_id AND o.lot_id = NEW.lot_id),
        'units', abs(NEW.units), 'reason', moved.reason));
    RETURN NULL;
END
$$;
CREATE TRIGGER told_hold AFTER INSERT ON stock_entry FOR EACH ROW
    WHEN (NEW.location_id LIKE '%.hold' AND NEW.units <> 0) EXECUTE FUNCTION tell_hold();

-- Lots by the day on which they expire: the worker looks for those that have.
CREATE INDEX lot_expires ON lot (expires_on) WHERE expires_on IS NOT NULL;
