"""A tenant with a long past, generated in place: sites, shelves, readings, events and rollups for ``bench query``."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from psycopg import sql

from stream import storage
from stream.storage import Connection, Tier

TENANT: Final = "bench"
SITES: Final = 20
SERIES_A_SITE: Final = 25
SKUS: Final = 60
INTERVAL: Final = timedelta(seconds=2)
SLICE: Final = timedelta(minutes=30)
WRITERS: Final = 2
EVENTS_A_SLOT_AND_DAY: Final = 150

PLACES: Final = """
    INSERT INTO tenant (tenant_id, name) VALUES ('bench', 'Bench');
    INSERT INTO sku (tenant_id, sku, name_en, unit_weight_g)
        SELECT 'bench', format('sku-%%s', k), format('Article %%s', k), 200 + 10 * k FROM generate_series(1, {skus}) k;
    INSERT INTO site (tenant_id, site_id, name)
        SELECT 'bench', format('site-%%s', s), format('Site %%s', s) FROM generate_series(1, {sites}) s;
    INSERT INTO gateway (tenant_id, gateway_id, site_id)
        SELECT 'bench', format('gw-%%s', s), format('site-%%s', s) FROM generate_series(1, {sites}) s;
    INSERT INTO series (tenant_id, gateway_id, channel, interval_s)
        SELECT 'bench', format('gw-%%s', s), format('s01-b%%s.weight_g', b), {interval_s}
        FROM generate_series(1, {sites}) s, generate_series(1, {bays}) b;
    INSERT INTO slot (tenant_id, gateway_id, slot_id, site_id, channel, sku, unit_weight_g, capacity)
        SELECT 'bench', format('gw-%%s', s), format('s01-b%%s', b), format('site-%%s', s),
               format('s01-b%%s.weight_g', b), format('sku-%%s', 1 + (7 * s + b) %% {skus}), 330, 40
        FROM generate_series(1, {sites}) s, generate_series(1, {bays}) b;
    INSERT INTO stock_policy (tenant_id, site_id, sku, reorder_point, target)
        SELECT DISTINCT tenant_id, site_id, sku, 8, 40 FROM slot;
    INSERT INTO shelf_position (tenant_id, gateway_id, slot_id, site_id, sku, on_shelf, as_of)
        SELECT tenant_id, gateway_id, slot_id, site_id, sku, 20, {end} FROM slot;
"""
# In order of time, as a stream writes them: neighbours on a page are neighbours in time, not of one series.
READINGS: Final = """
    INSERT INTO reading (time, series_id, value, quality)
    SELECT t, s, 4000 + ((n * 7919 + s * 104729) %% 1000) * 0.1, 0
    FROM generate_series(%(lo)s::timestamptz, %(hi)s::timestamptz - {step}, {step}) WITH ORDINALITY AS at (t, n),
         unnest(%(series)s::integer[]) AS s
"""
LATEST: Final = """
    INSERT INTO latest_value (series_id, time, value, quality)
    SELECT series_id, {end} - {step}, 4000, 0 FROM series
"""
EVENTS: Final = """
    INSERT INTO shelf_event (tenant_id, gateway_id, event_id, time, site_id, slot_id, sku, kind, units, delta_g,
                             confidence, on_shelf, lane_seq, received_at)
    SELECT tenant_id, gateway_id, format('%%s-%%s', slot_id, n), at, site_id, slot_id, sku,
           CASE WHEN n %% 20 = 0 THEN 'restock' WHEN n %% 13 = 0 THEN 'put_back' ELSE 'sale' END,
           CASE WHEN n %% 20 = 0 THEN 20 WHEN n %% 13 = 0 THEN 1 ELSE -1 END, 330, 0.98, greatest(0, 20 - n %% 21), n,
           at
    FROM slot, LATERAL (
        SELECT n, {end} - n * interval '1 day' / {events} AS at FROM generate_series(1, {count}) AS n
    ) AS happened
"""
SERIES: Final = "SELECT series_id FROM series ORDER BY series_id"
CHUNKS: Final = "SELECT show_chunks('reading')::text"


class History(NamedTuple):
    """What was generated: the half-open range of its readings, its series, and the seconds that it took."""

    begin: datetime
    end: datetime
    series: list[int]
    rows: int
    seconds: dict[str, float]


def generate(dsn: str, rows: int, say: Callable[[str], None], clock_s: Callable[[], float]) -> History:
    """Fill the migrated, empty database at ``dsn`` with about ``rows`` readings that end now."""
    with storage.connect(dsn, application="shelfpulse bench") as connection:
        tier = storage.probe_tier(connection)
        end = datetime.now(UTC).replace(second=0, microsecond=0)
        begin = end - max(SLICE, rows / (SITES * SERIES_A_SITE) * INTERVAL)
        begin -= (begin - end) % SLICE
        seconds: dict[str, float] = {}
        _run(connection, PLACES, end)
        series = [row[0] for row in connection.execute(SERIES.encode()).fetchall()]
        storage.ensure_partitions(connection, tier, begin, end)
        slices = [begin + k * SLICE for k in range((end - begin) // SLICE)]
        written = int(SLICE / INTERVAL) * len(series) * len(slices)
        started_s = clock_s()
        days = (end - begin) / timedelta(days=1)
        say(f"generating {written:,} readings of {len(series)} series over {days:.1f} days")
        _write_readings(dsn, series, slices)
        seconds["readings"] = round(clock_s() - started_s, 1)
        _run(connection, LATEST, end)
        _run(connection, EVENTS, end, count=max(1, round(EVENTS_A_SLOT_AND_DAY * days)))
        started_s = clock_s()
        say("refreshing the rollups")
        for lo in slices[:: int(timedelta(hours=6) / SLICE)]:
            storage.refresh(connection, tier, lo, min(lo + timedelta(hours=6), end))
        seconds["rollups"] = round(clock_s() - started_s, 1)
        started_s = clock_s()
        if tier is Tier.TSL:
            say("moving all chunks but the newest to the columnstore")
            for (chunk,) in connection.execute(CHUNKS.encode()).fetchall()[:-1]:
                connection.execute(sql.SQL("CALL convert_to_columnstore({})").format(sql.Literal(chunk)))
        connection.execute(b"VACUUM ANALYZE")
        seconds["settling"] = round(clock_s() - started_s, 1)
    return History(begin, end, series, written, seconds)


def _write_readings(dsn: str, series: list[int], slices: list[datetime]) -> None:
    local = threading.local()

    def write(lo: datetime) -> None:
        if not hasattr(local, "connection"):
            local.connection = storage.connect(dsn, application="shelfpulse bench")
            connections.append(local.connection)
        _run(local.connection, READINGS, lo + SLICE, lo=lo, hi=lo + SLICE, series=series)

    connections: list[Connection] = []
    with ThreadPoolExecutor(WRITERS) as pool:
        for done in [pool.submit(write, lo) for lo in slices]:
            done.result()
    for connection in connections:
        connection.close()


def _run(connection: Connection, text: str, end: datetime, **parameters: object) -> None:
    literals = {
        "skus": SKUS,
        "sites": SITES,
        "bays": SERIES_A_SITE,
        "interval_s": INTERVAL.total_seconds(),
        "step": INTERVAL,
        "end": end,
        "events": EVENTS_A_SLOT_AND_DAY,
        "count": parameters.pop("count", 0),
    }
    query = sql.SQL(text).format(**{name: sql.Literal(value) for name, value in literals.items()})
    if parameters:
        connection.execute(query, parameters)
    else:
        connection.execute(query.as_string(connection).replace("%%", "%").encode())
