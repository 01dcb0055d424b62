"""What sold by hour and day, and how much of the time it was there to be bought."""

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final

import psycopg
import pytest
from fastapi.testclient import TestClient

from tests.integration.api.world import World

NOON: Final = datetime(2026, 3, 2, 4, 0, tzinfo=UTC)
"""Noon in Shanghai, where the sites are."""
DAY: Final = {"from": "2026-03-01T16:00:00Z", "to": "2026-03-03T16:00:00Z"}


def tell(world: World, *events: tuple[timedelta, str, int, int], slot: str = "s01-b1", tenant: str = "acme") -> None:
    with psycopg.connect(world.dsn) as connection:
        for number, (after, kind, units, on_shelf) in enumerate(events):
            connection.execute(
                """INSERT INTO shelf_event (tenant_id, gateway_id, event_id, time, site_id, slot_id, sku, kind, units,
                                            delta_g, confidence, on_shelf, lane_seq)
                   VALUES (%s, 'gw-east-1', %s, %s, 'east-1', %s, 'tea', %s, %s, 0, 1, %s, %s)""",
                (tenant, f"{slot}-{number}-{after}", NOON + after, slot, kind, units, on_shelf, number),
            )


def hours(count: float) -> timedelta:
    return timedelta(hours=count)


@pytest.fixture
def sold(world: World) -> World:
    """Two days: sales in three hours, one of them put back, one refill."""
    tell(
        world,
        (hours(0), "sale", -2, 10),
        (hours(0.1), "put_back", 1, 11),
        (hours(1), "sale", -3, 8),
        (hours(2), "restock", 12, 20),
        (hours(2.5), "unknown", 0, 20),
        (hours(13), "sale", -1, 19),
    )
    tell(world, (hours(0), "sale", -9, 0), tenant="bravo")
    return world


@pytest.mark.usefixtures("sold")
def test_days_are_those_of_the_sites_clock(ops: TestClient) -> None:
    items = ops.get("/v1/sell-through", params={**DAY, "by": "day"}).json()["items"]
    assert items == [
        {"start": "2026-03-01T16:00:00Z", "site": "east-1", "sku": "tea", "sold": 5, "put_back": 1, "net": 4,
         "restocked": 12},
        {"start": "2026-03-02T16:00:00Z", "site": "east-1", "sku": "tea", "sold": 1, "put_back": 0, "net": 1,
         "restocked": 0},
    ]  # fmt: skip


@pytest.mark.usefixtures("sold")
def test_hours_are_paged_without_loss(ops: TestClient) -> None:
    seen: list[tuple[str, int, int]] = []
    cursor: str | None = None
    while True:
        params: dict[str, Any] = {**DAY, "by": "hour", "limit": 1, **({"cursor": cursor} if cursor else {})}
        page = ops.get("/v1/sell-through", params=params).json()
        seen += [(item["start"], item["net"], item["restocked"]) for item in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert seen == [
        ("2026-03-02T04:00:00Z", 1, 0),
        ("2026-03-02T05:00:00Z", 3, 0),
        ("2026-03-02T06:00:00Z", 0, 12),
        ("2026-03-02T17:00:00Z", 1, 0),
    ]


PLAIN_SUM: Final = """
    SELECT date_trunc(%(by)s, e.time, s.timezone), e.site_id, e.sku,
           coalesce(-sum(e.units) FILTER (WHERE e.kind = 'sale'), 0)::int,
           coalesce(sum(e.units) FILTER (WHERE e.kind = 'put_back'), 0)::int,
           coalesce(sum(e.units) FILTER (WHERE e.kind IN ('restock', 'remove')), 0)::int
    FROM shelf_event e JOIN site s USING (tenant_id, site_id)
    WHERE e.tenant_id = 'acme' AND e.time >= %(from)s AND e.time < %(to)s
      AND e.kind IN ('sale', 'put_back', 'restock', 'remove')
    GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""
CHANCE: Final = Random(7)
BEGIN: Final = datetime(2026, 3, 27, tzinfo=UTC)


@pytest.fixture
def sold_at_random(world: World) -> World:
    """Six days of events at two sites on different clocks; one of them changes its own in the midst (29 March)."""
    with psycopg.connect(world.dsn) as connection:
        connection.execute("UPDATE site SET timezone = 'Europe/Berlin' WHERE (tenant_id, site_id) = ('acme', 'east-1')")
        connection.execute("UPDATE site SET timezone = 'Asia/Kolkata' WHERE (tenant_id, site_id) = ('acme', 'west-1')")
        with connection.cursor() as cursor:
            cursor.executemany(
                """INSERT INTO shelf_event (tenant_id, gateway_id, event_id, time, site_id, slot_id, sku, kind, units,
                                            delta_g, confidence, synced, lane_seq)
                   VALUES ('acme', %s, %s, %s, %s, 's01-b1', %s, %s, %s, 0, 1, %s, %s) ON CONFLICT DO NOTHING""",
                [
                    (
                        f"gw-{number % 3}", f"e{number % 550}", BEGIN + timedelta(minutes=CHANCE.uniform(0, 6 * 1_440)),
                        CHANCE.choice(("east-1", "west-1")), CHANCE.choice(("tea", "rice")),
                        CHANCE.choice(("sale", "sale", "put_back", "restock", "remove", "adjust")),
                        CHANCE.randint(1, 9), CHANCE.random() < 0.9, number,
                    )
                    for number in range(600)
                ],
            )  # fmt: skip
    return world


def summed(ops: TestClient, world: World, by: str, begin: datetime, end: datetime) -> tuple[list[Any], list[Any]]:
    """What the API says, page by page, and what a plain sum over the events says."""
    asked = {"by": by, "from": begin.isoformat(), "to": end.isoformat(), "limit": 7}
    said: list[Any] = []
    cursor: str | None = None
    while True:
        page = ops.get("/v1/sell-through", params=asked | ({"cursor": cursor} if cursor else {})).json()
        said += [
            (
                datetime.fromisoformat(item["start"]),
                *(item[name] for name in ("site", "sku", "sold", "put_back", "restocked")),
            )
            for item in page["items"]
        ]
        if (cursor := page["next"]) is None:
            break
    with psycopg.connect(world.dsn) as connection:
        rows = connection.execute(PLAIN_SUM, {"by": by, "from": begin, "to": end}).fetchall()
    return said, [row for row in rows if any(row[3:])]


def test_any_range_sums_to_what_its_events_say(ops: TestClient, sold_at_random: World) -> None:
    for by in ("hour", "day"):
        for _ in range(12):
            begin = BEGIN + timedelta(minutes=CHANCE.uniform(-300, 5 * 1_440))
            end = begin + timedelta(minutes=CHANCE.choice((1, 40, 90, 1_300, 4_000)) * CHANCE.uniform(0.5, 1.5))
            said, true = summed(ops, sold_at_random, by, begin, end)
            assert said == true, (by, begin, end)


def test_a_time_repaired_later_and_another_clock_of_a_site_move_what_sold(
    ops: TestClient, sold_at_random: World
) -> None:
    with psycopg.connect(sold_at_random.dsn) as connection:
        connection.execute("UPDATE shelf_event SET time = time + interval '7 hours', synced = true WHERE NOT synced")
    whole = (BEGIN - timedelta(days=2), BEGIN + timedelta(days=9))
    for by in ("hour", "day"):
        said, true = summed(ops, sold_at_random, by, *whole)
        assert said == true
    with psycopg.connect(sold_at_random.dsn) as connection:
        connection.execute("UPDATE site SET timezone = 'America/New_York' WHERE tenant_id = 'acme'")
    for by in ("hour", "day"):
        said, true = summed(ops, sold_at_random, by, *whole)
        assert said == true


def test_a_shelf_that_was_empty_for_a_quarter_of_the_day_was_available_for_the_rest(
    ops: TestClient, world: World
) -> None:
    tell(world, (hours(-24), "sale", -1, 5), (hours(6), "sale", -5, 0), (hours(12), "restock", 9, 9))
    answer = ops.get(
        "/v1/availability",
        params={"from": NOON.isoformat(), "to": (NOON + hours(24)).isoformat(), "site": "east-1"},
    ).json()
    assert answer["items"] == [
        {"site": "east-1", "sku": "tea", "since": "2026-03-02T04:00:00Z", "observed_s": 86_400.0, "empty_s": 21_600.0,
         "availability": 0.75}
    ]  # fmt: skip


def test_a_sku_on_two_slots_is_out_only_when_both_are(ops: TestClient, world: World) -> None:
    with psycopg.connect(world.dsn) as connection:
        connection.execute(
            """INSERT INTO slot (tenant_id, gateway_id, slot_id, site_id, channel, sku, unit_weight_g, capacity)
               VALUES ('acme', 'gw-east-1', 's01-b2', 'east-1', 's01-b2.weight_g', 'tea', 520, 24)"""
        )
    tell(world, (hours(0), "adjust", 2, 2), (hours(1), "sale", -2, 0), (hours(4), "restock", 3, 3))
    tell(world, (hours(0), "adjust", 1, 1), (hours(2), "sale", -1, 0), slot="s01-b2")
    params = {"from": NOON.isoformat(), "to": (NOON + hours(8)).isoformat(), "sku": "tea", "site": "east-1"}
    (item,) = ops.get("/v1/availability", params=params).json()["items"]
    assert (item["observed_s"], item["empty_s"], item["availability"]) == (8 * 3_600.0, 2 * 3_600.0, 0.75)


def test_what_no_shelf_has_counted_is_listed_without_a_figure(ops: TestClient) -> None:
    params = {"from": "2025-03-02T00:00:00Z", "to": "2025-03-03T00:00:00Z", "limit": 1}
    first = ops.get("/v1/availability", params=params).json()
    second = ops.get("/v1/availability", params={**params, "cursor": first["next"]}).json()
    assert [item["site"] for item in first["items"] + second["items"]] == ["east-1", "west-1"]
    assert [item["availability"] for item in first["items"]] == [None]
    assert second["next"] is None


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("/v1/sell-through", {"by": "hour", "from": "2026-01-01T00:00:00Z", "to": "2026-03-01T00:00:00Z"}),
        ("/v1/sell-through", {"by": "week"}),
        ("/v1/availability", {"from": "2026-01-01T00:00:00Z", "to": "2026-03-01T00:00:00Z"}),
        ("/v1/availability", {"from": "2026-03-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"}),
    ],
)
def test_ranges_are_bounded(path: str, params: dict[str, str], ops: TestClient) -> None:
    assert ops.get(path, params=params).status_code == 422
