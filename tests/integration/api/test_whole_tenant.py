"""What concerns all of a tenant is not for headquarters of a part of it."""

import psycopg
from fastapi.testclient import TestClient

from platform_api.tenancy import service
from tests.integration.api.conftest import bearer
from tests.integration.api.world import World


def test_headquarters_of_a_part_do_not_manage_the_people_and_keys_of_the_whole(
    anonymous: TestClient, world: World
) -> None:
    with psycopg.connect(world.dsn) as connection:
        for login, org in (("regional@acme", "east"), ("root@acme", "brand")):
            service.create_user(connection, tenant_id="acme", login=login, password=None, role="hq", org_id=org)
    exports = ("/v1/exports?noun=users", "/v1/exports?noun=audit-log")
    for path in ("/v1/users", "/v1/api-keys", "/v1/audit-log", *exports):
        assert anonymous.get(path, headers=bearer(world, "regional@acme")).status_code == 403, path
        assert anonymous.get(path, headers=bearer(world, "root@acme")).status_code == 200, path
    for path, body in (
        ("/v1/users", {"login": "mine@acme", "role": "hq", "name": "Mine"}),
        ("/v1/api-keys", {"login": "hq@acme", "name": "mine"}),
        ("/v1/orgs", {"id": "north", "kind": "dealer", "name": "North"}),
    ):
        headers = {**bearer(world, "regional@acme"), "Idempotency-Key": path}
        assert anonymous.post(path, json=body, headers=headers).status_code == 403, path


def test_headquarters_of_a_part_change_what_is_theirs_and_nothing_of_the_whole(
    anonymous: TestClient, world: World
) -> None:
    with psycopg.connect(world.dsn) as connection:
        service.create_user(
            connection, tenant_id="acme", login="regional@acme", password=None, role="hq", org_id="east"
        )
        connection.execute(
            "INSERT INTO credit_account (tenant_id, org_id, currency, limit_minor) VALUES ('acme', 'west', 'CNY', 0)"
        )
    money = {"amount": "900.00", "currency": "CNY"}
    asked = bearer(world, "regional@acme")

    def send(method: str, path: str, body: object, **headers: str) -> int:
        return int(anonymous.request(method, path, json=body, headers={**asked, **headers}).status_code)

    for org, expected in (("west", 404), ("east", 200)):
        assert send("PUT", f"/v1/orgs/{org}/credit", {"limit": money}) == expected
        assert send("PUT", f"/v1/orgs/{org}/entitlements", {"skus": {"*": True}}) == expected
    for org, status in (("west", 404), ("east", 201)):
        payment = {"org": org, "amount": money, "reference": f"bank {org}"}
        assert send("POST", "/v1/payments", payment, **{"Idempotency-Key": org}) == status
    tea = {"name_en": "Tea", "unit_weight_g": 1}
    for method, path, body, headers in (
        ("PUT", "/v1/skus/tea", tea, {"If-Match": '"1"'}),
        ("POST", "/v1/price-lists", {"id": "all", "name": "All", "level": "default"}, {"Idempotency-Key": "a"}),
        ("POST", "/v1/carriers", {"id": "sf", "kind": "webhook", "name": "SF"}, {}),
        ("POST", "/v1/stock-periods", {"month": "2026-01-01"}, {"Idempotency-Key": "b"}),
    ):
        assert send(method, path, body, **headers) == 403, path
