from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.integration.api.conftest import bearer
from tests.integration.api.world import World

TEA = {
    "sku": "tea-500",
    "name_en": "Green tea 500 ml",
    "gtin": "2000000000015",
    "unit_weight_g": 520,
    "tax_basis_points": 1300,
    "packs": [{"uom": "case", "factor": 15, "gtin": "2000000000022"}],
}


def key(name: str) -> dict[str, str]:
    return {"Idempotency-Key": name}


def price_list(name: str, level: str, target: str, amount: str, **item: Any) -> dict[str, Any]:
    price = {"sku": "tea-500", "uom": "case", "price": {"amount": amount, "currency": "CNY"}, **item}
    return {"id": name, "name": name, "level": level, "target": target, "items": [price]}


def publish(hq: TestClient, body: dict[str, Any]) -> Any:
    made = hq.post("/v1/price-lists", json=body, headers=key(body["id"]))
    assert made.status_code == 201, made.text
    return hq.post(f"/v1/price-lists/{body['id']}:publish", headers={"If-Match": '"1"'})


@pytest.fixture
def tea(hq: TestClient) -> None:
    assert hq.post("/v1/skus", json=TEA, headers=key("tea")).status_code == 201


@pytest.mark.usefixtures("tea")
def test_an_article_is_changed_by_whoever_saw_its_newest_version(hq: TestClient) -> None:
    seen = hq.get("/v1/skus/tea-500")
    assert (seen.headers["ETag"], seen.json()["packs"]) == (
        '"1"',
        [{"uom": "case", "factor": 15, "gtin": "2000000000022"}],
    )
    body = {name: value for name, value in TEA.items() if name != "sku"} | {"name_en": "Tea", "packs": []}
    assert hq.put("/v1/skus/tea-500", json=body, headers={"If-Match": '"1"'}).json()["packs"] == []
    assert hq.put("/v1/skus/tea-500", json=body, headers={"If-Match": '"1"'}).status_code == 412
    assert [item["sku"] for item in hq.get("/v1/skus", params={"q": "TEA-5"}).json()["items"]] == ["tea-500"]


@pytest.mark.parametrize(
    "change",
    [
        {"gtin": "2000000000016"},
        {"packs": [{"uom": "case", "factor": 15, "gtin": "2000000000023"}]},
        {"packs": [{"uom": "unit", "factor": 2}]},
        {"packs": [{"uom": "case", "factor": 15}, {"uom": "case", "factor": 12}]},
        {"packs": [{"uom": "case", "factor": 1}]},
    ],
)
def test_a_wrong_check_digit_or_pack_is_refused(hq: TestClient, change: dict[str, Any]) -> None:
    assert hq.post("/v1/skus", json=TEA | change, headers=key("tea")).status_code == 422


@pytest.mark.usefixtures("tea")
def test_a_gtin_names_one_pack(hq: TestClient) -> None:
    other = TEA | {"sku": "other", "packs": [{"uom": "box", "factor": 6, "gtin": "2000000000022"}]}
    assert hq.post("/v1/skus", json=other, headers=key("other")).status_code == 409


@pytest.mark.usefixtures("tea")
def test_a_dealer_sees_what_it_may_order_at_its_own_price_with_the_reason(hq: TestClient, world: World) -> None:
    dealer = bearer(world, "dealer@acme")
    assert hq.get("/v1/catalogue", headers=dealer).json()["items"] == []
    assert hq.put("/v1/orgs/brand/entitlements", json={"skus": {"*": True}}).status_code == 200
    (unpriced,) = (i for i in hq.get("/v1/catalogue", headers=dealer).json()["items"] if i["sku"] == "tea-500")
    assert (unpriced["uom"], unpriced["price"]) == ("case", None)
    assert publish(hq, price_list("all", "default", "", "75.00")).status_code == 200
    assert publish(hq, price_list("east", "org", "east", "60.00")).status_code == 200
    (own,) = (i for i in hq.get("/v1/catalogue", headers=dealer).json()["items"] if i["sku"] == "tea-500")
    assert (own["price"], own["explanation"]["list"]) == ({"amount": "60.00", "currency": "CNY"}, "east")
    assert own["explanation"]["passed_over"] == [
        {"list": "all", "level": "default", "min_qty": 1, "why": "comes later"}
    ]
    (west,) = (i for i in hq.get("/v1/catalogue", params={"org": "west"}).json()["items"] if i["sku"] == "tea-500")
    assert west["price"]["amount"] == "75.00"
    assert hq.get("/v1/catalogue", params={"org": "west"}, headers=dealer).status_code == 404
    hq.put("/v1/orgs/east/entitlements", json={"skus": {"tea-500": False}})
    assert "tea-500" not in hq.get("/v1/catalogue", headers=dealer).text


@pytest.mark.usefixtures("tea")
def test_a_tie_is_refused_when_it_is_published(hq: TestClient) -> None:
    assert publish(hq, price_list("all", "default", "", "75.00")).status_code == 200
    refused = publish(hq, price_list("also", "default", "", "70.00"))
    assert (refused.status_code, "tea-500 case from 1" in refused.json()["detail"]) == (409, True)
    assert hq.post("/v1/price-lists/all:withdraw", headers={"If-Match": '"2"'}).json()["state"] == "withdrawn"
    assert hq.post("/v1/price-lists/also:publish", headers={"If-Match": '"1"'}).json()["state"] == "published"


@pytest.mark.usefixtures("tea")
def test_a_published_list_does_not_change(hq: TestClient) -> None:
    publish(hq, price_list("all", "default", "", "75.00"))
    body = {"name": "all", "level": "default", "items": []}
    assert hq.put("/v1/price-lists/all", json=body, headers={"If-Match": '"2"'}).status_code == 409


@pytest.mark.parametrize("amount", ["75.001", "-1.00", "1e2", "NaN", "75,00"])
def test_an_amount_that_is_no_money_is_refused(hq: TestClient, amount: str) -> None:
    body = price_list("all", "default", "", amount)
    assert hq.post("/v1/price-lists", json=body, headers=key("a")).status_code == 422
