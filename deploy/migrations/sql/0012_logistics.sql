-- Shipments, what carriers tell of them, and proofs of delivery. Owned by platform_api/logistics.

CREATE TABLE carrier (
    tenant_id   text NOT NULL REFERENCES tenant,
    carrier_id  text NOT NULL,
    kind        text NOT NULL CHECK (kind IN ('simulated', 'webhook')),
    name        text NOT NULL,
    -- Signs what the carrier sends (Standard Webhooks); shown once.
    secret      text NOT NULL DEFAULT '',
    PRIMARY KEY (tenant_id, carrier_id)
);
REVOKE SELECT ON carrier FROM shelfpulse_api;
GRANT SELECT (tenant_id, carrier_id, kind, name) ON carrier TO shelfpulse_api;

-- A carrier's webhook names tenant and carrier in its path and proves itself with the secret: nobody is logged in.
CREATE FUNCTION auth_carrier(p_tenant text, p_carrier text) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT c.secret FROM carrier c
    WHERE c.tenant_id = p_tenant AND c.carrier_id = p_carrier AND c.kind = 'webhook' AND c.secret <> ''
$$;
REVOKE ALL ON FUNCTION auth_carrier(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION auth_carrier(text, text) TO shelfpulse_api;

CREATE TABLE shipment (
    tenant_id      text NOT NULL,
    shipment_id    uuid NOT NULL,
    order_id       uuid NOT NULL,
    org_id         text NOT NULL,
    ship_from      text NOT NULL,
    ship_to        text NOT NULL,
    carrier_id     text NOT NULL,
    tracking_no    text NOT NULL,
    state          text NOT NULL DEFAULT 'dispatched' CHECK (state IN
                       ('dispatched', 'in_transit', 'out_for_delivery', 'delivered', 'exception')),
    shelf_verdict  text NOT NULL DEFAULT 'waiting' CHECK (shelf_verdict IN ('waiting', 'confirmed', 'disputed', 'unknown')),
    shelf_seen     jsonb NOT NULL DEFAULT '{}',
    dispatched_at  timestamptz NOT NULL DEFAULT now(),
    eta            timestamptz,
    delivered_at   timestamptz,
    version        integer NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, shipment_id),
    UNIQUE (tenant_id, carrier_id, tracking_no),
    FOREIGN KEY (tenant_id, order_id) REFERENCES sales_order,
    FOREIGN KEY (tenant_id, carrier_id) REFERENCES carrier
);
CREATE INDEX shipment_order ON shipment (tenant_id, order_id);
CREATE INDEX shipment_waiting ON shipment (tenant_id, dispatched_at) WHERE shelf_verdict = 'waiting';

CREATE TABLE shipment_line (
    tenant_id    text NOT NULL,
    shipment_id  uuid NOT NULL,
    line_no      integer NOT NULL,
    sku          text NOT NULL,
    units        integer NOT NULL CHECK (units > 0),
    accepted     integer CHECK (accepted BETWEEN 0 AND units),
    PRIMARY KEY (tenant_id, shipment_id, line_no),
    FOREIGN KEY (tenant_id, shipment_id) REFERENCES shipment
);

-- What a carrier told, once each, however often and in whatever order it comes.
CREATE TABLE tracking_event (
    tenant_id    text NOT NULL,
    shipment_id  uuid NOT NULL,
    event_id     text NOT NULL,
    state        text NOT NULL,
    place        text NOT NULL DEFAULT '',
    note         text NOT NULL DEFAULT '',
    at           timestamptz NOT NULL,
    received_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, shipment_id, event_id),
    FOREIGN KEY (tenant_id, shipment_id) REFERENCES shipment
);

CREATE TABLE proof_of_delivery (
    tenant_id      text NOT NULL,
    shipment_id    uuid NOT NULL,
    signer         text NOT NULL,
    at             timestamptz NOT NULL,
    lat            double precision,
    lon            double precision,
    signature      bytea,
    photo          bytea,
    note           text NOT NULL DEFAULT '',
    user_id        uuid,
    PRIMARY KEY (tenant_id, shipment_id),
    FOREIGN KEY (tenant_id, shipment_id) REFERENCES shipment
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON proof_of_delivery FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON tracking_event FOR EACH ROW EXECUTE FUNCTION refuse_change();
