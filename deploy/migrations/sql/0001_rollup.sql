-- What a rollup holds, in one text for every level and storage tier: the body of a continuous aggregate, which reads
-- everything, or of a function that refreshes a range of a table.
-- first and last are the values at the earliest and latest time; of readings at one instant the smallest is first and
-- the largest is last, so that every tier and every refresh says the same. Arrays compare element by element; this is
-- half the cost of array_agg(… ORDER BY time), and unlike first()/last() it exists without TimescaleDB.
SELECT {bucket} AS bucket,
       series_id,
       {count} AS n,
       sum({sum}) AS sum,
       min({min}) AS min,
       max({max}) AS max,
       (min(ARRAY[date_part('epoch', {time} - timestamptz '2000-01-03 00:00+00'), {first}]))[2] AS first,
       (max(ARRAY[date_part('epoch', {time} - timestamptz '2000-01-03 00:00+00'), {last}]))[2] AS last
FROM {source}
WHERE {where}
GROUP BY 1, 2
