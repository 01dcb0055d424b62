-- Telemetry. {reading_suffix} is the storage tier's: PARTITION BY RANGE (time), or WITH (tsdb.hypertable, …).
-- No unique index: frames are deduplicated by sequence, readings never are.

CREATE TABLE reading (
    time       timestamptz NOT NULL,
    series_id  integer NOT NULL,
    value      double precision NOT NULL,
    quality    smallint NOT NULL
) {reading_suffix};
CREATE INDEX reading_series ON reading (series_id, time DESC);
