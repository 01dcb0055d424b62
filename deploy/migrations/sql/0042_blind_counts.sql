-- Whether somebody counts a SKU at a place, or has and it waits to be booked: until then nobody is told what is booked.
-- Owned by platform_api/stock.

CREATE FUNCTION is_counted(p_tenant text, p_location text, p_sku text) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT FROM stock_count c JOIN stock_count_line n USING (tenant_id, count_id)
        WHERE c.tenant_id = p_tenant AND c.location_id = p_location AND n.sku = p_sku
          AND c.state IN ('open', 'submitted'))
$$;
CREATE INDEX stock_count_waiting ON stock_count (tenant_id, location_id) WHERE state IN ('open', 'submitted');
