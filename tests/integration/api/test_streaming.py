"""GET /v1/live against a real server: what is committed and notified arrives, and only to those who may see it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
import psycopg
from msgspec.json import encode

from contracts.facts import LiveNotice
from tests.integration.api.world import UNIT_G, World, add_anomaly, add_event, notify

DEADLINE_S = 30.0
"""A read that waits longer than this raises."""


class Stream:
    """Server-sent events of one response."""

    def __init__(self, response: httpx.Response) -> None:
        self._lines = response.iter_lines()

    def next(self, event: str) -> tuple[str, Any]:
        """Id and data of the next event of a kind."""
        fields: dict[str, str] = {}
        for line in self._lines:
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
                continue
            if fields.get("event") == event:
                return fields.get("id", ""), json.loads(fields["data"])
            fields = {}
        message = f"the stream ended before {event}"
        raise AssertionError(message)


@contextmanager
def follow(server: str, key: str, **more: Any) -> Iterator[Stream]:
    headers = {"Authorization": f"Bearer {key}", **more.pop("headers", {})}
    with httpx.stream("GET", f"{server}/v1/live", params=more, headers=headers, timeout=DEADLINE_S) as response:
        assert response.status_code == 200, response.read()
        assert response.headers["content-type"].startswith("text/event-stream")
        yield Stream(response)


def wall(server: str, key: str) -> dict[str, Any]:
    answer = httpx.get(f"{server}/v1/live/wall", headers={"Authorization": f"Bearer {key}"}, timeout=DEADLINE_S)
    assert answer.status_code == 200
    body: dict[str, Any] = answer.json()
    return body


def commit_sale(world: World, tenant: str, event: str, on_shelf: int) -> None:
    with psycopg.connect(world.dsn) as connection:
        add_event(connection, tenant, "east-1", event, -2, on_shelf)
        notify(connection, encode(LiveNotice(tenant, ["east-1"], readings=500, events=1)).decode())


def test_a_committed_sale_reaches_a_viewer(server: str, world: World) -> None:
    start = wall(server, world.acme.key)
    with follow(server, world.acme.key, after=start["cursor"]) as stream:
        stream.next("totals")
        commit_sale(world, "acme", "sold", 10)
        cursor, delta = stream.next("delta")
    assert [event["id"] for event in delta["events"]] == ["gw-east-1/sold"]
    (position,) = delta["positions"]
    assert (position["slot"], position["on_shelf"]) == ("gw-east-1/s01-b1", 10)
    assert int(cursor) > int(start["cursor"])


def test_the_wall_and_its_totals_are_whole(server: str, world: World) -> None:
    start = wall(server, world.acme.key)
    assert {site["id"] for site in start["sites"]} == {"east-1", "west-1"}
    (east,) = [slot for slot in start["slots"] if slot["site"] == "east-1"]
    assert (east["on_shelf"], east["capacity"], east["reorder"], east["series"]) == (12, 24, 8.0, world.acme.series)
    assert start["skus"] == {"tea": ["绿茶", "Green tea"], "sku-acme": ["", "Only"]}
    assert (len(start["events"]), len(start["anomalies"]), len(start["proposals"])) == (6, 2, 2)
    totals = start["totals"]
    assert (totals["devices"], totals["anomalies_open"], totals["proposals_live"]) == (2, 2, 2)
    assert totals["lag_ms"] > 0


def test_the_rate_of_readings_is_that_of_the_notices(server: str, world: World) -> None:
    with follow(server, world.acme.key) as stream:
        stream.next("totals")
        commit_sale(world, "acme", "sold", 10)
        while stream.next("totals")[1]["readings_per_s"] != 50.0:  # 500 in a window of 10 s
            pass


def test_another_tenants_commit_is_not_told(server: str, world: World) -> None:
    start = wall(server, world.acme.key)
    with follow(server, world.acme.key, after=start["cursor"]) as stream:
        stream.next("totals")
        commit_sale(world, "bravo", "theirs", 9)
        commit_sale(world, "acme", "ours", 10)
        _, delta = stream.next("delta")
    assert [event["id"] for event in delta["events"]] == ["gw-east-1/ours"]


def test_a_new_anomaly_and_a_decision_about_it_are_told(server: str, world: World) -> None:
    anomaly = uuid4()
    start = wall(server, world.acme.key)
    with follow(server, world.acme.key, after=start["cursor"]) as stream:
        stream.next("totals")
        with psycopg.connect(world.dsn) as connection:
            add_anomaly(connection, "acme", "east-1", anomaly, at=datetime.now(UTC))
            notify(connection, encode(LiveNotice("acme", ["east-1"], anomalies=1)).decode())
        found = next_with(stream, "anomalies", str(anomaly))
        assert (found["state"], found["evidence"]["run_length"]) == ("open", 300)
        headers = {"Authorization": f"Bearer {world.acme.key}", "If-Match": '"1"'}
        answer = httpx.post(f"{server}/v1/anomalies/{anomaly}:acknowledge", headers=headers, timeout=DEADLINE_S)
        assert answer.status_code == 200
        while (found := next_with(stream, "anomalies", str(anomaly)))["state"] != "acknowledged":
            pass
        assert found["version"] == 2


def next_with(stream: Stream, name: str, id_: str) -> dict[str, Any]:
    while True:
        _, delta = stream.next("delta")
        for item in delta.get(name, []):
            if item["id"] == id_:
                found: dict[str, Any] = item
                return found


def test_readings_of_a_watched_series_are_told(server: str, world: World) -> None:
    with follow(server, world.acme.key, series=world.acme.series) as stream:
        (first,) = stream.next("values")[1]
        assert (first[0], first[2]) == (world.acme.series, 12 * UNIT_G)
        with psycopg.connect(world.dsn) as connection:
            connection.execute(
                "UPDATE latest_value SET time = now(), value = 99 WHERE series_id = %s", (world.acme.series,)
            )
            notify(connection, encode(LiveNotice("acme", ["east-1"], readings=1)).decode())
        while stream.next("values")[1][0][2] != 99:
            pass


def test_a_viewer_that_comes_back_is_told_what_it_missed(server: str, world: World) -> None:
    start = wall(server, world.acme.key)
    with follow(server, world.acme.key, after=start["cursor"]) as stream:
        stream.next("totals")
    commit_sale(world, "acme", "missed", 10)
    # As a browser does: the address is the first one, the id the last one seen.
    with follow(server, world.acme.key, after="1", headers={"Last-Event-ID": start["cursor"]}) as stream:
        _, delta = stream.next("delta")
        assert [event["id"] for event in delta["events"]] == ["gw-east-1/missed"]


def test_a_viewer_that_was_away_too_long_is_told_to_begin_anew(server: str, world: World) -> None:
    with follow(server, world.acme.key, after="1700000000000000") as stream:
        stream.next("reset")


def test_the_listener_comes_back_after_its_connection_is_cut(server: str, world: World) -> None:
    start = wall(server, world.acme.key)
    with follow(server, world.acme.key, after=start["cursor"]) as stream:
        stream.next("totals")
        with psycopg.connect(world.dsn) as connection:
            cut = connection.execute(
                """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                   WHERE application_name = 'shelfpulse-api-listen' AND datname = current_database()"""
            ).fetchall()
        assert cut == [(True,)]
        commit_sale(world, "acme", "while-away", 10)
        _, delta = stream.next("delta")
        assert [event["id"] for event in delta["events"]] == ["gw-east-1/while-away"]
