from collections import Counter
from datetime import timedelta

import psycopg
import pytest
from fastapi.testclient import TestClient

from platform_api.kit.paging import encode_cursor
from tests.integration.api.conftest import token_of
from tests.integration.api.world import READINGS, UNIT_G, World, add_event

LISTS = (
    "sites", "gateways", "devices", "series", "shelf-positions", "events", "anomalies", "proposals", "pos-sales",
    "forecasts", "forecast-accuracy", "promotion-plan", "channel-settings",
)  # fmt: skip


@pytest.fixture
def world(shared_world: World) -> World:
    """These tests change nothing that another one looks at."""
    return shared_world


@pytest.mark.parametrize("name", LISTS)
def test_paging_one_by_one_gives_the_same_as_all_at_once(ops: TestClient, name: str) -> None:
    whole = ops.get(f"/v1/{name}").json()
    assert whole["next"] is None
    assert len(whole["items"]) >= 2
    paged, cursor = [], None
    while True:
        answer = ops.get(f"/v1/{name}", params={"limit": 1, **({"cursor": cursor} if cursor else {})})
        paged += answer.json()["items"]
        cursor = answer.json()["next"]
        if cursor is None:
            assert "Link" not in answer.headers
            break
        assert f"cursor={cursor}" in answer.headers["Link"]
        assert len(paged) <= len(whole["items"])
    assert paged == whole["items"]


@pytest.mark.parametrize("name", LISTS)
def test_a_dealer_sees_the_sites_below_the_own_organisation_only(anonymous: TestClient, name: str) -> None:
    answer = anonymous.get(f"/v1/{name}", headers=token_of(anonymous, "dealer@acme"))
    items = answer.json()["items"]
    assert items
    assert {item.get("site", item["id"] if name == "sites" else None) for item in items} == {"east-1"}


def test_a_series_has_its_unit_and_latest_value(ops: TestClient, world: World) -> None:
    (series,) = ops.get("/v1/series", params={"site": "east-1"}).json()["items"]
    assert series["id"] == world.acme.series
    assert series["unit"] == "g"
    assert series["latest"]["value"] == 12 * UNIT_G


def test_a_position_has_its_policy_and_series(ops: TestClient, world: World) -> None:
    (position,) = ops.get("/v1/shelf-positions", params={"site": "east-1"}).json()["items"]
    assert (position["on_shelf"], position["capacity"], position["reorder_point"], position["target"]) == (
        12,
        24,
        8,
        24,
    )
    assert position["series_id"] == world.acme.series


def test_events_are_filtered_by_place_kind_and_time(ops: TestClient, world: World) -> None:
    with psycopg.connect(world.dsn) as connection:
        add_event(connection, "acme", "east-1", "new", 12, 24, at=world.acme.end)
    restocks = ops.get("/v1/events", params={"kind": "restock"}).json()["items"]
    assert [event["id"] for event in restocks] == ["new"]
    since = (world.acme.end - timedelta(minutes=8, seconds=30)).isoformat()
    sales = ops.get("/v1/events", params={"site": "east-1", "kind": "sale", "from": since}).json()["items"]
    assert [event["id"] for event in sales] == ["east-1-2", "east-1-1"]


def test_an_anomaly_names_its_one_place(ops: TestClient) -> None:
    (anomaly,) = ops.get("/v1/anomalies", params={"site": "east-1", "state": "open"}).json()["items"]
    assert anomaly["slot"] == "gw-east-1/s01-b1"
    assert not {"series", "device", "gateway"} & anomaly.keys()
    assert {"id", "kind", "start", "end", "detected", "severity", "score", "state", "evidence"} <= anomaly.keys()


def test_readings_come_raw_for_a_short_range(ops: TestClient, world: World) -> None:
    end = world.acme.end
    answer = ops.get(
        "/v1/readings",
        params={
            "series_id": world.acme.series,
            "from": (end - timedelta(seconds=60)).isoformat(),
            "to": end.isoformat(),
        },
    ).json()
    assert (answer["resolution"], answer["step_s"], len(answer["items"])) == ("raw", None, 60)


def test_readings_are_thinned_to_about_as_many_points_as_asked_for(ops: TestClient, world: World) -> None:
    end = world.acme.end
    answer = ops.get(
        "/v1/readings",
        params={
            "series_id": world.acme.series,
            "from": (end - timedelta(seconds=READINGS)).isoformat(),
            "to": end.isoformat(),
            "max_points": 60,
        },
    ).json()
    assert (answer["resolution"], answer["step_s"], len(answer["items"])) == ("raw", 10.0, 60)
    assert sum(point["n"] for point in answer["items"]) == READINGS
    assert all(point["min"] <= point["value"] <= point["max"] for point in answer["items"])


def test_rollups_answer_for_a_long_range(ops: TestClient, world: World) -> None:
    with psycopg.connect(world.dsn) as connection:
        connection.execute(
            """INSERT INTO reading_1m (bucket, series_id, n, sum, min, max, first, last)
               SELECT date_bin('1 minute', time, '2000-01-03Z'), series_id, count(*), sum(value), min(value),
                      max(value), min(value), max(value)
               FROM reading WHERE series_id = %s AND quality <> 2 GROUP BY 1, 2""",
            (world.acme.series,),
        )
    answer = ops.get(
        "/v1/readings",
        params={
            "series_id": world.acme.series,
            "from": (world.acme.end - timedelta(hours=12)).isoformat(),
            "to": world.acme.end.isoformat(),
        },
    ).json()
    assert answer["resolution"] == "1m"
    assert sum(point["n"] for point in answer["items"]) == READINGS


def test_raw_readings_are_paged_without_loss_also_of_equal_ones(ops: TestClient, world: World) -> None:
    begin = world.acme.end - timedelta(seconds=READINGS)
    with psycopg.connect(world.dsn) as connection:
        series = connection.execute(
            """INSERT INTO series (tenant_id, gateway_id, channel) VALUES ('acme', 'gw-west-1', 's99.weight_g')
               RETURNING series_id"""
        ).fetchone()
        assert series is not None
        # Each three times, and one of them on more than a page.
        connection.execute(
            """INSERT INTO reading SELECT time, %s, value, quality FROM reading, generate_series(1, 3)
               WHERE series_id = %s AND quality = 0""",
            (series[0], world.acme.series),
        )
        connection.execute(
            "INSERT INTO reading SELECT %s, %s, 7.5, n %% 2 FROM generate_series(1, 600) AS n", (begin, series[0])
        )
    parameters = {
        "series_id": series[0],
        "from": begin.isoformat(),
        "to": world.acme.end.isoformat(),
        "resolution": "raw",
        "max_points": 250,
    }
    found, cursor = [], None
    while True:
        answer = ops.get("/v1/readings", params={**parameters, **({"cursor": cursor} if cursor else {})}).json()
        found += [(point["time"], point["value"], point["quality"]) for point in answer["items"]]
        cursor = answer["next"]
        if cursor is None:
            break
    assert len(found) == 3 * READINGS + 600
    assert found == sorted(found)
    assert sorted(Counter(found).values()) == [3] * READINGS + [300, 300]


@pytest.mark.parametrize("after", [(0, 0), (4, 1), (0, 2**40)])
def test_a_cursor_that_somebody_made_up_is_refused(ops: TestClient, world: World, after: tuple[int, int]) -> None:
    cursor = encode_cursor("readings", ((world.acme.end, 1.5, *after), "raw", world.acme.end))
    answer = ops.get("/v1/readings", params={"series_id": world.acme.series, "cursor": cursor})
    assert answer.status_code == 422


def test_bad_readings_are_shown_only_to_those_who_ask(ops: TestClient, world: World) -> None:
    at = world.acme.end - timedelta(milliseconds=500)
    with psycopg.connect(world.dsn) as connection:
        connection.execute("INSERT INTO reading VALUES (%s, %s, -1, 2)", (at, world.acme.series))
    parameters = {"series_id": world.acme.series, "from": at.isoformat(), "to": world.acme.end.isoformat()}
    assert ops.get("/v1/readings", params=parameters).json()["items"] == []
    (bad,) = ops.get("/v1/readings", params={**parameters, "include_bad": True}).json()["items"]
    assert (bad["value"], bad["quality"]) == (-1, 2)


@pytest.mark.parametrize(
    ("since", "until", "more"),
    [
        ("2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z", {}),
        ("1990-01-01T00:00:00Z", "2026-01-01T00:00:00Z", {}),
        ("2025-01-01T00:00:00Z", "2026-01-01T00:00:00Z", {"resolution": "raw"}),
        ("2026-01-01T00:00:00", "2026-01-02T00:00:00", {}),
    ],
)
def test_a_range_that_is_empty_unbounded_or_without_a_zone_is_refused(
    ops: TestClient, world: World, since: str, until: str, more: dict[str, str]
) -> None:
    answer = ops.get("/v1/readings", params={"series_id": world.acme.series, "from": since, "to": until, **more})
    assert answer.status_code == 422
