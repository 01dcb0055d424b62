-- What is told to other systems. Owned by platform_api/webhooks.
--
-- Triggers write the outbox in the transaction of the change itself, whoever makes it (API, worker, stream), so that no
-- writer can forget to and nothing is told that did not happen. Each event finds its subscribers there and then: no
-- reader has to follow the outbox past transactions that commit out of order.

-- UUIDv7 (RFC 9562), as platform_api/kit/keys.py makes them.
CREATE FUNCTION new_key() RETURNS uuid LANGUAGE sql VOLATILE AS $$
    SELECT encode(set_bit(set_bit(overlay(
        uuid_send(gen_random_uuid())
        PLACING substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3) FROM 1 FOR 6
    ), 52, 1), 53, 1), 'hex')::uuid
$$;

-- Kept for 30 days. type is noun.state; data has the keys that the API shows, money as {minor, currency}.
-- No more is asked of a row here than of the one that it tells of: telling must never stop a change.
CREATE TABLE outbox (
    tenant_id  text NOT NULL,
    event_id   uuid NOT NULL,
    type       text NOT NULL,
    subject    text NOT NULL,
    data       jsonb NOT NULL,
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, event_id)
);
CREATE INDEX outbox_time ON outbox (tenant_id, at);
CREATE INDEX outbox_age ON outbox (at);

-- events '{}' is all of them. The previous secret signs as well until previous_until.
CREATE TABLE webhook (
    tenant_id        text NOT NULL REFERENCES tenant,
    webhook_id       uuid NOT NULL,
    url              text NOT NULL,
    description      text NOT NULL DEFAULT '',
    events           text[] NOT NULL DEFAULT '{}',
    secret           text NOT NULL,
    previous_secret  text NOT NULL DEFAULT '',
    previous_until   timestamptz,
    enabled          boolean NOT NULL DEFAULT true,
    disabled_reason  text NOT NULL DEFAULT '',
    failing_since    timestamptz,
    created_at       timestamptz NOT NULL DEFAULT now(),
    version          integer NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, webhook_id)
);

CREATE TABLE webhook_delivery (
    tenant_id     text NOT NULL,
    webhook_id    uuid NOT NULL,
    event_id      uuid NOT NULL,
    state         text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'failed')),
    attempts      integer NOT NULL DEFAULT 0,
    next_at       timestamptz NOT NULL DEFAULT now(),
    status        integer,
    error         text NOT NULL DEFAULT '',
    delivered_at  timestamptz,
    PRIMARY KEY (tenant_id, webhook_id, event_id),
    FOREIGN KEY (tenant_id, webhook_id) REFERENCES webhook,
    FOREIGN KEY (tenant_id, event_id) REFERENCES outbox ON DELETE CASCADE
);
CREATE INDEX webhook_delivery_due ON webhook_delivery (tenant_id, webhook_id, next_at) WHERE state = 'pending';
CREATE INDEX webhook_delivery_event ON webhook_delivery (tenant_id, event_id);

-- Secrets sign what the worker sends; the API writes them and cannot read them again.
REVOKE SELECT ON webhook FROM shelfpulse_api;
GRANT SELECT (tenant_id, webhook_id, url, description, events, previous_until, enabled, disabled_reason, failing_since,
              created_at, version) ON webhook TO shelfpulse_api;
REVOKE UPDATE, DELETE ON outbox FROM shelfpulse_api;

CREATE FUNCTION rotate_webhook(p_webhook uuid, p_secret text, p_until timestamptz) RETURNS integer
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE webhook SET previous_secret = secret, previous_until = p_until, secret = p_secret, version = version + 1
    WHERE tenant_id = nullif(current_setting('app.tenant', true), '') AND webhook_id = p_webhook
    RETURNING version
$$;
REVOKE ALL ON FUNCTION rotate_webhook(uuid, text, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION rotate_webhook(uuid, text, timestamptz) TO shelfpulse_api;

CREATE FUNCTION tell(p_tenant text, p_type text, p_subject text, p_data jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    told uuid := new_key();
BEGIN
    INSERT INTO outbox (tenant_id, event_id, type, subject, data) VALUES (p_tenant, told, p_type, p_subject, p_data);
    INSERT INTO webhook_delivery (tenant_id, webhook_id, event_id)
    SELECT w.tenant_id, w.webhook_id, told FROM webhook w
    WHERE w.tenant_id = p_tenant AND w.enabled AND (w.events = '{}' OR p_type = ANY(w.events));
END
$$;

CREATE FUNCTION tell_order() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM tell(NEW.tenant_id, 'order.' || NEW.state, 'orders/' || NEW.order_id, jsonb_build_object(
        'id', NEW.order_id, 'number', NEW.order_no, 'org', NEW.org_id, 'state', NEW.state, 'ship_from', NEW.ship_from,
        'ship_to', NEW.ship_to, 'reference', NEW.reference, 'proposal', NEW.proposal_id,
        'total', jsonb_build_object('minor', NEW.total_minor, 'currency', NEW.currency)));
    RETURN NULL;
END
$$;
CREATE TRIGGER told_new AFTER INSERT ON sales_order FOR EACH ROW EXECUTE FUNCTION tell_order();
CREATE TRIGGER told AFTER UPDATE OF state ON sales_order FOR EACH ROW
    WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION tell_order();

CREATE FUNCTION tell_shipment() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM tell(NEW.tenant_id, 'shipment.' || CASE WHEN TG_ARGV[0] = 'verdict' THEN NEW.shelf_verdict ELSE NEW.state END,
        'shipments/' || NEW.shipment_id, jsonb_build_object(
        'id', NEW.shipment_id, 'order', NEW.order_id, 'org', NEW.org_id, 'ship_from', NEW.ship_from,
        'ship_to', NEW.ship_to, 'carrier', NEW.carrier_id, 'tracking_no', NEW.tracking_no, 'state', NEW.state,
        'shelf_verdict', NEW.shelf_verdict, 'shelf_seen', NEW.shelf_seen, 'eta', NEW.eta));
    RETURN NULL;
END
$$;
CREATE TRIGGER told_new AFTER INSERT ON shipment FOR EACH ROW EXECUTE FUNCTION tell_shipment('state');
CREATE TRIGGER told AFTER UPDATE OF state ON shipment FOR EACH ROW
    WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION tell_shipment('state');
CREATE TRIGGER told_verdict AFTER UPDATE OF shelf_verdict ON shipment FOR EACH ROW
    WHEN (OLD.shelf_verdict IS DISTINCT FROM NEW.shelf_verdict) EXECUTE FUNCTION tell_shipment('verdict');

CREATE FUNCTION tell_proposal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM tell(NEW.tenant_id, 'proposal.' || NEW.state, 'proposals/' || NEW.proposal_id, jsonb_build_object(
        'id', NEW.proposal_id, 'site', NEW.site_id, 'sku', NEW.sku, 'units', NEW.units, 'state', NEW.state));
    RETURN NULL;
END
$$;
CREATE TRIGGER told_new AFTER INSERT ON proposal FOR EACH ROW EXECUTE FUNCTION tell_proposal();
CREATE TRIGGER told AFTER UPDATE OF state ON proposal FOR EACH ROW
    WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION tell_proposal();

CREATE FUNCTION tell_anomaly() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM tell(NEW.tenant_id, 'anomaly.' || NEW.state, 'anomalies/' || NEW.anomaly_id, jsonb_build_object(
        'id', NEW.anomaly_id, 'site', NEW.site_id, 'gateway', NEW.gateway_id, 'kind', NEW.kind,
        'place_kind', NEW.place_kind, 'place', NEW.place, 'start', NEW.start_at, 'severity', NEW.severity,
        'score', NEW.score, 'state', NEW.state));
    RETURN NULL;
END
$$;
CREATE TRIGGER told_new AFTER INSERT ON anomaly FOR EACH ROW EXECUTE FUNCTION tell_anomaly();
CREATE TRIGGER told AFTER UPDATE OF state ON anomaly FOR EACH ROW
    WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION tell_anomaly();

CREATE FUNCTION tell_receivable() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM tell(NEW.tenant_id, 'receivable.' || NEW.kind, 'receivables/' || NEW.entry_id, jsonb_build_object(
        'id', NEW.entry_id, 'org', NEW.org_id, 'kind', NEW.kind, 'order', NEW.order_id, 'reference', NEW.reference,
        'amount', jsonb_build_object('minor', NEW.amount_minor, 'currency', NEW.currency)));
    RETURN NULL;
END
$$;
CREATE TRIGGER told_new AFTER INSERT ON ar_entry FOR EACH ROW EXECUTE FUNCTION tell_receivable();

CREATE FUNCTION tell_count() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM tell(NEW.tenant_id, 'count.' || NEW.state, 'counts/' || NEW.count_id, jsonb_build_object(
        'id', NEW.count_id, 'location', NEW.location_id, 'state', NEW.state, 'reason', NEW.reason));
    RETURN NULL;
END
$$;
CREATE TRIGGER told_new AFTER INSERT ON stock_count FOR EACH ROW EXECUTE FUNCTION tell_count();
CREATE TRIGGER told AFTER UPDATE OF state ON stock_count FOR EACH ROW
    WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION tell_count();

CREATE FUNCTION tell_return() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM tell(NEW.tenant_id, 'return.' || NEW.state, 'returns/' || NEW.return_id, jsonb_build_object(
        'id', NEW.return_id, 'order', NEW.order_id, 'org', NEW.org_id, 'state', NEW.state, 'reason', NEW.reason,
        'decision', NEW.decision));
    RETURN NULL;
END
$$;
CREATE TRIGGER told_new AFTER INSERT ON order_return FOR EACH ROW EXECUTE FUNCTION tell_return();
CREATE TRIGGER told AFTER UPDATE OF state ON order_return FOR EACH ROW
    WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION tell_return();
