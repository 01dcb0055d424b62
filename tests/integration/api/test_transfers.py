"""Transfers that somebody asked for, over HTTP on a real database: in parts, in their lots, to the last unit."""

import csv
import io
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psycopg
import pytest
from fastapi.testclient import TestClient

from deploy.verify import verify
from platform_api import jobs
from tests.integration.api.conftest import bearer
from tests.integration.api.test_ordering import holds, key, market
from tests.integration.api.test_returns import stock
from tests.integration.api.world import World

__all__ = ["market"]


@pytest.fixture
def worker(world: World) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(world.dsn, autocommit=True) as connection:
        yield connection


def ask(client: TestClient, units: int, headers: dict[str, str] | None = None) -> Any:
    body = {"from": "wh", "to": "east-1", "lines": [{"sku": "tea", "units": units}], "reference": "spring"}
    return client.post("/v1/transfer-requests", json=body, headers={**(headers or {}), **key()})


def act(client: TestClient, it: dict[str, Any], action: str, **body: Any) -> Any:
    headers = {"If-Match": f'"{it["version"]}"', **key()}
    return client.post(f"/v1/transfer-requests/{it['id']}:{action}", json=body, headers=headers)


def line(answer: Any) -> dict[str, int]:
    (only,) = answer.json()["lines"]
    return {name: only[name] for name in ("sent", "received", "missing", "given_up", "waiting", "on_the_way")}


def shown(client: TestClient) -> list[tuple[str, str, str]]:
    """Kind of place, units on hand and units to be promised, as the rows of /stock tell them."""
    found = []
    for row in client.get("/stock").text.split("</tr>"):
        if kind := re.search(r'data-state="(\w+)"', row):
            units = re.findall(r'<td class="number">(-?\d+)</td>', row)
            found.append((kind[1], units[0], units[-1]))
    return found


def test_a_transfer_is_sent_and_received_in_parts_and_its_rest_is_given_up(market: TestClient, world: World) -> None:
    it = ask(market, 70)
    assert (it.status_code, it.json()["state"], it.json()["from"]) == (201, "requested", "wh"), it.text
    assert it.json()["lines"][0]["held"] == 50
    part = act(market, it.json(), "send", units={"tea": 20})
    assert (part.status_code, part.json()["state"]) == (201, "part_sent"), part.text
    assert (stock(market)["wh"], stock(market)[".transit"]) == (30, 20)
    assert act(market, it.json(), "send").status_code == 412
    some = act(market, part.json(), "receive", received={"tea": 12}, missing={"tea": 3})
    assert line(some) == {"sent": 20, "received": 12, "missing": 3, "given_up": 0, "waiting": 50, "on_the_way": 5}
    assert shown(market) == [("warehouse", "30", "0"), ("store", "12", "12"), ("transit", "5", "0")]
    refused = act(market, some.json(), "receive", received={"tea": 6})
    assert (refused.status_code, refused.json()["detail"]) == (409, "5 units of tea are on their way, not 6")
    rest = act(market, some.json(), "send")
    assert (line(rest)["sent"], line(rest)["waiting"], stock(market)["wh"]) == (50, 20, 0)
    assert act(market, rest.json(), "send").status_code == 409
    closed = act(market, rest.json(), "close", reason="the season is over")
    assert (closed.json()["state"], closed.json()["reason"], line(closed)["given_up"]) == (
        "sent",
        "the season is over",
        20,
    )
    assert act(market, closed.json(), "close", reason="once more").status_code == 409
    done = act(market, closed.json(), "receive")
    assert (done.json()["state"], line(done)["received"]) == ("received", 47)
    assert (stock(market)["wh"], stock(market)["east-1"], stock(market)[".transit"]) == (0, 47, 0)
    assert shown(market) == [("store", "47", "47")]
    (listed,) = [one for one in market.get("/v1/transfer-requests").json()["items"] if one["id"] == it.json()["id"]]
    assert listed == done.json()
    holds(world)


def test_whoever_sees_neither_place_sees_no_transfer_and_each_side_does_its_part(
    market: TestClient, world: World
) -> None:
    it = ask(market, 5).json()
    dealer, path = bearer(world, "dealer@acme"), f"/v1/transfer-requests/{it['id']}"
    assert market.get(path, headers=dealer).status_code == 200
    assert ask(market, 5, dealer).status_code == 404  # the warehouse is none of theirs
    body = {"from": "wh", "to": ".transit", "lines": [{"sku": "tea", "units": 1}]}
    assert market.post("/v1/transfer-requests", json=body, headers=key()).status_code == 422
    headers = {**dealer, "If-Match": '"1"'}
    assert market.post(f"{path}:send", json={}, headers={**headers, **key()}).status_code == 404
    sent = act(market, it, "send").json()
    headers["If-Match"] = f'"{sent["version"]}"'
    assert market.post(f"{path}:receive", json={}, headers={**headers, **key()}).status_code == 201
    assert market.get(path, headers=bearer(world, "hq@bravo")).status_code == 404
    holds(world)


def test_a_transfer_that_is_sent_by_many_at_once_leaves_once(market: TestClient, world: World, server: str) -> None:
    it = ask(market, 40).json()
    headers = {**bearer(world, "hq@acme"), "If-Match": '"1"'}

    def send(number: int) -> int:
        url = f"{server}/v1/transfer-requests/{it['id']}:send"
        once = {"Idempotency-Key": f"send-{number}"}
        return httpx.post(url, json={"units": {"tea": 10}}, headers={**headers, **once}, timeout=120).status_code

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(send, range(6))) == [201] + [412] * 5
    assert (stock(market)["wh"], stock(market)[".transit"]) == (40, 10)
    holds(world)


def promised(client: TestClient) -> tuple[int, int, int]:
    """Units on hand, reserved and to be promised at the warehouse."""
    (place,) = client.get("/v1/stock", params={"location": "wh"}).json()["items"]
    return place["on_hand"], place["reserved"], place["atp"]


def test_what_is_asked_for_is_held_until_it_is_sent_or_given_up_and_nobody_else_gets_it(
    market: TestClient, world: World, worker: psycopg.Connection[Any]
) -> None:
    it = ask(market, 40).json()
    assert promised(market) == (50, 40, 10)
    second = ask(market, 30).json()
    assert [(one["lines"][0]["held"], one["lines"][0]["waiting"]) for one in (it, second)] == [(40, 40), (10, 30)]
    assert act(market, second, "send", units={"tea": 11}).status_code == 409
    away = {"from": "wh", "to": "east-1", "lines": [{"sku": "tea", "units": 1}]}
    assert market.post("/v1/transfers", json=away, headers=key()).status_code == 409
    part = act(market, it, "send", units={"tea": 15}).json()
    assert (part["lines"][0]["held"], promised(market)) == (25, (35, 35, 0))
    act(market, part, "close", reason="the season is over")
    assert promised(market) == (35, 10, 25)
    # What has become free is held for whoever waits for it.
    assert jobs.allocate_back_orders(worker, datetime.now(UTC)) == 1
    now = market.get(f"/v1/transfer-requests/{second['id']}").json()
    assert (now["lines"][0]["held"], now["version"], promised(market)) == (30, 2, (35, 30, 5))
    assert jobs.allocate_back_orders(worker, datetime.now(UTC)) == 0
    assert act(market, now, "send").json()["state"] == "sent"
    assert promised(market) == (5, 0, 5)
    holds(world)


def test_many_who_ask_at_once_are_promised_each_unit_once(market: TestClient, world: World, server: str) -> None:
    headers = bearer(world, "hq@acme")

    def want(number: int) -> int:
        body = {"from": "wh", "to": "east-1", "lines": [{"sku": "tea", "units": 8}]}
        once = {**headers, "Idempotency-Key": f"want-{number}"}
        answer = httpx.post(f"{server}/v1/transfer-requests", json=body, headers=once, timeout=120)
        assert answer.status_code == 201, answer.text
        return int(answer.json()["lines"][0]["held"])

    with ThreadPoolExecutor(10) as pool:
        held = sorted(pool.map(want, range(10)))
    assert held == [0, 0, 0, 2, 8, 8, 8, 8, 8, 8][-len(held) :]
    assert promised(market) == (50, 50, 0)
    holds(world)


def test_what_has_expired_is_promised_to_nobody(
    market: TestClient, world: World, worker: psycopg.Connection[Any]
) -> None:
    milk = {"sku": "milk", "name_en": "Milk", "unit_weight_g": 1000, "by_lot": True}
    assert market.post("/v1/skus", json=milk, headers=key()).status_code == 201
    today = datetime.now(UTC).date()
    for lot, expires, units in (("old", today, 6), ("new", today + timedelta(days=30), 4)):
        line = {"sku": "milk", "units": units, "lot": lot, "expires": expires.isoformat()}
        got = market.post("/v1/receipts", json={"to": "wh", "lines": [line]}, headers=key())
        assert got.status_code == 201, got.text
    (place,) = market.get("/v1/stock", params={"location": "wh", "sku": "milk"}).json()["items"]
    assert (place["on_hand"], place["expired"], place["atp"]) == (10, 6, 4)
    body = {"from": "wh", "to": "east-1", "lines": [{"sku": "milk", "units": 9}]}
    it = market.post("/v1/transfer-requests", json=body, headers=key()).json()
    assert (it["lines"][0]["held"], it["lines"][0]["waiting"]) == (4, 9)
    assert jobs.allocate_back_orders(worker, datetime.now(UTC)) == 0
    assert act(market, it, "send").json()["lines"][0]["sent"] == 4
    assert market.get("/v1/lots", params={"location": "wh", "sku": "milk"}).json()[0]["lot"] == "old"
    holds(world)
    # Nobody has to come for it: it goes on hold, once, and is told.
    assert [jobs.hold_expired(worker, datetime.now(UTC)) for _ in range(2)] == [1, 0]
    (place,) = market.get("/v1/stock", params={"sku": "milk", "kind": "hold"}).json()["items"]
    assert (place["location"], place["on_hand"], place["expired"], place["atp"]) == ("wh.hold", 6, 6, 0)
    told = market.get("/v1/webhook-events", params={"type": "stock.held"}).json()["items"]
    (held,) = [one["data"] for one in told]
    assert {name: held[name] for name in ("site", "sku", "lot", "units", "reason")} == {
        "site": "wh", "sku": "milk", "lot": "old", "units": 6, "reason": "expired",
    }  # fmt: skip
    gone = {"at": "wh", "sku": "milk", "units": 6, "reason": "past its date"}
    assert market.post("/v1/stock-holds:write-off", json=gone, headers=key()).status_code == 201
    assert len(market.get("/v1/webhook-events", params={"type": "stock.written_off"}).json()["items"]) == 1
    holds(world)


def test_what_is_promised_stays_when_it_expires_until_its_promise_ends(
    market: TestClient, world: World, worker: psycopg.Connection[Any]
) -> None:
    milk = {"sku": "milk", "name_en": "Milk", "unit_weight_g": 1000, "by_lot": True}
    assert market.post("/v1/skus", json=milk, headers=key()).status_code == 201
    today = datetime.now(UTC).date()
    got = {"sku": "milk", "units": 6, "lot": "old", "expires": (today + timedelta(days=1)).isoformat()}
    market.post("/v1/receipts", json={"to": "wh", "lines": [got]}, headers=key())
    body = {"from": "wh", "to": "east-1", "lines": [{"sku": "milk", "units": 4}]}
    it = market.post("/v1/transfer-requests", json=body, headers=key()).json()
    worker.execute("UPDATE lot SET expires_on = %s", (today,))
    on_hold = {"sku": "milk", "kind": "hold"}
    for units in (2, 6):
        assert jobs.hold_expired(worker, datetime.now(UTC)) == 1
        (place,) = market.get("/v1/stock", params=on_hold).json()["items"]
        assert place["on_hand"] == units
        if units == 2:
            act(market, it, "close", reason="it has expired")
    holds(world)


def test_each_act_is_told_to_whoever_runs_either_end(market: TestClient, world: World) -> None:
    it = ask(market, 20).json()
    some = act(market, it, "send", units={"tea": 8}).json()
    some = act(market, some, "send", units={"tea": 2}).json()
    some = act(market, some, "receive").json()
    act(market, some, "close", reason="enough")
    types = [f"transfer.{act}" for act in ("requested", "sent", "received", "closed")]
    told = market.get("/v1/webhook-events", params={"type": types}, headers=bearer(world, "dealer@acme")).json()
    acts = [(one["type"], one["data"]["state"]) for one in told["items"]]
    assert acts == [
        ("transfer.requested", "requested"),
        ("transfer.sent", "part_sent"),
        ("transfer.sent", "part_sent"),
        ("transfer.received", "part_sent"),
        ("transfer.closed", "received"),
    ]
    assert {one["subject"] for one in told["items"]} == {f"transfer-requests/{it['id']}"}
    assert told["items"][-1]["data"]["reason"] == "enough"
    with psycopg.connect(world.dsn) as owner:  # it leaves a place of the dealer's for one of somebody else's
        owner.execute("UPDATE site SET org_id = 'west' WHERE tenant_id = 'acme' AND site_id = 'east-1'")
        owner.execute("UPDATE site SET org_id = 'east' WHERE tenant_id = 'acme' AND site_id = 'wh'")
    again = ask(market, 5).json()
    subjects = [
        one["subject"]
        for one in market.get(
            "/v1/webhook-events", params={"type": types}, headers=bearer(world, "dealer@acme")
        ).json()["items"]
    ]
    assert subjects.count(f"transfer-requests/{again['id']}") == 1


def test_transfers_are_a_file_too(market: TestClient, world: World) -> None:
    ask(market, 60)
    answer = market.get("/v1/exports", params={"noun": "transfers"})
    (row,) = [one for one in csv.DictReader(io.StringIO(answer.text.lstrip("\ufeff"))) if one["from"] == "wh"]
    assert (row["to"], row["state"], row["sku"], row["units"], row["held"]) == (
        "east-1",
        "requested",
        "tea",
        "60",
        "50",
    )
    theirs = market.get("/v1/exports", params={"noun": "transfers"}, headers=bearer(world, "dealer@acme"))
    assert "west-1" not in theirs.text
    assert "wh" in theirs.text


def test_verify_finds_a_transfer_that_says_more_than_is_held_and_on_its_way(market: TestClient, world: World) -> None:
    it = act(market, ask(market, 20).json(), "send", units={"tea": 5}).json()
    holds(world)
    with psycopg.connect(world.dsn) as owner:
        owner.execute("UPDATE transfer_request_line SET held = 14, received = 1 WHERE transfer_id = %s", (it["id"],))
    told = [one.what for one in verify(world.dsn).broken if one.invariant == "I3"]
    assert told == ["of tea 14 units are said to be held and 15 are, 4 to be on the way and 5 are"]
