"""Stock on hold, over HTTP on a real database: promised to nobody, and in the books to the last unit."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psycopg
import pytest
from fastapi.testclient import TestClient

from platform_api import jobs
from tests.integration.api.conftest import bearer
from tests.integration.api.test_ordering import act as act_on
from tests.integration.api.test_ordering import credit, holds, key, market, order
from tests.integration.api.test_returns import ask as ask_back
from tests.integration.api.test_returns import decide, delivered
from tests.integration.api.test_returns import receive as receive_back
from tests.integration.api.world import World

__all__ = ["delivered", "market"]


@pytest.fixture
def worker(world: World) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(world.dsn, autocommit=True) as connection:
        yield connection


def move(client: TestClient, units: int, verb: str = "", headers: dict[str, str] | None = None, **more: str) -> Any:
    """Put units of tea at the warehouse on hold, or do with them what ``verb`` says."""
    body = {"at": "wh", "sku": "tea", "units": units, "reason": "crushed cartons", **more}
    return client.post(f"/v1/stock-holds{verb}", json=body, headers={**(headers or {}), **key()})


def places(client: TestClient, sku: str = "tea") -> dict[str, tuple[int, int]]:
    """Units on hand and to be promised, by place."""
    found = client.get("/v1/stock", params={"sku": sku}).json()["items"]
    return {one["location"]: (one["on_hand"], one["atp"]) for one in found}


def test_what_is_on_hold_is_not_sold_until_it_is_released_and_gone_when_it_is_written_off(
    market: TestClient, world: World
) -> None:
    assert move(market, 20).status_code == 201
    assert (places(market)["wh"], places(market)["wh.hold"]) == ((30, 30), (20, 0))
    refused = move(market, 31)
    assert (refused.status_code, refused.json()["detail"]) == (409, "wh has 30 units of tea that are not reserved")
    assert move(market, 5, ":release").status_code == 201
    assert move(market, 12, ":write-off").status_code == 201
    assert (places(market)["wh"], places(market)["wh.hold"]) == ((35, 35), (3, 0))
    assert move(market, 4, ":write-off").status_code == 409
    (row,) = market.get("/v1/stock", params={"kind": "hold"}).json()["items"]
    assert (row["location"], row["site"], row["on_hand"]) == ("wh.hold", "wh", 3)
    told = market.get("/v1/stock-moves", params={"location": "wh.hold"}).json()["items"]
    assert [(one["kind"], one["units"], one["reason"]) for one in told] == [
        ("loss", -12, "crushed cartons"),
        ("release", -5, "crushed cartons"),
        ("hold", 20, "crushed cartons"),
    ]
    files = market.get("/v1/exports", params={"noun": "stock"}).text
    assert "wh.hold,hold,tea,3,0,0," in files.replace('"', "")
    holds(world)


def test_no_order_transfer_or_proposal_takes_what_is_on_hold(
    market: TestClient, world: World, worker: psycopg.Connection[Any]
) -> None:
    credit(market, "10000.00", auto=True)
    move(market, 45)
    dealer = bearer(world, "dealer@acme")
    it = act_on(market, order(market, dealer), "submit", dealer).json()
    assert it["lines"][0]["reserved"] == 5
    assert move(market, 1).status_code == 409  # what is promised does not go on hold
    wish = {"from": "wh", "to": "east-1", "lines": [{"sku": "tea", "units": 10}]}
    assert market.post("/v1/transfer-requests", json=wish, headers=key()).json()["lines"][0]["held"] == 0
    for body in ({**wish, "from": "wh.hold"}, {**wish, "to": "wh.hold"}):
        assert market.post("/v1/transfers", json=body, headers=key()).status_code == 409
        assert market.post("/v1/transfer-requests", json=body, headers=key()).status_code == 422
    jobs.allocate_back_orders(worker, datetime.now(UTC))
    assert market.get(f"/v1/orders/{it['id']}").json()["lines"][0]["reserved"] == 5
    with pytest.raises(psycopg.errors.CheckViolation):
        worker.execute("UPDATE stock_balance SET reserved = 1 WHERE location_id = 'wh.hold'")
    assert move(market, 45, ":release").status_code == 201
    jobs.allocate_back_orders(worker, datetime.now(UTC))
    assert market.get(f"/v1/orders/{it['id']}").json()["lines"][0]["reserved"] == it["lines"][0]["units"]
    holds(world)


def test_an_expired_lot_goes_on_hold_first_or_the_one_that_is_named(market: TestClient, world: World) -> None:
    milk = {"sku": "milk", "name_en": "Milk", "unit_weight_g": 1000, "by_lot": True}
    assert market.post("/v1/skus", json=milk, headers=key()).status_code == 201
    today = datetime.now(UTC).date()
    for lot, days, units in (("old", 0, 6), ("new", 30, 4)):
        line = {"sku": "milk", "units": units, "lot": lot, "expires": (today + timedelta(days=days)).isoformat()}
        assert market.post("/v1/receipts", json={"to": "wh", "lines": [line]}, headers=key()).status_code == 201
    assert places(market, "milk")["wh"] == (10, 4)
    assert move(market, 1, sku="milk", lot="new").status_code == 201
    assert move(market, 1, sku="milk", lot="none").status_code == 409
    assert move(market, 6, sku="milk").status_code == 201
    assert places(market, "milk") == {"wh": (3, 3), "wh.hold": (7, 0)}
    lots = market.get("/v1/lots", params={"location": "wh.hold", "sku": "milk"}).json()
    assert [(one["lot"], one["units"]) for one in lots] == [("old", 6), ("new", 1)]
    assert move(market, 6, ":write-off", sku="milk", lot="old").status_code == 201
    holds(world)


def test_who_may_hold_release_and_write_off(market: TestClient, world: World) -> None:
    dealer = bearer(world, "dealer@acme")
    assert move(market, 1, headers=dealer).status_code == 404  # the warehouse is none of theirs
    away = {"from": "wh", "to": "east-1", "lines": [{"sku": "tea", "units": 10}]}
    market.post("/v1/transfers", json=away, headers=key())
    assert move(market, 2, headers=dealer, at="east-1").status_code == 201
    assert move(market, 2, ":release", headers=dealer, at="east-1").status_code == 403
    assert move(market, 2, at="east-1.shelf").status_code == 409  # what leaves a shelf lies in its store
    assert move(market, 2, at=".transit").status_code == 409


def test_many_who_decide_at_once_about_the_same_units_decide_once(
    market: TestClient, world: World, server: str
) -> None:
    move(market, 10)
    headers = bearer(world, "hq@acme")

    def decide_on(number: int) -> int:
        verb = "release" if number % 2 else "write-off"
        body = {"at": "wh", "sku": "tea", "units": 4, "reason": "looked at"}
        once = {**headers, "Idempotency-Key": f"decide-{number}"}
        return httpx.post(f"{server}/v1/stock-holds:{verb}", json=body, headers=once, timeout=120).status_code

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(decide_on, range(6))) == [201, 201, 409, 409, 409, 409]
    assert places(market)["wh.hold"] == (2, 0)
    holds(world)


def test_what_comes_back_damaged_is_credited_and_waits_on_hold(
    market: TestClient, world: World, delivered: dict[str, Any]
) -> None:
    dealer = bearer(world, "dealer@acme")
    body = {"reason": "crushed cartons", "units": {"1": 7}, "reasons": {"1": "wet as well"}}
    path = f"/v1/orders/{delivered['id']}/returns"
    stray = {**body, "reasons": {"9": "not even there"}}
    assert market.post(path, json=stray, headers={**dealer, **key()}).status_code == 422
    asked = market.post(path, json=body, headers={**dealer, **key()}).json()
    assert asked["lines"][0]["reason"] == "wet as well"
    got = receive_back(market, decide(market, asked, "approve").json(), restock=3, hold=3, write_off=1).json()
    line = got["lines"][0]
    assert (line["restocked"], line["held"], line["written_off"]) == (3, 3, 1)
    assert got["credited"]["amount"] == "47.46"
    assert (places(market)["wh"], places(market)["wh.hold"]) == ((33, 33), (3, 0))
    rest = decide(market, ask_back(market, delivered, 5, dealer).json(), "approve").json()
    assert receive_back(market, rest, hold=5).status_code == 201
    assert places(market)["wh.hold"] == (8, 0)
    holds(world)
