"""Orders over HTTP on a real database: credit, approval, allocation, part shipment, delivery, and races."""

import base64
import hashlib
import hmac
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import count
from typing import Any

import httpx
import psycopg
import pytest
from fastapi.testclient import TestClient

from deploy.verify import verify
from platform_api import jobs
from tests.integration.api.conftest import bearer
from tests.integration.api.world import World

KEYS = count()
PHOTO = b"\xff\xd8\xff\xe0 a van at the door"
CART = {"ship_to": "east-1", "lines": [{"sku": "tea", "uom": "case", "packs": 2}]}


def key() -> dict[str, str]:
    return {"Idempotency-Key": f"key-{next(KEYS)}"}


@pytest.fixture
def market(hq: TestClient, world: World) -> TestClient:
    """A warehouse with 50 units, a price of 60.00 a case of ten with 13 % tax, and 500.00 of credit for dealer east."""
    with psycopg.connect(world.dsn) as owner:
        owner.execute(
            """INSERT INTO site (tenant_id, site_id, org_id, kind, name)
               VALUES ('acme', 'wh', 'brand', 'warehouse', 'Warehouse')"""
        )
    tea = {
        "name_en": "Green tea",
        "unit_weight_g": 520,
        "tax_basis_points": 1300,
        "packs": [{"uom": "case", "factor": 10}],
    }
    hq.put("/v1/skus/tea", json=tea, headers={"If-Match": '"1"'})
    price = {"sku": "tea", "uom": "case", "price": {"amount": "60.00", "currency": "CNY"}}
    hq.post("/v1/price-lists", json={"id": "all", "name": "All", "level": "default", "items": [price]}, headers=key())
    hq.post("/v1/price-lists/all:publish", headers={"If-Match": '"1"'})
    hq.put("/v1/orgs/brand/entitlements", json={"skus": {"*": True}})
    credit(hq, "500.00")
    restock(hq, 50)
    return hq


def credit(hq: TestClient, limit: str, *, auto: bool = False) -> None:
    body = {"limit": {"amount": limit, "currency": "CNY"}, "auto_approve": auto}
    assert hq.put("/v1/orgs/east/credit", json=body).status_code == 200


def restock(hq: TestClient, units: int) -> None:
    line = {"sku": "tea", "units": units, "cost": {"amount": f"{units}.00", "currency": "CNY"}}
    assert hq.post("/v1/receipts", json={"to": "wh", "lines": [line]}, headers=key()).status_code == 201


def order(client: TestClient, headers: dict[str, str], packs: int = 2) -> dict[str, Any]:
    body = {**CART, "lines": [{"sku": "tea", "uom": "case", "packs": packs}]}
    made = client.post("/v1/orders", json=body, headers={**headers, **key()})
    assert made.status_code == 201, made.text
    return dict(made.json())


def act(client: TestClient, it: dict[str, Any], action: str, headers: dict[str, str] | None = None, **body: Any) -> Any:
    match = {"If-Match": f'"{it["version"]}"'}
    return client.post(f"/v1/orders/{it['id']}:{action}", headers={**(headers or {}), **match}, json=body or None)


def ship(client: TestClient, it: dict[str, Any], **body: Any) -> Any:
    headers = {"If-Match": f'"{it["version"]}"', **key()}
    return client.post(f"/v1/orders/{it['id']}/shipments", json={"carrier": "van", **body}, headers=headers)


def account(hq: TestClient) -> dict[str, str]:
    (one,) = hq.get("/v1/credit-accounts").json()["items"]
    return {name: one[name]["amount"] for name in ("receivable", "committed", "free")}


def holds(world: World) -> None:
    report = verify(world.dsn)
    assert (report.invariants["I3"], report.invariants["I5"]) == (True, True), report.broken


def test_a_dealer_orders_and_every_unit_of_money_is_explained(market: TestClient, world: World) -> None:
    dealer = bearer(world, "dealer@acme")
    quote = market.post("/v1/quotes", json=CART, headers=dealer).json()
    assert (quote["org"], quote["ship_from"], quote["lines"][0]["available"]) == ("east", "wh", 50)
    draft = order(market, dealer)
    assert [draft[name]["amount"] for name in ("net", "adjustments", "total")] == ["120.00", "15.60", "135.60"]
    assert draft["total"] == quote["total"]
    (line,) = draft["lines"]
    assert line["explanation"]["list"] == "all"
    assert line["adjustments"][0]["explanation"] == {"basis_points": 1300, "of_minor": 12000, "tax_minor": 1560}
    sent = act(market, draft, "submit", dealer)
    assert (sent.status_code, sent.json()["state"]) == (200, "submitted"), sent.text
    assert account(market) == {"receivable": "0.00", "committed": "135.60", "free": "364.40"}
    approved = act(market, sent.json(), "approve").json()
    assert (approved["state"], approved["lines"][0]["reserved"]) == ("allocated", 20)
    assert [one["action"] for one in approved["history"]] == ["submit", "approve", "allocate"]
    holds(world)


def test_what_goes_wrong_is_told_line_by_line(market: TestClient, world: World) -> None:
    dealer = bearer(world, "dealer@acme")
    market.put("/v1/orgs/east/entitlements", json={"skus": {"sku-acme": False}})
    lines = [
        {"sku": sku, "uom": uom, "packs": 1} for sku, uom in (("tea", "box"), ("sku-acme", "unit"), ("tea", "unit"))
    ]
    refused = market.post("/v1/orders", json={**CART, "lines": lines}, headers={**dealer, **key()})
    assert refused.status_code == 422
    assert [(one["where"], one["message"]) for one in refused.json()["errors"]] == [
        ("body.lines.0", "no such SKU or pack"),
        ("body.lines.1", "is not in your assortment"),
        ("body.lines.2", "nobody has set a price"),
    ]
    for change in ({"ship_to": "west-1"}, {"ship_from": "east-1"}, {"ship_to": ".loss"}):
        assert market.post("/v1/orders", json={**CART, **change}, headers={**dealer, **key()}).status_code == 422
    assert market.post("/v1/orders", json={**CART, "org": "west"}, headers={**dealer, **key()}).status_code == 404


def test_an_order_beyond_the_credit_is_held_until_somebody_may_and_says_why(market: TestClient, world: World) -> None:
    dealer = bearer(world, "dealer@acme")
    held = act(market, order(market, dealer, packs=8), "submit", dealer).json()
    assert (held["state"], account(market)["committed"]) == ("credit_hold", "0.00")
    assert act(market, held, "approve").status_code == 409
    assert act(market, held, "override", dealer, reason="please").status_code == 403
    released = act(market, held, "override", reason="agreed with finance").json()
    assert (released["state"], released["lines"][0]["reserved"], released["lines"][0]["back_ordered"]) == (
        "allocated",
        50,
        30,
    )
    assert released["history"][1]["reason"] == "agreed with finance"
    assert account(market)["free"] == "-42.40"
    assert ship(market, released).json()["state"] == "part_shipped"
    holds(world)


def test_an_order_ships_in_parts_as_units_come_and_is_delivered_against_a_signature(
    market: TestClient, world: World
) -> None:
    credit(market, "10000.00", auto=True)
    dealer = bearer(world, "dealer@acme")
    it = act(market, order(market, dealer, packs=7), "submit", dealer).json()
    assert (it["state"], it["lines"][0]["reserved"], it["lines"][0]["back_ordered"]) == ("allocated", 50, 20)
    part = ship(market, it, tracking_no="T1", units={"1": 33})
    assert (part.status_code, part.json()["state"]) == (201, "part_shipped"), part.text
    assert account(market) == {"receivable": "223.74", "committed": "250.86", "free": "9525.40"}
    assert act(market, part.json(), "cancel", dealer, reason="too late").status_code == 409
    restock(market, 100)
    with psycopg.connect(world.dsn, autocommit=True) as connection:
        assert jobs.allocate_back_orders(connection, datetime.now(UTC)) == 1
    it = market.get(f"/v1/orders/{it['id']}").json()
    assert ship(market, it, tracking_no="T1").status_code == 409
    rest = ship(market, it, tracking_no="T2")
    assert (rest.json()["state"], rest.json()["lines"][0]["shipped"]) == ("shipped", 70)
    assert account(market) == {"receivable": "474.60", "committed": "0.00", "free": "9525.40"}
    signed = {"signer": "Sun Li", "at": datetime.now(UTC).isoformat(), "photo": base64.b64encode(PHOTO).decode()}
    first = market.post(f"{part.headers['Location']}:deliver", json=signed, headers={**dealer, **key()})
    assert (first.status_code, first.json()["state"]) == (201, "shipped"), first.text
    short = {**signed, "accepted": {"1": 35}}
    last = market.post(f"{rest.headers['Location']}:deliver", json=short, headers={**dealer, **key()})
    assert (last.json()["state"], last.json()["lines"][0]["delivered"]) == ("delivered", 68)
    again = market.post(f"{rest.headers['Location']}:deliver", json=short, headers={**dealer, **key()})
    assert again.status_code == 409
    shipment = market.get(rest.headers["Location"], headers=dealer).json()
    assert (shipment["proof"]["signer"], shipment["lines"][0]["accepted"]) == ("Sun Li", 35)
    stock = {one["location"]: one["on_hand"] for one in market.get("/v1/stock").json()["items"]}
    # Two were refused at the door: they are on their way back, and nobody owes them.
    assert (stock["wh"], stock["east-1"], stock[".transit"]) == (80, 68, 2)
    assert account(market) == {"receivable": "461.04", "committed": "0.00", "free": "9538.96"}
    holds(world)


def test_a_cancelled_order_gives_back_its_units_and_its_credit(market: TestClient, world: World) -> None:
    credit(market, "500.00", auto=True)
    dealer = bearer(world, "dealer@acme")
    it = act(market, order(market, dealer), "submit", dealer).json()
    done = act(market, it, "cancel", dealer, reason="ordered twice").json()
    assert (done["state"], done["lines"][0]["reserved"]) == ("cancelled", 0)
    assert account(market) == {"receivable": "0.00", "committed": "0.00", "free": "500.00"}
    (stock,) = market.get("/v1/stock", params={"location": "wh"}).json()["items"]
    assert stock["reserved"] == 0
    holds(world)


def test_a_cart_is_changed_by_whoever_saw_its_newest_version_and_priced_anew_when_submitted(
    market: TestClient, world: World
) -> None:
    dealer = bearer(world, "dealer@acme")
    it = order(market, dealer)
    path = f"/v1/orders/{it['id']}"
    body = {**CART, "lines": [{"sku": "tea", "uom": "case", "packs": 3}]}
    changed = market.put(path, json=body, headers={**dealer, "If-Match": '"1"'})
    assert (changed.status_code, changed.headers["ETag"], changed.json()["net"]["amount"]) == (200, '"2"', "180.00")
    assert market.put(path, json=body, headers={**dealer, "If-Match": '"1"'}).status_code == 412
    price = {"sku": "tea", "uom": "case", "price": {"amount": "50.00", "currency": "CNY"}}
    east = {"id": "east", "name": "East", "level": "org", "target": "east", "items": [price]}
    market.post("/v1/price-lists", json=east, headers=key())
    market.post("/v1/price-lists/east:publish", headers={"If-Match": '"1"'})
    sent = act(market, changed.json(), "submit", dealer).json()
    assert (sent["net"]["amount"], sent["lines"][0]["explanation"]["list"]) == ("150.00", "east")
    assert market.put(path, json=body, headers={**dealer, "If-Match": f'"{sent["version"]}"'}).status_code == 409


def test_discounts_are_agreed_by_operations_explained_line_by_line_and_kept_when_submitted(
    market: TestClient, world: World
) -> None:
    dealer = bearer(world, "dealer@acme")
    lines = [{"sku": "tea", "uom": "case", "packs": packs} for packs in (1, 2)]
    it = market.post("/v1/orders", json={**CART, "lines": lines}, headers={**dealer, **key()}).json()
    path = f"/v1/orders/{it['id']}/discounts"
    agreed = {
        "order": {"basis_points": 333, "reason": "spring fair"},
        "lines": {"2": {"basis_points": 1000, "reason": "dented"}},
    }
    match = {"If-Match": '"1"'}
    assert market.put(path, json=agreed, headers={**dealer, **match}).status_code == 403
    assert market.put(path, json={"lines": {"9": agreed["order"]}}, headers=match).status_code == 422
    it = market.put(path, json=agreed, headers=match).json()
    # 180.00 less 12.00 of line 2, less 3.33 % of 168.00, plus 13 % of 162.41.
    assert [it[name]["amount"] for name in ("net", "adjustments", "total")] == ["180.00", "3.52", "183.52"]
    taken = [(one["kind"], one["amount"]["amount"]) for one in it["lines"][1]["adjustments"]]
    assert taken == [("discount", "-3.59"), ("line_discount", "-12.00"), ("tax", "13.57")]
    assert it["lines"][1]["adjustments"][1]["explanation"]["reason"] == "dented"
    sent = act(market, it, "submit", dealer).json()
    assert (sent["total"]["amount"], sent["state"]) == ("183.52", "submitted")
    assert market.put(path, json=agreed, headers={"If-Match": f'"{sent["version"]}"'}).status_code == 409
    holds(world)


def test_an_amount_is_taken_off_before_tax_and_never_more_than_there_is(market: TestClient, world: World) -> None:
    it = order(market, bearer(world, "dealer@acme"))
    path = f"/v1/orders/{it['id']}/discounts"
    amount = {"amount": "20.00", "currency": "CNY"}
    for wrong in (
        {"reason": "both of them", "basis_points": 1, "amount": amount},
        {"reason": "none of them"},
        {"reason": "a gain", "amount": {**amount, "amount": "-1.00"}},
        {"reason": "elsewhere", "amount": {**amount, "currency": "USD"}},
    ):
        assert market.put(path, json={"order": wrong}, headers={"If-Match": '"1"'}).status_code == 422
    agreed = {"order": {"amount": amount, "reason": "display fee"}}
    it = market.put(path, json=agreed, headers={"If-Match": '"1"'}).json()
    # 120.00 less 20.00, plus 13 % of 100.00.
    assert [it[name]["amount"] for name in ("net", "adjustments", "total")] == ["120.00", "-7.00", "113.00"]
    taken = it["lines"][0]["adjustments"][0]["explanation"]
    assert taken == {"amount_minor": 2000, "of_minor": 12000, "discount_minor": -2000, "reason": "display fee"}
    all_of_it = {"lines": {"1": {"amount": {**amount, "amount": "500.00"}, "reason": "a gift"}}}
    it = market.put(path, json=all_of_it, headers={"If-Match": '"2"'}).json()
    assert it["total"]["amount"] == "0.00"
    holds(world)


def test_a_changed_cart_loses_the_discounts_that_were_agreed_for_another(market: TestClient, world: World) -> None:
    dealer = bearer(world, "dealer@acme")
    it = order(market, dealer)
    agreed = {"order": {"basis_points": 1000, "reason": "spring fair"}}
    it = market.put(f"/v1/orders/{it['id']}/discounts", json=agreed, headers={"If-Match": '"1"'}).json()
    assert it["adjustments"]["amount"] == "2.04"
    changed = market.put(f"/v1/orders/{it['id']}", json=CART, headers={**dealer, "If-Match": '"2"'}).json()
    assert changed["adjustments"]["amount"] == "15.60"
    holds(world)


def test_a_payment_is_noted_once_whatever_key_it_comes_with(market: TestClient) -> None:
    body = {"org": "east", "amount": {"amount": "50.00", "currency": "CNY"}, "reference": "bank 17", "deposit": True}
    assert market.post("/v1/payments", json=body, headers=key()).status_code == 201
    assert market.post("/v1/payments", json=body, headers=key()).status_code == 409
    assert account(market)["free"] == "550.00"
    (entry,) = market.get("/v1/receivables").json()["items"]
    assert (entry["kind"], entry["amount"]["amount"]) == ("deposit", "-50.00")


def test_forty_buyers_of_two_cases_leave_nobody_with_units_that_are_not_there(
    market: TestClient, world: World, server: str
) -> None:
    credit(market, "1000000.00", auto=True)
    headers = bearer(world, "dealer@acme")
    orders = [order(market, headers, packs=1) for _ in range(40)]

    def buy(it: dict[str, Any]) -> int:
        answer = httpx.post(
            f"{server}/v1/orders/{it['id']}:submit", headers={**headers, "If-Match": '"1"'}, timeout=120
        )
        assert answer.status_code == 200, answer.text
        return int(answer.json()["lines"][0]["reserved"])

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(buy, orders)) == 50
    (stock,) = market.get("/v1/stock", params={"location": "wh"}).json()["items"]
    assert (stock["on_hand"], stock["reserved"]) == (50, 50)
    holds(world)


def test_two_orders_at_once_do_not_spend_the_same_credit(market: TestClient, world: World, server: str) -> None:
    headers = bearer(world, "dealer@acme")
    orders = [order(market, headers, packs=4) for _ in range(6)]  # 271.20 each, of 500.00

    def buy(it: dict[str, Any]) -> str:
        url = f"{server}/v1/orders/{it['id']}:submit"
        return str(httpx.post(url, headers={**headers, "If-Match": '"1"'}, timeout=120).json()["state"])

    with ThreadPoolExecutor(6) as pool:
        states = sorted(pool.map(buy, orders))
    assert states == ["credit_hold"] * 5 + ["submitted"]
    assert account(market)["committed"] == "271.20"


def test_a_carrier_tells_its_events_signed_and_each_counts_once(market: TestClient, world: World) -> None:
    credit(market, "500.00", auto=True)
    made = market.post("/v1/carriers", json={"id": "sf", "kind": "webhook", "name": "SF"}).json()
    it = act(market, order(market, bearer(world, "dealer@acme")), "submit").json()
    sent = ship(market, it, carrier="sf", tracking_no="SF1")
    events = [("e2", "out_for_delivery"), ("e1", "in_transit"), ("e2", "out_for_delivery"), ("e3", "delivered")]
    for event, state in events:
        assert tell(market, made["secret"], event, state).status_code == 204
    shipment = market.get(sent.headers["Location"]).json()
    assert (shipment["state"], [one["id"] for one in shipment["events"]]) == ("out_for_delivery", ["e1", "e2", "e3"])
    assert tell(market, "whsec_" + base64.b64encode(b"x" * 32).decode(), "e4", "in_transit").status_code == 401
    assert tell(market, made["secret"], "e4", "in_transit", age_s=900).status_code == 401
    assert tell(market, made["secret"], "e4", "in_transit", number="none").status_code == 404
    assert tell(market, made["secret"], "e4", "lost in space").status_code == 422
    assert tell(market, made["secret"], "e4", "in_transit", tenant="bravo").status_code == 401


def tell(client: TestClient, secret: str, event: str, state: str, **other: Any) -> Any:
    hour = {"e1": 1, "e2": 2, "e3": 3}.get(event, 4)
    number, tenant = other.get("number", "SF1"), other.get("tenant", "acme")
    told = {"event_id": event, "tracking_no": number, "state": state, "at": f"2026-01-05T0{hour}:00:00Z"}
    body = json.dumps(told).encode()
    stamp = str(int(datetime.now(UTC).timestamp()) - other.get("age_s", 0))
    digest = hmac.new(base64.b64decode(secret[6:]), f"m.{stamp}.".encode() + body, hashlib.sha256).digest()
    signature = "v1," + base64.b64encode(digest).decode()
    headers = {"webhook-id": "m", "webhook-timestamp": stamp, "webhook-signature": signature}
    return client.post(f"/v1/carrier-events/{tenant}/sf", content=body, headers=headers)


def test_goods_do_not_leave_when_the_dealer_is_beyond_the_credit_by_then(market: TestClient, world: World) -> None:
    credit(market, "500.00", auto=True)
    dealer = bearer(world, "dealer@acme")
    it = act(market, order(market, dealer), "submit", dealer).json()
    credit(market, "100.00")
    refused = ship(market, it)
    assert (refused.status_code, refused.json()["detail"]) == (409, "the dealer is beyond their credit by now")
    credit(market, "135.60")
    assert ship(market, it).json()["state"] == "shipped"
    holds(world)
