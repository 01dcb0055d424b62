-- Places for what may not be sold before somebody has decided: returned, damaged, expired. Owned by platform_api/stock.

-- '<site>.hold' is physical and in the books as any other place; orders, transfers and shelves take nothing from it.
ALTER TABLE location DROP CONSTRAINT location_kind_check;
ALTER TABLE location ADD CONSTRAINT location_kind_check CHECK (kind IN
    ('supplier', 'warehouse', 'store', 'shelf', 'transit', 'customer', 'loss', 'adjust', 'hold'));
ALTER TABLE stock_move DROP CONSTRAINT stock_move_kind_check;
ALTER TABLE stock_move ADD CONSTRAINT stock_move_kind_check CHECK (kind IN
    ('opening', 'receipt', 'issue', 'return', 'transfer', 'sale', 'put_back', 'restock', 'remove', 'adjust', 'count',
     'reconcile', 'loss', 'hold', 'release'));

-- Whatever code does: nothing on hold is ever promised.
ALTER TABLE stock_balance ADD CONSTRAINT never_promised CHECK (reserved = 0 OR location_id NOT LIKE '%.hold');

CREATE OR REPLACE FUNCTION add_site_locations() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO location (tenant_id, location_id, kind, site_id, name)
    VALUES (NEW.tenant_id, NEW.site_id, NEW.kind, NEW.site_id, NEW.name) ON CONFLICT DO NOTHING;
    INSERT INTO location (tenant_id, location_id, kind, site_id, parent_id, name)
    SELECT NEW.tenant_id, NEW.site_id || '.shelf', 'shelf', NEW.site_id, NEW.site_id, NEW.name WHERE NEW.kind = 'store'
    ON CONFLICT DO NOTHING;
    INSERT INTO location (tenant_id, location_id, kind, site_id, parent_id, name)
    VALUES (NEW.tenant_id, NEW.site_id || '.hold', 'hold', NEW.site_id, NEW.site_id, NEW.name) ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;
INSERT INTO location (tenant_id, location_id, kind, site_id, parent_id, name)
SELECT s.tenant_id, s.site_id || '.hold', 'hold', s.site_id, s.site_id, s.name
FROM site s JOIN location l ON l.tenant_id = s.tenant_id AND l.location_id = s.site_id
ON CONFLICT DO NOTHING;

-- held are units that came back and wait for a decision; reason is why this line shall go back, '' as the others.
ALTER TABLE order_return_line
    ADD COLUMN held integer NOT NULL DEFAULT 0 CHECK (held >= 0),
    ADD COLUMN reason text NOT NULL DEFAULT '',
    DROP CONSTRAINT order_return_line_check,
    ADD CHECK (restocked + written_off + held <= units);
