"""The night's work on demand, around the pure ``stream.demand``: read sales, store forecasts, refresh policies.

A plain function on a connection in autocommit mode; a night that is repeated replaces its own results.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from stream.demand.days import DailyDemand, Day, Key, daily_demand, day_at
from stream.demand.night import HORIZON_DAYS, POLICY_DAYS_MIN, Night, forecast_night, stock_policy
from stream.storage import Connection

Floats = npt.NDArray[np.float64]

HISTORY_DAYS: Final = 400
KEPT_VERSIONS_DAYS: Final = 90
NIGHT_LOCK: Final = 0x5348_454C_4634
"""Advisory lock: one process works on a night."""

TRY_LOCK: Final = "SELECT pg_try_advisory_lock(%(key)s)"
UNLOCK: Final = "SELECT pg_advisory_unlock(%(key)s)"

TILLS: Final = """
SELECT p.tenant, p.site, p.sku, (p.sold_at AT TIME ZONE s.timezone)::date AS day, sum(p.units)::int
FROM pos_sale p JOIN site s ON s.tenant_id = p.tenant AND s.site_id = p.site
WHERE p.sold_at >= %(since)s AND p.sold_at < %(now)s
GROUP BY 1, 2, 3, 4
"""
# What lay on all slots of a SKU after each event, as a staircase: the days on which it came to nothing are censored.
SHELVES: Final = """
WITH step AS (
    SELECT e.tenant_id, e.site_id, e.sku, e.gateway_id, e.slot_id, e.time, e.lane_seq, e.kind, e.units,
           e.on_shelf - lag(e.on_shelf, 1, 0) OVER slot AS change
    FROM shelf_event e
    WHERE e.time >= %(since)s AND e.time < %(now)s AND e.sku <> ''
    WINDOW slot AS (PARTITION BY e.tenant_id, e.gateway_id, e.slot_id ORDER BY e.time, e.lane_seq)
), stair AS (
    SELECT *, sum(coalesce(change, 0)) OVER (
        PARTITION BY tenant_id, site_id, sku ORDER BY time, gateway_id, slot_id, lane_seq
    ) AS total
    FROM step
)
SELECT t.tenant_id, t.site_id, t.sku, (t.time AT TIME ZONE s.timezone)::date AS day,
       coalesce(-sum(t.units) FILTER (WHERE t.kind IN ('sale', 'put_back')), 0)::int,
       bool_or(t.total <= 0),
       (array_agg(t.total ORDER BY t.time DESC, t.lane_seq DESC))[1] <= 0
FROM stair t JOIN site s USING (tenant_id, site_id)
GROUP BY 1, 2, 3, 4
"""
# The first day at each site that is not over by its clock.
TODAY: Final = "SELECT tenant_id, site_id, (%(now)s AT TIME ZONE timezone)::date FROM site"
# Of the days from since to until.
PROMOTIONS: Final = """
SELECT tenant_id, site_id, sku, first_day, last_day, depth FROM promotion_plan
WHERE last_day >= %(since)s AND first_day <= %(until)s AND depth > 0
"""
FORGET: Final = """
DELETE FROM demand_forecast WHERE version < %(before)s OR version = %(version)s
"""
ADD_FORECAST: Final = """
INSERT INTO demand_forecast (tenant_id, site_id, sku, version, day, method, mean, q50, q80, q95)
VALUES (%(tenant)s, %(site)s, %(sku)s, %(version)s, %(day)s, %(method)s, %(mean)s, %(q50)s, %(q80)s, %(q95)s)
"""
FORGET_SCORES: Final = "DELETE FROM forecast_accuracy WHERE version < %(before)s OR version = %(version)s"
ADD_SCORE: Final = """
INSERT INTO forecast_accuracy (tenant_id, site_id, sku, version, method, chosen, days, rmsse, bias, pinball)
VALUES (%(tenant)s, %(site)s, %(sku)s, %(version)s, %(method)s, %(chosen)s, %(days)s, %(rmsse)s, %(bias)s,
        %(pinball)s)
"""
ROOM: Final = """
SELECT t.tenant_id, t.site_id, t.sku, sum(t.capacity)::int, k.pack_units
FROM slot t JOIN sku k USING (tenant_id, sku)
GROUP BY 1, 2, 3, 5
"""
# Only policies that nobody has taken into the own hands. An equal row is left alone: each change wakes the stream.
REFRESH_POLICY: Final = """
UPDATE stock_policy SET reorder_point = %(reorder_point)s, target = %(target)s, updated_at = %(now)s
WHERE tenant_id = %(tenant)s AND site_id = %(site)s AND sku = %(sku)s AND tuned_nightly
  AND (reorder_point, target) IS DISTINCT FROM (%(reorder_point)s, %(target)s)
"""


@dataclass(frozen=True)
class Done:
    """What a night did."""

    series: int = 0
    policies: int = 0


def forecast_demand(connection: Connection, now: datetime) -> Done:
    """Forecast every (site, SKU) that sold, score the methods, and refresh the stock policies that may be.

    ``now`` (aware UTC) names the version, by its day. Nothing happens while another process works on a night.
    """
    if not _scalar(connection, TRY_LOCK):
        return Done()
    try:
        nights = [
            (demand, forecast_night(demand, _promotions(connection, demand))) for demand in _read(connection, now)
        ]
        if not nights:
            return Done()
        with connection.transaction():
            _forget(connection, now)
            for demand, night in nights:
                _store(connection, demand, night, now)
            policies = sum(_refresh_policies(connection, *each, now) for each in nights)
        return Done(sum(len(demand.keys) for demand, _ in nights), policies)
    finally:
        _scalar(connection, UNLOCK)


def _read(connection: Connection, now: datetime) -> list[DailyDemand]:
    """Demand of all sites, those together at which the same days are over."""
    bounds = {"since": now - timedelta(days=HISTORY_DAYS), "now": now}
    tills = [_day(row) for row in connection.execute(TILLS, bounds)]
    shelves = [_day(row) for row in connection.execute(SHELVES, bounds)]
    today = {(tenant, site): day for tenant, site, day in connection.execute(TODAY, {"now": now})}

    def until(day: date, days: list[Day]) -> list[Day]:
        return [each for each in days if today[each.key.tenant, each.key.site] == day]

    found = [daily_demand(until(day, shelves), until(day, tills), day) for day in sorted(set(today.values()))]
    return [each for each in found if each is not None]


def _promotions(connection: Connection, demand: DailyDemand) -> Floats:
    """Depth of what is promoted, of shape (series, days + HORIZON_DAYS); the deepest where plans overlap."""
    days = demand.units.shape[1] + HORIZON_DAYS
    promo = np.zeros((len(demand.keys), days))
    place = {key: index for index, key in enumerate(demand.keys)}
    bounds = {"since": demand.first_day, "until": day_at(demand.first_day, days - 1)}
    for *key, first, last, depth in connection.execute(PROMOTIONS, bounds):
        series = place.get(Key(*key))
        if series is not None:
            begin, end = ((day - demand.first_day).days for day in (first, last))
            planned = promo[series, max(begin, 0) : end + 1]
            np.maximum(planned, depth, out=planned)
    return promo


def _day(row: tuple[Any, ...]) -> Day:
    return Day(Key(*row[:3]), *row[3:])


def _forget(connection: Connection, now: datetime) -> None:
    """Results of long ago, and of an earlier run of this night."""
    version = now.date()
    old = {"before": version - timedelta(days=KEPT_VERSIONS_DAYS), "version": version}
    connection.execute(FORGET, old)
    connection.execute(FORGET_SCORES, old)


def _store(connection: Connection, demand: DailyDemand, night: Night, now: datetime) -> None:
    version = now.date()
    first = demand.units.shape[1]
    _many(
        connection,
        ADD_FORECAST,
        (
            _place(key)
            | {
                "version": version,
                "day": day_at(demand.first_day, first + ahead),
                "method": night.methods[series],
                **dict(zip(("mean", "q50", "q80", "q95"), map(float, values), strict=True)),
            }
            for series, key in enumerate(demand.keys)
            for ahead, values in enumerate(night.ahead[series])
        ),
    )
    _many(
        connection,
        ADD_SCORE,
        (
            _place(key) | {"version": version} | {name: _known(value) for name, value in score._asdict().items()}
            for key, scores in zip(demand.keys, night.scores, strict=True)
            for score in scores
        ),
    )


def _refresh_policies(connection: Connection, demand: DailyDemand, night: Night, now: datetime) -> int:
    room = {Key(*row[:3]): (row[3], row[4]) for row in connection.execute(ROOM)}
    changed = 0
    for series, key in enumerate(demand.keys):
        if key not in room or demand.known[series].sum() < POLICY_DAYS_MIN:
            continue
        policy = stock_policy(night.ahead[series], *room[key])
        if policy is not None:
            parameters = _place(key) | policy._asdict() | {"now": now}
            changed += connection.execute(REFRESH_POLICY, parameters).rowcount
    return changed


def _many(connection: Connection, query: str, rows: Iterable[dict[str, Any]]) -> None:
    with connection.cursor() as cursor:
        cursor.executemany(query.encode(), list(rows))


def _place(key: Key) -> dict[str, Any]:
    return {"tenant": key.tenant, "site": key.site, "sku": key.sku}


def _known(value: object) -> object:
    """NULL for what is not defined."""
    return None if isinstance(value, float) and math.isnan(value) else value


def _scalar(connection: Connection, query: str) -> object:
    row = connection.execute(query.encode(), {"key": NIGHT_LOCK}).fetchone()
    assert row is not None
    return row[0]
