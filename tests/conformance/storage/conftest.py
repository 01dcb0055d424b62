"""A fresh database in every storage tier at hand; the header of the run says which those are."""

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from deploy.migrations import upgrade
from stream import storage
from stream.storage import Connection, Tier
from tests.services.databases import Server

SERVERS: Final = {Tier.TSL: "TEST_TIMESCALE_DSN", Tier.APACHE: "TEST_TIMESCALE_APACHE_DSN"}
"""Variables with the address of a server that the tests may create databases on."""
_NUMBERS = itertools.count(1)


@dataclass(frozen=True)
class Store:
    """A migrated database of one tier; ``connection`` is in autocommit mode."""

    dsn: str
    tier: Tier
    connection: Connection


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which tiers this run covered."""
    said = [
        f"{tier}: {'tested' if os.environ.get(name) else f'skipped, {name} is not set'}"
        for tier, name in SERVERS.items()
    ]
    terminalreporter.write_line(f"storage tiers: plain: tested; {'; '.join(said)}")


@contextmanager
def new_database(server_dsn: str) -> Iterator[str]:
    """DSN of an empty database on a server; dropped afterwards."""
    name = f"shelfpulse_test_{os.getpid()}_{next(_NUMBERS)}"
    with psycopg.connect(server_dsn, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    try:
        yield make_conninfo(server_dsn, dbname=name)
    finally:
        with psycopg.connect(server_dsn, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture(params=list(Tier), ids=str)
def tier(request: pytest.FixtureRequest) -> Tier:
    """Each tier that has a server."""
    tier = Tier(request.param)
    if tier is not Tier.PLAIN and not os.environ.get(SERVERS[tier]):
        pytest.skip(f"{SERVERS[tier]} is not set")
    return tier


@pytest.fixture
def empty_database(tier: Tier, postgres_server: Server) -> Iterator[str]:
    """DSN of a database without a schema on a server of the tier."""
    server_dsn = postgres_server.dsn if tier is Tier.PLAIN else os.environ[SERVERS[tier]]
    with new_database(server_dsn) as dsn:
        yield dsn


@pytest.fixture
def store(empty_database: str, tier: Tier) -> Iterator[Store]:
    """A migrated database of the tier."""
    upgrade(empty_database)
    with storage.connect(empty_database, application="tests") as connection:
        yield Store(empty_database, tier, connection)
