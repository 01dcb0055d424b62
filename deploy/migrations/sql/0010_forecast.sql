-- ---------------------------------------------------------------- demand: written by stream/nightly.py

-- Forecasts of the nights, by the day that they were made on (version). Units of the SKU a day of the site's clock.
CREATE TABLE demand_forecast (
    tenant_id  text NOT NULL,
    site_id    text NOT NULL,
    sku        text NOT NULL,
    version    date NOT NULL,
    day        date NOT NULL,
    method     text NOT NULL,
    mean       double precision NOT NULL,
    q50        double precision NOT NULL,
    q80        double precision NOT NULL,
    q95        double precision NOT NULL,
    PRIMARY KEY (tenant_id, version, site_id, sku, day)
);
CREATE INDEX demand_forecast_place ON demand_forecast (tenant_id, site_id, sku, version DESC);

-- How good each method was over the newest days, one day ahead; NULL where a figure is not defined.
CREATE TABLE forecast_accuracy (
    tenant_id  text NOT NULL,
    site_id    text NOT NULL,
    sku        text NOT NULL,
    version    date NOT NULL,
    method     text NOT NULL,
    chosen     boolean NOT NULL,
    days       integer NOT NULL,
    rmsse      double precision,
    bias       double precision,
    pinball    double precision,
    PRIMARY KEY (tenant_id, version, site_id, sku, method)
);

-- The first values come from slots.csv; then the night tunes them, until somebody takes a policy into the own hands.
ALTER TABLE stock_policy ADD COLUMN tuned_nightly boolean NOT NULL DEFAULT true;
