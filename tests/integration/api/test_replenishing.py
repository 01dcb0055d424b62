"""From a low shelf to a refill that the shelf confirms, over HTTP and the worker's jobs, on a real database."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from fastapi.testclient import TestClient

from deploy.planning import PLANNER
from deploy.verify import verify
from platform_api import jobs
from stream.replenish import ENDED
from tests.integration.api.conftest import bearer
from tests.integration.api.test_ordering import account, credit, key, market, restock, ship
from tests.integration.api.test_transfers import act
from tests.integration.api.world import World, add_event

__all__ = ["market"]


@pytest.fixture
def worker(world: World) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(world.dsn, autocommit=True) as connection:
        yield connection


def proposal(client: TestClient, world: World) -> dict[str, Any]:
    return dict(client.get(f"/v1/proposals/{world.acme.proposal}").json())


def transfers(client: TestClient, world: World) -> list[dict[str, Any]]:
    """What the proposal asked other places for."""
    found = client.get("/v1/transfer-requests").json()["items"]
    return [one for one in found if one["proposal"] == str(world.acme.proposal)]


def bring(client: TestClient, world: World) -> None:
    """Send and receive all that the proposal asked for."""
    for it in transfers(client, world):
        sent = act(client, it, "send")
        assert act(client, sent.json(), "receive").json()["state"] == "received", sent.text


def again_at_once(worker: psycopg.Connection[Any]) -> None:
    """The shelf is still low: a second cycle."""
    worker.execute(
        """INSERT INTO proposal (proposal_id, tenant_id, site_id, sku, cycle, units, triggered_at)
           VALUES (gen_random_uuid(), 'acme', 'east-1', 'tea', 2, 16, now())"""
    )


def let_policies_order(worker: psycopg.Connection[Any]) -> None:
    worker.execute("UPDATE stock_policy SET mode = 'auto' WHERE tenant_id = 'acme' AND site_id = 'east-1'")
    worker.execute("UPDATE slot SET capacity = 40 WHERE tenant_id = 'acme' AND site_id = 'east-1'")


def now() -> datetime:
    return datetime.now(UTC)


def test_a_low_shelf_becomes_an_order_a_delivery_and_a_refill_that_closes_the_cycle(
    market: TestClient, world: World, worker: psycopg.Connection[Any]
) -> None:
    credit(market, "100.00")
    let_policies_order(worker)
    assert jobs.fulfil_proposals(worker, now(), PLANNER) == 1
    it = proposal(market, world)
    assert (it["state"], it["outcome"], it["note"]) == ("ordered", "order", "2 case for east: credit_hold")
    order = market.get(f"/v1/orders/{it['order']}").json()
    assert (order["ship_to"], order["proposal"], order["lines"][0]["units"]) == ("east-1", it["id"], 20)
    match = {"If-Match": f'"{order["version"]}"'}
    order = market.post(f"/v1/orders/{it['order']}:override", json={"reason": "good payer"}, headers=match).json()
    part = ship(market, order, tracking_no="T1", units={"1": 12})
    rest = ship(market, part.json(), tracking_no="T2")
    assert (part.json()["state"], rest.json()["state"]) == ("part_shipped", "shipped")
    jobs.confirm_refills(worker, now() + timedelta(minutes=2))
    moved = market.get(part.headers["Location"]).json()
    assert (moved["state"], [one["state"] for one in moved["events"]]) == (
        "out_for_delivery",
        ["in_transit", "out_for_delivery"],
    )
    store = bearer(world, "store@acme")
    for sent in (part, rest):
        body = {"signer": "Sun Li", "at": now().isoformat()}
        signed = market.post(f"{sent.headers['Location']}:deliver", json=body, headers={**store, **key()})
        assert signed.status_code == 201, signed.text
    assert jobs.confirm_refills(worker, now()) == 0
    with psycopg.connect(world.dsn) as owner:
        add_event(owner, "acme", "east-1", "z-refill", 20, 33)
    jobs.book_stock(worker, now())
    assert jobs.confirm_refills(worker, now()) == 2
    assert proposal(market, world)["state"] == "received"
    assert market.get(f"/v1/orders/{it['order']}").json()["state"] == "closed"
    stock = {one["location"]: one["on_hand"] for one in market.get("/v1/stock").json()["items"]}
    assert (stock["wh"], stock["east-1"], stock["east-1.shelf"], stock[".transit"]) == (30, 0, 33, 0)
    assert account(market) == {"receivable": "135.60", "committed": "0.00", "free": "-35.60"}
    report = verify(world.dsn)
    assert {name: report.invariants[name] for name in ("I3", "I4", "I5")} == {"I3": True, "I4": True, "I5": True}


def test_two_workers_on_one_proposal_make_one_order(market: TestClient, world: World) -> None:
    credit(market, "10000.00", auto=True)
    with psycopg.connect(world.dsn, autocommit=True) as owner:
        let_policies_order(owner)

    def work(_: int) -> int:
        with psycopg.connect(world.dsn, autocommit=True) as connection:
            return jobs.fulfil_proposals(connection, now(), PLANNER)

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(work, range(6))) == 1
    (order,) = market.get("/v1/orders", params={"org": "east"}).json()["items"]
    assert (order["state"], order["proposal"]) == ("allocated", str(world.acme.proposal))


def test_a_replayed_proposal_never_makes_a_second_order(
    market: TestClient, world: World, worker: psycopg.Connection[Any]
) -> None:
    let_policies_order(worker)
    jobs.fulfil_proposals(worker, now(), PLANNER)
    worker.execute("DELETE FROM proposal_flow")
    worker.execute("UPDATE proposal SET state = 'open' WHERE tenant_id = 'acme' AND site_id = 'east-1'")
    jobs.fulfil_proposals(worker, now(), PLANNER)
    it = proposal(market, world)
    assert (it["outcome"], it["note"]) == ("blocked", "there is an order for this proposal already")
    assert len(market.get("/v1/orders", params={"org": "east"}).json()["items"]) == 1


def test_a_suggestion_waits_for_somebody_and_what_keeps_it_is_told(
    market: TestClient, world: World, worker: psycopg.Connection[Any]
) -> None:
    assert jobs.fulfil_proposals(worker, now(), PLANNER) == 0
    market.put("/v1/orgs/east/entitlements", json={"skus": {"tea": False}})
    dealer = bearer(world, "dealer@acme")
    path = f"/v1/proposals/{world.acme.proposal}:approve"
    assert market.post(path, headers={**dealer, "If-Match": '"1"'}).status_code == 200
    assert jobs.fulfil_proposals(worker, now(), PLANNER) == 1
    it = proposal(market, world)
    assert (it["state"], it["outcome"], it["note"]) == ("approved", "blocked", "tea is not in your assortment")
    assert jobs.fulfil_proposals(worker, now(), PLANNER) == 0  # it rests for a while
    market.put("/v1/orgs/east/entitlements", json={"skus": {}})
    assert jobs.fulfil_proposals(worker, now() + timedelta(minutes=20), PLANNER) == 1
    assert proposal(market, world)["outcome"] == "order"


def test_what_the_dealer_has_is_moved_before_anything_is_bought_and_the_shelf_ends_the_cycle(
    market: TestClient, world: World, worker: psycopg.Connection[Any]
) -> None:
    worker.execute(
        """INSERT INTO site (tenant_id, site_id, org_id, kind, name)
           VALUES ('acme', 'east-wh', 'east', 'warehouse', 'East')"""
    )
    transfer = {"from": "wh", "to": "east-wh", "lines": [{"sku": "tea", "units": 20}]}
    assert market.post("/v1/transfers", json=transfer, headers=key()).status_code == 201
    let_policies_order(worker)
    jobs.fulfil_proposals(worker, now(), PLANNER)
    it = proposal(market, world)
    assert (it["state"], it["outcome"], it["note"], it["order"]) == (
        "ordered",
        "transfer",
        "east-wh has the units",
        None,
    )
    held = {one["location"]: (one["on_hand"], one["atp"]) for one in market.get("/v1/stock").json()["items"]}
    assert (held["east-wh"], held.get("east-1", (0, 0))) == ((20, 4), (0, 0))  # promised, and not moved yet
    jobs.confirm_refills(worker, now())
    assert market.get("/v1/refills", params={"site": "east-1"}).json()["items"] == []
    bring(market, world)
    stock = {one["location"]: one["on_hand"] for one in market.get("/v1/stock").json()["items"]}
    assert (stock["east-wh"], stock["east-1"]) == (4, 16)
    jobs.confirm_refills(worker, now())
    (task,) = [one for one in market.get("/v1/refills").json()["items"] if one["site"] == "east-1"]
    assert (task["units"], task["state"]) == (16, "open")
    for event, units in (("z-1", 9), ("z-2", 6)):  # partial refills add up, within a unit
        assert proposal(market, world)["state"] == "ordered"
        with psycopg.connect(world.dsn) as owner:
            add_event(owner, "acme", "east-1", event, units, 22)
        jobs.confirm_refills(worker, now())
    assert proposal(market, world)["state"] == "received"


def test_what_is_moved_to_a_place_where_no_shelf_holds_it_is_received_by_the_move(
    market: TestClient, world: World, worker: psycopg.Connection[Any]
) -> None:
    let_policies_order(worker)
    worker.execute(
        """INSERT INTO site (tenant_id, site_id, org_id, kind, name)
           VALUES ('acme', 'east-wh', 'east', 'warehouse', 'East')"""
    )
    worker.execute("DELETE FROM slot WHERE tenant_id = 'acme' AND site_id = 'east-1'")
    transfer = {"from": "wh", "to": "east-wh", "lines": [{"sku": "tea", "units": 20}]}
    assert market.post("/v1/transfers", json=transfer, headers=key()).status_code == 201
    jobs.fulfil_proposals(worker, now(), PLANNER)
    assert (proposal(market, world)["state"], proposal(market, world)["outcome"]) == ("ordered", "transfer")
    jobs.confirm_refills(worker, now())
    assert proposal(market, world)["state"] == "ordered"
    bring(market, world)
    jobs.confirm_refills(worker, now())
    assert proposal(market, world)["state"] == "received"


def test_a_transfer_that_is_given_up_frees_the_shelf_and_a_proposal_that_is_over_frees_the_units(
    market: TestClient, world: World, worker: psycopg.Connection[Any]
) -> None:
    let_policies_order(worker)
    own_warehouse(worker, "east-wh", 31.2, 121.5)
    move(market, "east-wh", 20)
    jobs.fulfil_proposals(worker, now(), PLANNER)
    (it,) = transfers(market, world)
    assert (it["from"], it["to"], it["state"], it["lines"][0]["held"]) == ("east-wh", "east-1", "requested", 16)
    act(market, it, "close", reason="the van is broken")
    jobs.confirm_refills(worker, now())
    assert proposal(market, world)["state"] in ENDED
    again_at_once(worker)
    jobs.fulfil_proposals(worker, now() + timedelta(hours=2), PLANNER)
    worker.execute("UPDATE proposal SET state = 'expired' WHERE state = 'ordered'")
    jobs.confirm_refills(worker, now())
    gone, _ = market.get("/v1/transfer-requests", params={"state": "cancelled"}).json()["items"]
    assert (gone["reason"], gone["lines"][0]["held"]) == ("its proposal is expired", 0)
    (place,) = market.get("/v1/stock", params={"location": "east-wh"}).json()["items"]
    assert (place["on_hand"], place["reserved"], place["atp"]) == (20, 0, 20)


def test_two_proposals_of_one_place_are_never_promised_the_same_units(
    market: TestClient, world: World, worker: psycopg.Connection[Any]
) -> None:
    """Two stores ask a warehouse that has enough for one of them, by many workers at once."""
    credit(market, "10000.00", auto=True)
    own_warehouse(worker, "east-wh", 31.2, 121.5)
    move(market, "east-wh", 20)
    worker.execute("UPDATE site SET org_id = 'east' WHERE tenant_id = 'acme' AND site_id = 'west-1'")
    worker.execute("UPDATE stock_policy SET mode = 'auto' WHERE tenant_id = 'acme'")
    worker.execute("UPDATE slot SET capacity = 40 WHERE tenant_id = 'acme'")

    def work(_: int) -> int:
        with psycopg.connect(world.dsn, autocommit=True) as connection:
            return jobs.fulfil_proposals(connection, now(), PLANNER)

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(work, range(6))) == 2
    sent = [one for one in market.get("/v1/transfer-requests").json()["items"] if one["proposal"] is not None]
    assert [(one["from"], one["lines"][0]["held"]) for one in sent] == [("east-wh", 16)]
    (place,) = market.get("/v1/stock", params={"location": "east-wh"}).json()["items"]
    assert (place["on_hand"], place["reserved"]) == (20, 16)
    report = verify(world.dsn)
    assert report.invariants["I3"], report.broken


def test_what_lies_in_the_back_room_is_not_ordered_and_an_automatic_order_cools_down(
    market: TestClient, world: World, worker: psycopg.Connection[Any]
) -> None:
    restock(market, 1)
    transfer = {"from": "wh", "to": "east-1", "lines": [{"sku": "tea", "units": 16}]}
    market.post("/v1/transfers", json=transfer, headers=key())
    let_policies_order(worker)
    jobs.fulfil_proposals(worker, now(), PLANNER)
    assert proposal(market, world)["outcome"] == "backroom"
    worker.execute("UPDATE proposal SET state = 'received' WHERE tenant_id = 'acme' AND site_id = 'east-1'")
    again_at_once(worker)
    jobs.fulfil_proposals(worker, now(), PLANNER)
    (newest, *_) = market.get("/v1/proposals", params={"site": "east-1"}).json()["items"]
    assert (newest["state"], newest["outcome"], newest["note"][:10]) == ("open", "blocked", "cools down")
    jobs.fulfil_proposals(worker, now() + timedelta(hours=2), PLANNER)
    (newest, *_) = market.get("/v1/proposals", params={"site": "east-1"}).json()["items"]
    assert newest["state"] == "ordered"


def test_after_a_cancelled_order_the_next_cycle_waits_for_somebody_to_say_yes(
    market: TestClient, world: World, worker: psycopg.Connection[Any]
) -> None:
    let_policies_order(worker)
    jobs.fulfil_proposals(worker, now(), PLANNER)
    order = market.get(f"/v1/orders/{proposal(market, world)['order']}").json()
    match = {"If-Match": f'"{order["version"]}"'}
    market.post(f"/v1/orders/{order['id']}:cancel", json={"reason": "not now"}, headers=match)
    assert jobs.confirm_refills(worker, now()) == 1
    assert proposal(market, world)["state"] == "rejected"
    again_at_once(worker)  # a day later: tests/unit/stream/test_replenish.py
    tomorrow = now() + timedelta(days=1)
    jobs.fulfil_proposals(worker, tomorrow, PLANNER)
    (newest, *_) = market.get("/v1/proposals", params={"site": "east-1"}).json()["items"]
    assert (newest["state"], newest["outcome"]) == ("open", "blocked")
    assert newest["note"] == "the last one was turned down or its order cancelled: approve this one to order again"
    tag = {"If-Match": f'"{newest["version"]}"'}
    assert market.post(f"/v1/proposals/{newest['id']}:approve", headers=tag).status_code == 200
    jobs.fulfil_proposals(worker, tomorrow + timedelta(hours=1), PLANNER)
    assert market.get(f"/v1/proposals/{newest['id']}").json()["state"] == "ordered"


def test_a_dealer_sets_the_policies_of_its_own_stores_and_no_others(market: TestClient, world: World) -> None:
    dealer = bearer(world, "dealer@acme")
    body = {"mode": "auto", "reorder_point": 5, "target": 20}
    put = market.put("/v1/policies/east-1/tea", json=body, headers=dealer)
    assert (put.status_code, put.json()["mode"], put.json()["tuned_nightly"]) == (200, "auto", False)
    assert market.put("/v1/policies/west-1/tea", json=body, headers=dealer).status_code == 404
    assert market.put("/v1/policies/east-1/none", json=body, headers=dealer).status_code == 404
    assert market.put("/v1/policies/east-1/tea", json={**body, "target": 5}, headers=dealer).status_code == 422
    (seen,) = market.get("/v1/policies", headers=dealer).json()["items"]
    assert (seen["site"], seen["target"]) == ("east-1", 20)


def own_warehouse(worker: psycopg.Connection[Any], site: str, lat: float, lon: float) -> None:
    worker.execute(
        """INSERT INTO site (tenant_id, site_id, org_id, kind, name, lat, lon)
           VALUES ('acme', %s, 'east', 'warehouse', 'East', %s, %s)""",
        (site, lat, lon),
    )


def move(market: TestClient, place: str, units: int) -> None:
    transfer = {"from": "wh", "to": place, "lines": [{"sku": "tea", "units": units}]}
    assert market.post("/v1/transfers", json=transfer, headers=key()).status_code == 201


def test_the_cheapest_of_the_dealers_places_sends_and_what_was_weighed_can_be_read(
    market: TestClient, world: World, worker: psycopg.Connection[Any]
) -> None:
    worker.execute("UPDATE site SET lat = 31.2, lon = 121.4 WHERE tenant_id = 'acme' AND site_id = 'east-1'")
    own_warehouse(worker, "far-wh", 30.3, 120.2)
    own_warehouse(worker, "near-wh", 31.2, 121.5)
    move(market, "far-wh", 30)
    move(market, "near-wh", 10)
    let_policies_order(worker)
    jobs.fulfil_proposals(worker, now(), PLANNER)
    it = proposal(market, world)
    assert (it["outcome"], it["note"]) == ("transfer", "far-wh and near-wh have the units")
    weighed = [(one["source"], one["units"]) for one in it["considered"]]
    assert weighed == [("east-1", 0), ("far-wh", 30), ("near-wh", 10)]
    assert {(one["from"], one["lines"][0]["held"]) for one in transfers(market, world)} == {
        ("near-wh", 10),
        ("far-wh", 6),
    }
    bring(market, world)
    stock = {one["location"]: one["on_hand"] for one in market.get("/v1/stock").json()["items"]}
    assert (stock["near-wh"], stock["far-wh"], stock["east-1"]) == (0, 24, 16)
    report = verify(world.dsn)
    assert report.invariants["I3"], report.broken


def test_an_order_keeps_to_the_room_on_the_shelf_and_to_the_suppliers_minimum(
    market: TestClient, world: World, worker: psycopg.Connection[Any]
) -> None:
    credit(market, "10000.00", auto=True)
    own_warehouse(worker, "east-wh", 31.2, 121.5)
    move(market, "east-wh", 3)
    let_policies_order(worker)
    worker.execute("UPDATE slot SET capacity = 24 WHERE tenant_id = 'acme' AND site_id = 'east-1'")
    jobs.fulfil_proposals(worker, now(), PLANNER)
    it = proposal(market, world)
    # 8 of 24 lie there: a second case of ten would not fit.
    assert it["note"] == "1 case for east: allocated"
    weighed = [(one["source"], one["units"], one["cost_minor"]) for one in it["considered"]]
    assert weighed == [("east-1", 0, 0), ("east-wh", 3, 45), ("wh", 10, 600)]
    body = {"mode": "auto", "reorder_point": 8, "target": 24, "cooldown_s": 0, "min_order": 30}
    assert market.put("/v1/policies/east-1/tea", json=body).json()["min_order"] == 30
    worker.execute("UPDATE proposal SET state = 'received' WHERE tenant_id = 'acme' AND site_id = 'east-1'")
    again_at_once(worker)
    jobs.fulfil_proposals(worker, now(), PLANNER)
    (newest, *_) = market.get("/v1/proposals", params={"site": "east-1"}).json()["items"]
    assert newest["note"] == "3 case for east: allocated; the back room holds what the shelf cannot"


def test_what_people_say_of_a_way_counts_before_its_distance(
    market: TestClient, world: World, worker: psycopg.Connection[Any]
) -> None:
    worker.execute("UPDATE site SET lat = 31.2, lon = 121.4 WHERE tenant_id = 'acme' AND site_id = 'east-1'")
    own_warehouse(worker, "far-wh", 30.3, 120.2)
    own_warehouse(worker, "near-wh", 31.2, 121.5)
    move(market, "far-wh", 20)
    move(market, "near-wh", 20)
    let_policies_order(worker)
    dealer = bearer(world, "dealer@acme")
    for place, cost, allowed in (("far-wh", "0.40", True), ("near-wh", "0.00", False)):
        body = {"cost": {"amount": cost, "currency": "CNY"}, "allowed": allowed}
        put = market.put(f"/v1/transfer-lanes/{place}/east-1", json=body, headers=dealer)
        assert (put.status_code, put.json()["origin"]) == (200, place), put.text
    assert market.put("/v1/transfer-lanes/wh/east-1", json=body, headers=dealer).status_code == 404
    assert market.put("/v1/transfer-lanes/east-1/east-1", json=body).status_code == 422
    jobs.fulfil_proposals(worker, now(), PLANNER)
    it = proposal(market, world)
    assert (it["outcome"], it["note"]) == ("transfer", "far-wh has the units")
    weighed = [(one["source"], one["cost_minor"]) for one in it["considered"]]
    assert weighed == [("east-1", 0), ("far-wh", 40), ("near-wh", None)]
    assert len(market.get("/v1/transfer-lanes", headers=dealer).json()["items"]) == 2
    assert market.delete("/v1/transfer-lanes/near-wh/east-1", headers=dealer).status_code == 204
    assert market.delete("/v1/transfer-lanes/near-wh/east-1", headers=dealer).status_code == 404
