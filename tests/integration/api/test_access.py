"""Every role against every route, complete by construction."""

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from platform_api.kit.auth import Role
from tests.integration.api.access import ACCESS
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
    headers = bearer(world, f"{LOGINS.get(role, role.value)}@acme")
    application.state.limits._requests._per_s = 1e6
    wrong = {}
    for route in ACCESS:
        method, _, path = route.partition(" ")
        # A stream would not end; nonsense is refused after the role was judged.
        target = "/v1/live?series=x" if path == "/v1/live" else filled(path)
        status = anonymous.request(method, target, headers=headers).status_code
        if (status == 403) is (role in ACCESS[route]):
            wrong[route] = status
    assert wrong == {}
