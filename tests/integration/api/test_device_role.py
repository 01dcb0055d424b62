"""Devices that speak HTTP: principals with a key and few rights."""

from datetime import UTC, datetime
from typing import Any

import psycopg
from fastapi.testclient import TestClient

from tests.integration.api.conftest import bearer, token_of
from tests.integration.api.world import PASSWORD, World

TILL = {"login": "till-7", "role": "device", "org": "east", "name": "Till 7"}


def made(client: TestClient, body: dict[str, Any], key: str) -> Any:
    return client.post("/v1/users", json=body, headers={"Idempotency-Key": key})


def test_a_till_tells_the_sales_of_its_own_shop_by_a_key_and_sees_nothing_else(hq: TestClient) -> None:
    assert made(hq, TILL, "till").status_code == 201
    key = hq.post("/v1/api-keys", json={"login": "till-7", "name": "till"}).json()["key"]
    till = {"Authorization": f"Bearer {key}"}
    me = hq.get("/v1/me", headers=till).json()
    assert (me["role"], me["sites"]) == ("device", ["east-1"])
    sale = {"sku": "tea", "units": 1, "sold_at": datetime.now(UTC).isoformat(), "receipt": "r-7", "line": 1}
    for site, status in (("east-1", 200), ("west-1", 422)):
        answer = hq.post("/v1/pos-sales", json={"sales": [{**sale, "site": site}]}, headers=till)
        assert answer.status_code == status, answer.text
    for path in ("/v1/orders", "/v1/catalogue", "/v1/users", "/v1/readings", "/", "/v1/exports?noun=skus"):
        assert hq.get(path, headers=till).status_code == 403, path


def test_a_device_has_an_organisation_and_no_password(hq: TestClient) -> None:
    for body, where in (({**TILL, "password": PASSWORD}, "body.password"), ({**TILL, "org": None}, "body.org")):
        refused = made(hq, body, where)
        assert (refused.status_code, refused.json()["errors"][0]["where"]) == (422, where)


def test_a_person_who_becomes_a_device_can_log_in_no_more(hq: TestClient, world: World) -> None:
    assert token_of(hq, "store@acme")
    with psycopg.connect(world.dsn) as connection:
        row = connection.execute("SELECT user_id FROM app_user WHERE login = 'store@acme'").fetchone()
    assert row is not None
    body = {"role": "device", "org": "east", "name": "Till"}
    headers = {**bearer(world, "hq@acme"), "If-Match": '"1"'}
    assert hq.put(f"/v1/users/{row[0]}", json=body, headers=headers).status_code == 200
    answer = hq.post("/v1/auth/token", json={"login": "store@acme", "password": PASSWORD})
    assert answer.status_code == 401
