-- Dealers subscribe for what concerns them, and events of one thing are told in their order.
-- Owned by platform_api/webhooks.

-- org_id is the organisation that an event concerns, NULL the tenant alone. number is the order in which things
-- changed: two changes of one row cannot overlap, so its events have the order of their numbers.
ALTER TABLE outbox ADD COLUMN org_id text, ADD COLUMN number bigint GENERATED ALWAYS AS IDENTITY;

-- org_id: only what concerns it or an organisation below it; NULL: everything of the tenant.
ALTER TABLE webhook ADD COLUMN org_id text, ADD FOREIGN KEY (tenant_id, org_id) REFERENCES org;
GRANT SELECT (org_id) ON webhook TO shelfpulse_api;

ALTER TABLE webhook_delivery ADD COLUMN subject text, ADD COLUMN number bigint;
UPDATE webhook_delivery d SET subject = o.subject, number = o.number
FROM outbox o WHERE o.tenant_id = d.tenant_id AND o.event_id = d.event_id;
ALTER TABLE webhook_delivery ALTER COLUMN subject SET NOT NULL, ALTER COLUMN number SET NOT NULL;
CREATE INDEX webhook_delivery_order ON webhook_delivery (tenant_id, webhook_id, subject, number)
    WHERE state = 'pending';

CREATE FUNCTION org_and_above(p_tenant text, p_org text) RETURNS SETOF text LANGUAGE sql STABLE AS $$
    WITH RECURSIVE above AS (
        SELECT o.org_id, o.parent_id FROM org o WHERE o.tenant_id = p_tenant AND o.org_id = p_org
        UNION
        SELECT o.org_id, o.parent_id FROM org o JOIN above a ON o.org_id = a.parent_id WHERE o.tenant_id = p_tenant
    )
    SELECT org_id FROM above
$$;

CREATE FUNCTION org_of_site(p_tenant text, p_site text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT org_id FROM site WHERE tenant_id = p_tenant AND site_id = p_site
$$;

CREATE FUNCTION tell(p_tenant text, p_org text, p_type text, p_subject text, p_data jsonb) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    told uuid := new_key();
    place bigint;
BEGIN
    INSERT INTO outbox (tenant_id, event_id, org_id, type, subject, data)
    VALUES (p_tenant, told, p_org, p_type, p_subject, p_data) RETURNING number INTO place;
    INSERT INTO webhook_delivery (tenant_id, webhook_id, event_id, subject, number)
    SELECT w.tenant_id, w.webhook_id, told, p_subject, place FROM webhook w
    WHERE w.tenant_id = p_tenant AND w.enabled AND (w.events = '{}' OR p_type = ANY(w.events))
      AND (w.org_id IS NULL OR w.org_id IN (SELECT org_and_above(p_tenant, p_org)));
END
$$;

CREATE OR REPLACE FUNCTION tell_order() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM tell(
        NEW.tenant_id, NEW.org_id,
        'order.' || NEW.state,
        'orders/' || NEW.order_id, jsonb_build_object(
        'id', NEW.order_id, 'number', NEW.order_no, 'org', NEW.org_id, 'state', NEW.state, 'ship_from', NEW.ship_from,
        'ship_to', NEW.ship_to, 'reference', NEW.reference, 'proposal', NEW.proposal_id,
        'total', jsonb_build_object('minor', NEW.total_minor, 'currency', NEW.currency)));
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION tell_shipment() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM tell(
        NEW.tenant_id, NEW.org_id,
        'shipment.' || CASE WHEN TG_ARGV[0] = 'verdict' THEN NEW.shelf_verdict ELSE NEW.state END,
        'shipments/' || NEW.shipment_id, jsonb_build_object(
        'id', NEW.shipment_id, 'order', NEW.order_id, 'org', NEW.org_id, 'ship_from', NEW.ship_from,
        'ship_to', NEW.ship_to, 'carrier', NEW.carrier_id, 'tracking_no', NEW.tracking_no, 'state', NEW.state,
        'shelf_verdict', NEW.shelf_verdict, 'shelf_seen', NEW.shelf_seen, 'eta', NEW.eta));
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION tell_proposal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM tell(
        NEW.tenant_id, org_of_site(NEW.tenant_id, NEW.site_id),
        'proposal.' || NEW.state,
        'proposals/' || NEW.proposal_id, jsonb_build_object(
        'id', NEW.proposal_id, 'site', NEW.site_id, 'sku', NEW.sku, 'units', NEW.units, 'state', NEW.state));
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION tell_anomaly() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM tell(
        NEW.tenant_id, org_of_site(NEW.tenant_id, NEW.site_id),
        'anomaly.' || NEW.state,
        'anomalies/' || NEW.anomaly_id, jsonb_build_object(
        'id', NEW.anomaly_id, 'site', NEW.site_id, 'gateway', NEW.gateway_id, 'kind', NEW.kind,
        'place_kind', NEW.place_kind, 'place', NEW.place, 'start', NEW.start_at, 'severity', NEW.severity,
        'score', NEW.score, 'state', NEW.state));
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION tell_receivable() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM tell(
        NEW.tenant_id, NEW.org_id,
        'receivable.' || NEW.kind,
        'receivables/' || NEW.entry_id, jsonb_build_object(
        'id', NEW.entry_id, 'org', NEW.org_id, 'kind', NEW.kind, 'order', NEW.order_id, 'reference', NEW.reference,
        'amount', jsonb_build_object('minor', NEW.amount_minor, 'currency', NEW.currency)));
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION tell_count() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM tell(
        NEW.tenant_id, (
        SELECT org_of_site(l.tenant_id, l.site_id) FROM location l
        WHERE l.tenant_id = NEW.tenant_id AND l.location_id = NEW.location_id),
        'count.' || NEW.state,
        'counts/' || NEW.count_id, jsonb_build_object(
        'id', NEW.count_id, 'location', NEW.location_id, 'state', NEW.state, 'reason', NEW.reason));
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION tell_return() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM tell(
        NEW.tenant_id, NEW.org_id,
        'return.' || NEW.state,
        'returns/' || NEW.return_id, jsonb_build_object(
        'id', NEW.return_id, 'order', NEW.order_id, 'org', NEW.org_id, 'state', NEW.state, 'reason', NEW.reason,
        'decision', NEW.decision));
    RETURN NULL;
END
$$;

DROP FUNCTION tell(text, text, text, jsonb);
