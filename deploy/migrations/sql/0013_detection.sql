-- ---------------------------------------------------------------- detection: owned by the stream and platform_api/imports

-- What is known of a channel beside its readings. limit_c: a temperature above it for longer than limit_s breaks the
-- cold chain. class: devices that ought to behave alike.
CREATE TABLE channel_setting (
    tenant_id    text NOT NULL,
    gateway_id   text NOT NULL,
    channel      text NOT NULL,
    class        text NOT NULL DEFAULT '',
    interval_s   double precision NOT NULL DEFAULT 0 CHECK (interval_s >= 0),
    limit_c      double precision,
    limit_s      double precision NOT NULL DEFAULT 0 CHECK (limit_s >= 0),
    PRIMARY KEY (tenant_id, gateway_id, channel),
    FOREIGN KEY (tenant_id, gateway_id) REFERENCES gateway (tenant_id, gateway_id)
);
CREATE TRIGGER control_channel_setting AFTER INSERT OR UPDATE OR DELETE ON channel_setting
    FOR EACH STATEMENT EXECUTE FUNCTION notify_control();
GRANT SELECT, INSERT, UPDATE, DELETE ON channel_setting TO shelfpulse_api;

-- A label that a person gives tunes the threshold of its place; the stream reads labels as control data.
CREATE TRIGGER control_anomaly_label AFTER UPDATE OF label ON anomaly
    FOR EACH STATEMENT EXECUTE FUNCTION notify_control();
CREATE INDEX anomaly_label ON anomaly (tenant_id, kind, place) WHERE label IS NOT NULL;

-- What the slow detectors learnt, saved now and then in an epoch's transaction. May be lost: then they warm up.
CREATE TABLE detector_state (
    state_key    text PRIMARY KEY,
    state        bytea NOT NULL,
    saved_at     timestamptz NOT NULL DEFAULT now()
);
REVOKE ALL ON detector_state FROM shelfpulse_api;

-- How far each process has read pos_sale; moves in the transaction that commits what came of it.
CREATE TABLE sales_offset (
    span         text PRIMARY KEY,
    last_id      bigint NOT NULL
);
REVOKE ALL ON sales_offset FROM shelfpulse_api;
