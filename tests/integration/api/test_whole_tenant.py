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
