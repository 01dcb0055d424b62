-- Telemetry. {reading_suffix} is the storage tier's: PARTITION BY RANGE (time), or WITH (tsdb.hypertable, …).
-- No unique index: frames are deduplicated by sequence, readings never are.

CREATE TABLE reading (
    time       timestamptz NOT NULL,
    series_id  integer NOT NULL,
    value      double precision NOT NULL,
    quality    smallint NOT NULL
) {reading_suffix};
CREATE INDEX reading_series ON reading (series_id, time DESC);
-- Refreshing a minute of every series must not read the whole day. A block range index costs next to nothing on insert.
CREATE INDEX reading_time ON reading USING brin (time) WITH (pages_per_range = 32, autosummarize = on);

-- One row: the tier that the schema was made for, and the first day whose readings are still all here (NULL: nothing was
-- ever dropped). Before that day rollups are the only record: refresh leaves them alone, and verify does not count readings.
CREATE TABLE storage_state (
    one       boolean PRIMARY KEY DEFAULT true CHECK (one),
    tier      text NOT NULL CHECK (tier IN ('tsl', 'apache', 'plain')),
    raw_from  timestamptz
);
INSERT INTO storage_state (tier) VALUES ('{tier}');

-- time_bucket in every tier, under one name, for queries that must run on all of them.
CREATE SCHEMA compat;
CREATE FUNCTION compat.time_bucket(width interval, at timestamptz) RETURNS timestamptz
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN {time_bucket};
