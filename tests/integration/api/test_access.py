"""Every role against every route, complete by construction."""

from http import HTTPStatus

import psycopg
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from platform_api.kit.auth import DEVICE_ROUTES, Role
from platform_api.tenancy import service
from tests.integration.api.access import ACCESS, WHOLE
from tests.integration.api.conftest import bearer
from tests.integration.api.test_every_route import OPEN, filled, routes
from tests.integration.api.world import World

LOGINS = {Role.AUDITOR: "audit"}


@pytest.fixture
def world(shared_world: World) -> World:
    """Nothing is changed here: what the paths name does not exist, and bodies are missing."""
    return shared_world


def guarded(application: FastAPI) -> set[str]:
    return {
        f"{method} {path}"
        for method, path in routes(application)
        if (method, path) not in OPEN and not path.startswith("/session/")
    }


def test_each_route_has_its_row(application: FastAPI) -> None:
    assert guarded(application) == ACCESS.keys()


@pytest.mark.parametrize("role", list(Role))
def test_a_role_is_refused_where_the_table_does_not_name_it_and_nowhere_else(
    role: Role, application: FastAPI, anonymous: TestClient, world: World
) -> None:
    refused = refusals(application, anonymous, bearer(world, f"{LOGINS.get(role, role.value)}@acme"))
    assert refused == {route for route, roles in ACCESS.items() if role not in roles}


def refusals(application: FastAPI, anonymous: TestClient, headers: dict[str, str]) -> set[str]:
    """Routes that answer 403."""
    application.state.limits._requests._per_s = 1e6
    refused = set()
    for route in ACCESS:
        method, _, path = route.partition(" ")
        # A stream would not end; nonsense is refused after the role was judged.
        target = "/v1/live?series=x" if path == "/v1/live" else filled(path)
        if anonymous.request(method, target, headers=headers).status_code == HTTPStatus.FORBIDDEN:
            refused.add(route)
    return refused


def test_headquarters_of_a_part_may_not_ask_what_concerns_the_whole(
    application: FastAPI, anonymous: TestClient, world: World
) -> None:
    with psycopg.connect(world.dsn) as connection:
        for login, org in (("regional@acme", "east"), ("root@acme", "brand")):
            service.create_user(connection, tenant_id="acme", login=login, password=None, role=Role.HQ, org_id=org)
    assert refusals(application, anonymous, bearer(world, "regional@acme")) == WHOLE | {
        route for route, roles in ACCESS.items() if Role.HQ not in roles
    }
    # Who is of the organisation above all others is of the whole.
    regional, root = bearer(world, "regional@acme"), bearer(world, "root@acme")
    for path in ("/v1/exports?noun=users", "/v1/exports?noun=audit-log", "/v1/users"):
        assert anonymous.get(path, headers=regional).status_code == 403, path
        assert anonymous.get(path, headers=root).status_code == 200, path


def test_what_the_table_says_of_devices_is_what_the_code_says() -> None:
    assert {route for route, roles in ACCESS.items() if Role.DEVICE in roles} == DEVICE_ROUTES
