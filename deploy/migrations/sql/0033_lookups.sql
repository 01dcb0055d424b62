-- Lookups that read a whole table: a log-in ends the sessions of one user, an order counts the open ones, the worker
-- looks for what simulated carriers have under way, and a dealer reads the events that concern them.

CREATE INDEX refresh_token_user ON refresh_token (user_id, expires_at);
CREATE INDEX sales_order_open ON sales_order (tenant_id) WHERE state NOT IN ('delivered', 'closed', 'cancelled');
CREATE INDEX shipment_under_way ON shipment (tenant_id, shipment_id) WHERE state IN ('dispatched', 'in_transit');
CREATE INDEX outbox_org ON outbox (tenant_id, org_id, event_id);
CREATE INDEX audit_log_login ON audit_log (tenant_id, login, audit_id);
