"""Goods that come back, over HTTP on a real database: what they do to stock, receivables and the order."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import httpx
import psycopg
import pytest
from fastapi.testclient import TestClient

from deploy.verify import verify
from tests.integration.api.conftest import bearer
from tests.integration.api.test_ordering import account, act, credit, holds, key, market, order, ship
from tests.integration.api.world import World

__all__ = ["market"]


@pytest.fixture
def delivered(market: TestClient, world: World) -> dict[str, Any]:
    """Twenty units at 135.60 in all, which the store has signed for."""
    credit(market, "500.00", auto=True)
    dealer = bearer(world, "dealer@acme")
    sent = ship(market, act(market, order(market, dealer), "submit", dealer).json())
    signed = {"signer": "Sun Li", "at": datetime.now(UTC).isoformat()}
    done = market.post(f"{sent.headers['Location']}:deliver", json=signed, headers={**dealer, **key()})
    assert done.json()["state"] == "delivered", done.text
    return dict(done.json())


def ask(client: TestClient, it: dict[str, Any], units: int, headers: dict[str, str]) -> Any:
    body = {"reason": "crushed cartons", "units": {"1": units}}
    return client.post(f"/v1/orders/{it['id']}/returns", json=body, headers={**headers, **key()})


def decide(client: TestClient, back: dict[str, Any], action: str, headers: dict[str, str] | None = None) -> Any:
    match = {**(headers or {}), "If-Match": f'"{back["version"]}"'}
    body = {"reason": "not ours"} if action == "reject" else None
    return client.post(f"/v1/returns/{back['id']}:{action}", headers=match, json=body)


def receive(client: TestClient, back: dict[str, Any], **line: int) -> Any:
    match = {"If-Match": f'"{back["version"]}"', **key()}
    body = {"lines": {"1": line}} if line else {}
    return client.post(f"/v1/returns/{back['id']}:receive", headers=match, json=body)


def stock(client: TestClient) -> dict[str, int]:
    return {one["location"]: one["on_hand"] for one in client.get("/v1/stock").json()["items"] if one["sku"] == "tea"}


def test_what_comes_back_is_restocked_or_written_off_and_credited_to_the_last_unit_of_money(
    market: TestClient, world: World, delivered: dict[str, Any]
) -> None:
    dealer = bearer(world, "dealer@acme")
    asked = ask(market, delivered, 7, dealer)
    assert (asked.status_code, asked.json()["state"], asked.json()["org"]) == (201, "requested", "east"), asked.text
    assert decide(market, asked.json(), "approve", dealer).status_code == 403
    approved = decide(market, asked.json(), "approve")
    assert (approved.json()["state"], approved.headers["ETag"]) == ("approved", '"2"')
    got = receive(market, approved.json(), restock=4, write_off=3)
    assert (got.status_code, got.json()["state"], got.json()["credited"]["amount"]) == (201, "received", "47.46")
    assert (stock(market)["wh"], stock(market)["east-1"]) == (34, 13)
    assert account(market) == {"receivable": "88.14", "committed": "0.00", "free": "411.86"}
    entries = market.get("/v1/receivables", headers=dealer).json()["items"]
    assert [(one["kind"], one["amount"]["amount"]) for one in entries] == [
        ("credit_note", "-47.46"),
        ("invoice", "135.60"),
    ]
    it = market.get(f"/v1/orders/{delivered['id']}", headers=dealer).json()
    assert (it["lines"][0]["returned"], it["version"]) == (7, delivered["version"] + 1)
    assert [one["action"] for one in it["history"]][-3:] == ["return_request", "return_approve", "return_receive"]
    rest = decide(market, ask(market, it, 13, dealer).json(), "approve").json()
    assert receive(market, rest).json()["credited"]["amount"] == "88.14"
    assert account(market)["receivable"] == "0.00"
    assert (stock(market)["wh"], stock(market)["east-1"]) == (47, 0)
    holds(world)


def test_no_more_comes_back_than_was_delivered_and_is_not_on_its_way_back(
    market: TestClient, world: World, delivered: dict[str, Any]
) -> None:
    dealer = bearer(world, "dealer@acme")
    assert ask(market, delivered, 21, dealer).status_code == 409
    first = ask(market, delivered, 15, dealer).json()
    refused = ask(market, delivered, 6, dealer)
    assert (refused.status_code, refused.json()["detail"]) == (409, "line 1: 5 units can be sent back, not 6")
    rejected = decide(market, first, "reject")
    assert (rejected.json()["state"], rejected.json()["decision"]) == ("rejected", "not ours")
    assert decide(market, rejected.json(), "approve").status_code == 409
    second = decide(market, ask(market, delivered, 6, dealer).json(), "approve").json()
    assert receive(market, second, restock=7).status_code == 409
    assert receive(market, second, restock=0).status_code == 409
    got = receive(market, second, restock=2).json()
    assert (got["lines"][0]["units"], got["lines"][0]["restocked"], got["credited"]["amount"]) == (6, 2, "13.56")
    holds(world)


def test_a_decision_names_the_version_that_it_was_made_on_and_a_repeated_request_is_one(
    market: TestClient, world: World, delivered: dict[str, Any]
) -> None:
    dealer = bearer(world, "dealer@acme")
    body, once = {"reason": "crushed cartons", "units": {"1": 4}}, key()
    path = f"/v1/orders/{delivered['id']}/returns"
    made, again = (market.post(path, json=body, headers={**dealer, **once}) for _ in range(2))
    assert made.json() == again.json()
    assert again.headers["Idempotency-Replayed"] == "true"
    assert len(market.get("/v1/returns", params={"order": delivered["id"]}).json()["items"]) == 1
    url = f"/v1/returns/{made.json()['id']}"
    assert market.post(f"{url}:approve").status_code == 428
    assert decide(market, made.json(), "approve").status_code == 200
    assert decide(market, made.json(), "reject").status_code == 412
    with psycopg.connect(world.dsn) as owner:
        owner.execute("UPDATE app_user SET org_id = 'west' WHERE login = 'dealer@acme'")
    assert market.get(url, headers=dealer).status_code == 404
    assert market.get("/v1/returns", params={"order": delivered["id"]}, headers=dealer).json()["items"] == []


def test_what_the_store_has_not_got_by_its_books_comes_back_all_the_same_and_says_so(
    market: TestClient, world: World, delivered: dict[str, Any]
) -> None:
    away = {"from": "east-1", "to": "wh", "lines": [{"sku": "tea", "units": 18}]}
    assert market.post("/v1/transfers", json=away, headers=key()).status_code == 201
    back = decide(market, ask(market, delivered, 5, bearer(world, "dealer@acme")).json(), "approve").json()
    assert receive(market, back, restock=5).status_code == 201
    (newest, *_) = market.get("/v1/stock-moves", params={"location": "wh"}).json()["items"]
    assert (newest["kind"], newest["reason"]) == ("return", "3 units that east-1 has not got by its books")
    assert (stock(market)["wh"], stock(market)["east-1"]) == (53, 0)
    holds(world)


def test_goods_that_come_back_twice_at_once_are_received_once(
    market: TestClient, world: World, delivered: dict[str, Any], server: str
) -> None:
    back = decide(market, ask(market, delivered, 8, bearer(world, "dealer@acme")).json(), "approve").json()
    headers = {**bearer(world, "hq@acme"), "If-Match": f'"{back["version"]}"'}

    def take(number: int) -> int:
        once = {"Idempotency-Key": f"arrival-{number}"}
        url = f"{server}/v1/returns/{back['id']}:receive"
        return httpx.post(url, json={}, headers={**headers, **once}, timeout=120).status_code

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(take, range(6))) == [201] + [412] * 5
    assert (stock(market)["wh"], account(market)["receivable"]) == (38, "81.36")
    report = verify(world.dsn)
    assert report.invariants["I5"], report.broken
