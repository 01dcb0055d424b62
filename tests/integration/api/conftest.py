"""Fixtures of the API's tests: a seeded database, and the application on it."""

from collections.abc import Iterator
from datetime import UTC, datetime

import psycopg
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from platform_api.app import create_app
from platform_api.kit.tokens import issue_access
from tests.integration.api import world as worlds
from tests.integration.api.serving import serve, settings_for
from tests.integration.api.world import PASSWORD, SECRET, World
from tests.services.databases import Server, clone


@pytest.fixture
def world(database: str) -> World:
    """Two tenants with one of everything."""
    return worlds.seed(database)


@pytest.fixture(scope="module")
def shared_world(postgres_server: Server) -> Iterator[World]:
    """The same for a module of tests that change nothing another one looks at: hashing its passwords takes time."""
    with clone(postgres_server) as dsn:
        yield worlds.seed(dsn)


@pytest.fixture
def application(world: World) -> FastAPI:
    """The application on the seeded database."""
    return create_app(settings_for(world.dsn))


@pytest.fixture
def anonymous(application: FastAPI) -> Iterator[TestClient]:
    """A client without credentials. Defects come back as answers, as a real client would see them."""
    with TestClient(application, raise_server_exceptions=False, follow_redirects=False) as client:
        yield client


@pytest.fixture
def ops(anonymous: TestClient, world: World) -> TestClient:
    """A client of acme's operations."""
    anonymous.headers["Authorization"] = f"Bearer {world.acme.key}"
    return anonymous


@pytest.fixture
def server(world: World) -> Iterator[str]:
    """Base URL of a real server on the seeded database."""
    with serve(world.dsn) as url:
        yield url


@pytest.fixture
def hq(anonymous: TestClient, world: World) -> TestClient:
    """A client of acme's headquarters."""
    anonymous.headers.update(bearer(world, "hq@acme"))
    return anonymous


def bearer(world: World, login: str) -> dict[str, str]:
    """Headers of a person, without the time that a log-in takes."""
    with psycopg.connect(world.dsn) as connection:
        row = connection.execute("SELECT user_id FROM app_user WHERE login = %s", (login,)).fetchone()
    assert row is not None
    token, _ = issue_access(row[0], secret=SECRET, now=datetime.now(UTC))
    return {"Authorization": f"Bearer {token}"}


def token_of(client: TestClient, login: str) -> dict[str, str]:
    """Headers of a person who has logged in."""
    answer = client.post("/v1/auth/token", json={"login": login, "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}
