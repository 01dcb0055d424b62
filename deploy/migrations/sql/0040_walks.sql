-- Lists and lookups that read past what belongs to others, a hundred thousand rows of it.

-- When a SKU was last ordered for a site.
CREATE INDEX proposal_place ON proposal (tenant_id, site_id, sku);
-- Shipments of one dealer, and the newest moves of each of one's places.
CREATE INDEX shipment_org ON shipment (tenant_id, org_id, shipment_id DESC);
CREATE INDEX stock_entry_newest ON stock_entry (tenant_id, location_id, move_id DESC, entry_no DESC);
-- Moves of a time: those told late lie anywhere among the others.
CREATE INDEX stock_move_time ON stock_move (tenant_id, happened_at);
