"""Transfers that somebody asked for, over HTTP on a real database: in parts, in their lots, to the last unit."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
from fastapi.testclient import TestClient

from tests.integration.api.conftest import bearer
from tests.integration.api.test_ordering import holds, key, market
from tests.integration.api.test_returns import stock
from tests.integration.api.world import World

__all__ = ["market"]


def ask(client: TestClient, units: int, headers: dict[str, str] | None = None) -> Any:
    body = {"from": "wh", "to": "east-1", "lines": [{"sku": "tea", "units": units}], "reference": "spring"}
    return client.post("/v1/transfer-requests", json=body, headers={**(headers or {}), **key()})


def act(client: TestClient, it: dict[str, Any], action: str, **body: Any) -> Any:
    headers = {"If-Match": f'"{it["version"]}"', **key()}
    return client.post(f"/v1/transfer-requests/{it['id']}:{action}", json=body, headers=headers)


def line(answer: Any) -> dict[str, int]:
    (only,) = answer.json()["lines"]
    return {name: only[name] for name in ("sent", "received", "missing", "given_up", "waiting", "on_the_way")}


def test_a_transfer_is_sent_and_received_in_parts_and_its_rest_is_given_up(market: TestClient, world: World) -> None:
    it = ask(market, 70)
    assert (it.status_code, it.json()["state"], it.json()["from"]) == (201, "requested", "wh"), it.text
    part = act(market, it.json(), "send", units={"tea": 20})
    assert (part.status_code, part.json()["state"]) == (201, "part_sent"), part.text
    assert (stock(market)["wh"], stock(market)[".transit"]) == (30, 20)
    assert act(market, it.json(), "send").status_code == 412
    some = act(market, part.json(), "receive", received={"tea": 12}, missing={"tea": 3})
    assert line(some) == {"sent": 20, "received": 12, "missing": 3, "given_up": 0, "waiting": 50, "on_the_way": 5}
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
