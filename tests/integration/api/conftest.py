"""Fixtures of the API's tests: a seeded database, and the application on it."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from time import monotonic
from typing import Final

import psycopg
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from psycopg.conninfo import conninfo_to_dict

from platform_api.app import create_app
from platform_api.kit.tokens import issue_access
from tests.integration.api import world as worlds
from tests.integration.api.serving import serve, settings_for
from tests.integration.api.world import PASSWORD, SECRET, World
from tests.services.databases import Server, clone

SEEDED_S: Final = 20.0
"""Tests look at what is new in their world."""


@dataclass
class Seeded:
    """A world that is seeded once for many tests, and again when it is no longer new."""

    server: Server
    kept: ExitStack
    world: World | None = None
    seeded_at_s: float = -SEEDED_S

    @contextmanager
    def copy(self) -> Iterator[World]:
        """A copy of the newest world, in a database of its own."""
        if self.world is None or monotonic() - self.seeded_at_s > SEEDED_S:
            self.kept.close()
            self.seeded_at_s = monotonic()
            self.world = worlds.seed(self.kept.enter_context(clone(self.server)))
        with clone(self.server, str(conninfo_to_dict(self.world.dsn)["dbname"])) as dsn:
            yield replace(self.world, dsn=dsn)


@pytest.fixture(scope="session")
def seeded_worlds(postgres_server: Server) -> Iterator[Seeded]:
    """Where worlds are copied from."""
    with ExitStack() as kept:
        yield Seeded(postgres_server, kept)


@pytest.fixture
def world(seeded_worlds: Seeded) -> Iterator[World]:
    """Two tenants with one of everything, seconds ago."""
    with seeded_worlds.copy() as world:
        yield world


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
