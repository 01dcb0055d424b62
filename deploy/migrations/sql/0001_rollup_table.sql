-- A rollup where there are no continuous aggregates: a table, and the function that brings a range of it up to date.
-- Rows are rewritten only when they differ, and fillfactor leaves room to do so in place.
CREATE TABLE {name} (
    bucket     timestamptz NOT NULL,
    series_id  integer NOT NULL,
    n          bigint NOT NULL,
    sum        double precision NOT NULL,
    min        double precision NOT NULL,
    max        double precision NOT NULL,
    first      double precision NOT NULL,
    last       double precision NOT NULL,
    PRIMARY KEY (series_id, bucket)
) WITH (fillfactor = 80);
CREATE INDEX {name}_bucket ON {name} USING brin (bucket) WITH (pages_per_range = 32, autosummarize = on);

-- EXECUTE … USING plans with the range at hand, so that partitions outside of it are never opened.
CREATE FUNCTION refresh_{name}(lo timestamptz, hi timestamptz) RETURNS void LANGUAGE plpgsql AS $function$
BEGIN
    EXECUTE $statement$
        INSERT INTO {name} AS kept (bucket, series_id, n, sum, min, max, first, last)
        {select}
        ON CONFLICT (series_id, bucket) DO UPDATE
        SET n = excluded.n, sum = excluded.sum, min = excluded.min, max = excluded.max,
            first = excluded.first, last = excluded.last
        WHERE (kept.n, kept.sum, kept.min, kept.max, kept.first, kept.last)
            IS DISTINCT FROM (excluded.n, excluded.sum, excluded.min, excluded.max, excluded.first, excluded.last)
    $statement$ USING lo, hi;
END
$function$;
