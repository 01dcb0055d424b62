"""A night on a real database: forecasts with a version, accuracy, and policies that nobody has taken over."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
import pytest

from stream.control import read_promotions
from stream.nightly import Done, forecast_demand
from tests.integration.api import world as worlds

NOW = datetime(2026, 3, 2, 19, 40, tzinfo=UTC)
TODAY = date(2026, 3, 3)
"""At the sites, whose clock is Shanghai's."""
NOON = datetime(2026, 3, 3, 4, tzinfo=UTC)


@pytest.fixture
def connection(database: str) -> Iterator[psycopg.Connection[Any]]:
    worlds.seed(database)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("DELETE FROM shelf_event")
        connection.execute("DELETE FROM pos_sale")
        connection.execute("DELETE FROM demand_forecast")
        connection.execute("DELETE FROM forecast_accuracy")
        yield connection


def sell(connection: psycopg.Connection[Any], days: int, units: int = 5) -> None:
    """Units sold at acme's east-1 on each of the days before TODAY, by a till, at noon of the site."""
    for day in range(1, days + 1):
        connection.execute(
            """INSERT INTO pos_sale (tenant, site, sku, units, sold_at, receipt, line)
               VALUES ('acme', 'east-1', 'tea', %s, %s, %s, 1)""",
            (units, NOON - timedelta(days=day), f"day-{day}"),
        )


def policy(connection: psycopg.Connection[Any], tenant: str = "acme") -> Any:
    return connection.execute(
        "SELECT reorder_point, target FROM stock_policy WHERE tenant_id = %s AND site_id = 'east-1'", (tenant,)
    ).fetchone()


def test_a_night_stores_forecasts_scores_and_the_policy_of_what_sold(connection: psycopg.Connection[Any]) -> None:
    sell(connection, 40)
    before = policy(connection, "bravo")
    assert forecast_demand(connection, NOW) == Done(series=1, policies=1)
    rows = connection.execute(
        "SELECT site_id, version, min(day), count(*), avg(mean) FROM demand_forecast GROUP BY site_id, version"
    )
    ((site, version, first, count, mean),) = rows.fetchall()
    assert (site, version, first, count) == ("east-1", NOW.date(), TODAY, 14)
    assert mean == pytest.approx(5, rel=0.2)
    chosen = connection.execute("SELECT method, days, bias FROM forecast_accuracy WHERE chosen").fetchall()
    assert len(chosen) == 1
    assert chosen[0][1] == 28
    assert abs(chosen[0][2]) < 1
    reorder_point, target = policy(connection)
    assert 10 <= reorder_point < target <= 24
    assert policy(connection, "bravo") == before


def test_a_night_that_is_repeated_replaces_its_own_results(connection: psycopg.Connection[Any]) -> None:
    sell(connection, 40)
    forecast_demand(connection, NOW)
    assert forecast_demand(connection, NOW + timedelta(hours=1)) == Done(series=1, policies=0)
    assert connection.execute("SELECT count(*) FROM demand_forecast").fetchone() == (14,)


def test_a_policy_in_somebodys_own_hands_and_a_short_history_are_left_alone(
    connection: psycopg.Connection[Any],
) -> None:
    sell(connection, 20)
    assert forecast_demand(connection, NOW) == Done(series=1, policies=0)
    sell_more = "UPDATE pos_sale SET sold_at = sold_at - interval '1 year' WHERE receipt = 'day-20'"
    connection.execute(sell_more)
    connection.execute("UPDATE stock_policy SET tuned_nightly = false")
    assert forecast_demand(connection, NOW) == Done(series=1, policies=0)
    assert policy(connection) == (8, 24)


def test_a_day_counts_once_it_is_over_by_the_clock_of_the_site(connection: psycopg.Connection[Any]) -> None:
    sell(connection, 40)
    connection.execute("UPDATE site SET timezone = 'America/Los_Angeles' WHERE site_id = 'west-1'")
    connection.execute("""INSERT INTO pos_sale (tenant, site, sku, units, sold_at, receipt, line)
                          SELECT tenant, 'west-1', sku, units, sold_at, receipt, line FROM pos_sale""")
    # This morning's, which say nothing of the whole day yet.
    connection.execute(
        """INSERT INTO pos_sale (tenant, site, sku, units, sold_at, receipt, line)
           VALUES ('acme', 'west-1', 'tea', 1000, %s, 'this morning', 1)""",
        (NOW - timedelta(hours=1),),
    )
    assert forecast_demand(connection, NOW).series == 2
    rows = connection.execute("SELECT site_id, min(day), max(mean) FROM demand_forecast GROUP BY site_id ORDER BY 1")
    east, west = rows.fetchall()
    assert east[:2] == ("east-1", TODAY)
    assert west[:2] == ("west-1", TODAY - timedelta(days=1))
    assert max(east[2], west[2]) < 10


def test_a_night_without_sales_does_nothing(connection: psycopg.Connection[Any]) -> None:
    assert forecast_demand(connection, NOW) == Done()


def test_shelves_are_read_where_no_till_tells_and_empty_days_do_not_lower_the_forecast(
    connection: psycopg.Connection[Any],
) -> None:
    for day in range(40, 0, -1):
        empty = day <= 10
        at = NOON - timedelta(days=day)
        for event, units, left in ((f"r{day}", 6, 6), (f"s{day}", -6, 0)) if not empty else ():
            worlds.add_event(connection, "acme", "east-1", event, units, left, at=at + timedelta(seconds=units < 0))
    # The last sale emptied the shelf for good: the ten days since say nothing about demand.
    assert forecast_demand(connection, NOW).series == 1
    row = connection.execute("SELECT avg(mean) FROM demand_forecast").fetchone()
    assert row is not None
    assert row[0] > 4


def test_the_plan_of_promotions_raises_the_forecast_of_its_days_alone(connection: psycopg.Connection[Any]) -> None:
    sell(connection, 70)
    connection.execute("DELETE FROM promotion_plan")
    # Every second week three times as much was sold; the next such week is planned.
    for weeks in (1, 3, 5, 7):
        first = TODAY - timedelta(days=7 * weeks)
        connection.execute(
            "UPDATE pos_sale SET units = 15 WHERE sold_at >= %s AND sold_at < %s", (first, first + timedelta(days=7))
        )
        connection.execute(
            "INSERT INTO promotion_plan VALUES ('acme', 'east-1', 'tea', %s, %s, 0.25)",
            (first, first + timedelta(days=6)),
        )
    ahead = TODAY + timedelta(days=7)
    connection.execute(
        "INSERT INTO promotion_plan VALUES ('acme', 'east-1', 'tea', %s, %s, 0.25)", (ahead, ahead + timedelta(days=6))
    )
    forecast_demand(connection, NOW)
    means = [mean for (mean,) in connection.execute("SELECT mean FROM demand_forecast ORDER BY day").fetchall()]
    assert len(means) == 14
    assert min(means[8:]) > 1.8 * max(means[2:7])


def test_the_stream_knows_promotions_by_the_clock_of_their_site(connection: psycopg.Connection[Any]) -> None:
    today = datetime.now(UTC).date()
    connection.execute("DELETE FROM promotion_plan")
    connection.execute("UPDATE site SET timezone = 'Asia/Shanghai'")
    connection.execute("INSERT INTO promotion_plan VALUES ('acme', 'east-1', 'tea', %s, %s, 1)", (today, today))
    connection.execute("INSERT INTO promotion_plan VALUES ('acme', 'east-1', 'sku-acme', %s, %s, 0)", (today, today))
    ((place, (planned,)),) = read_promotions(connection).items()
    midnight = datetime.combine(today, datetime.min.time(), UTC)
    assert place == ("acme", "east-1")
    assert (planned.sku, planned.start, planned.end) == (
        "tea",
        midnight - timedelta(hours=8),
        midnight + timedelta(hours=16),
    )
