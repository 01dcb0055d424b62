-- A rollup as a continuous aggregate. Our own worker refreshes it; above its watermark it reads the rows below it.
CREATE MATERIALIZED VIEW {name} WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
{select}
WITH NO DATA;
