-- Sales of tills in the books. Owned by platform_api/stock.

-- Whose word counts from when on: a sale of before is booked by whoever had the word then.
ALTER TABLE depletion_source ADD COLUMN since timestamptz NOT NULL DEFAULT '-infinity';
ALTER TABLE depletion_source DROP CONSTRAINT depletion_source_pkey;
ALTER TABLE depletion_source ADD PRIMARY KEY (tenant_id, site_id, sku, since);

-- When a slot was first counted: what was sold before that is in the count.
ALTER TABLE stock_opening ADD COLUMN counted_at timestamptz;
UPDATE stock_opening SET counted_at = opened_at;
ALTER TABLE stock_opening ALTER COLUMN counted_at SET NOT NULL;

-- Sales that wait to be booked: the intake stores them and knows nothing of balances; the worker posts moves.
CREATE TABLE pos_inbox (
    tenant_id  text NOT NULL,
    sale_id    bigint NOT NULL,
    site_id    text NOT NULL,
    sku        text NOT NULL,
    error      text NOT NULL DEFAULT '',
    retry_at   timestamptz NOT NULL DEFAULT '-infinity',
    PRIMARY KEY (tenant_id, sale_id)
);
CREATE INDEX pos_inbox_due ON pos_inbox (retry_at);
CREATE INDEX pos_inbox_place ON pos_inbox (tenant_id, site_id, sku);
CREATE INDEX pos_sale_site ON pos_sale (tenant, site, sold_at DESC);
-- The API stores sales and may not write here: the function does, with its owner's rights, and it is only a trigger.
CREATE FUNCTION remember_sales() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO pos_inbox (tenant_id, sale_id, site_id, sku)
    SELECT tenant, id, site, sku FROM made ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;
CREATE TRIGGER to_be_booked AFTER INSERT ON pos_sale REFERENCING NEW TABLE AS made
    FOR EACH STATEMENT EXECUTE FUNCTION remember_sales();
REVOKE INSERT, UPDATE, DELETE ON pos_inbox FROM shelfpulse_api;
