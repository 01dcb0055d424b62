-- What is going to be promoted where, by days of the site's clock. Written by platform_api/imports; read by the night's
-- forecasts and by the stream, to which demand that was planned is no anomaly.
CREATE TABLE promotion_plan (
    tenant_id  text NOT NULL,
    site_id    text NOT NULL,
    sku        text NOT NULL,
    first_day  date NOT NULL,
    last_day   date NOT NULL,
    -- How much is promoted, on any scale that all plans of the tenant share (a share off the price, or 1); 0: taken back.
    depth      double precision NOT NULL DEFAULT 1 CHECK (depth >= 0 AND depth < 'infinity'),
    PRIMARY KEY (tenant_id, site_id, sku, first_day),
    FOREIGN KEY (tenant_id, site_id) REFERENCES site (tenant_id, site_id),
    FOREIGN KEY (tenant_id, sku) REFERENCES sku (tenant_id, sku),
    CHECK (first_day <= last_day)
);
CREATE INDEX promotion_plan_until ON promotion_plan (last_day);
CREATE TRIGGER control_promotion_plan AFTER INSERT OR UPDATE OR DELETE ON promotion_plan
    FOR EACH STATEMENT EXECUTE FUNCTION notify_control();
