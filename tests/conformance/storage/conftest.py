"""A fresh database in every storage tier at hand; the header of the run says which those are."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from deploy.migrations import upgrade
from stream import storage
from stream.storage import Connection, Tier
from tests.services.databases import Server, clone
from tests.services.tiers import new_database, server_of, tiers_at_hand


@dataclass(frozen=True)
class Store:
    """A migrated database of one tier; ``connection`` is in autocommit mode."""

    dsn: str
    tier: Tier
    connection: Connection


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which tiers this run covered."""
    terminalreporter.write_line(tiers_at_hand())


@pytest.fixture(params=list(Tier), ids=str)
def tier(request: pytest.FixtureRequest) -> Tier:
    """Each tier that has a server."""
    tier = Tier(request.param)
    server_of(tier)
    return tier


@pytest.fixture
def empty_database(tier: Tier, postgres_server: Server) -> Iterator[str]:
    """DSN of a database without a schema on a server of the tier."""
    with new_database(server_of(tier) or postgres_server.dsn) as dsn:
        yield dsn


@pytest.fixture
def store(tier: Tier, postgres_server: Server) -> Iterator[Store]:
    """A migrated database of the tier; PostgreSQL's own is a copy of the one that was migrated for all tests."""
    with _migrated(tier, postgres_server) as dsn, storage.connect(dsn, application="tests") as connection:
        yield Store(dsn, tier, connection)


@contextmanager
def _migrated(tier: Tier, postgres_server: Server) -> Iterator[str]:
    if tier is Tier.PLAIN:
        with clone(postgres_server) as dsn:
            yield dsn
        return
    with new_database(server_of(tier)) as dsn:
        upgrade(dsn)
        yield dsn
