"""Fixtures of the stream's tests: a real process between a real broker and a real PostgreSQL."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from deploy.local.ports import free_port
from deploy.migrations import upgrade
from tests.integration.stream.running import Device, Platform, connect_device
from tests.services.brokers import BrokerHandle
from tests.services.databases import clone
from tests.services.tiers import new_database


@pytest.fixture
def database(request: pytest.FixtureRequest) -> Iterator[str]:
    """DSN of a fresh migrated database: on the server of TEST_STREAM_DSN when that is set, else as everywhere."""
    server = os.environ.get("TEST_STREAM_DSN")
    if server is None:
        with clone(request.getfixturevalue("postgres_server")) as dsn:
            yield dsn
        return
    with new_database(server) as dsn:
        upgrade(dsn)
        yield dsn


@pytest.fixture
def device(broker: BrokerHandle) -> Iterator[Device]:
    """A device at ADDRESS."""
    with connect_device(broker) as connected:
        yield connected


@pytest.fixture
def platform(database: str, broker: BrokerHandle, tmp_path: Path) -> Iterator[Platform]:
    """The registry of one store, and a stream that the test starts."""
    with run_platform(database, broker, tmp_path) as running:
        yield running


@pytest.fixture
def any_platform(database: str, any_broker: BrokerHandle, tmp_path: Path) -> Iterator[Platform]:
    """The same on each kind of broker."""
    with run_platform(database, any_broker, tmp_path) as running:
        yield running


@pytest.fixture
def registered(database: str) -> str:
    """DSN of a database with the registry of one store."""
    register(database)
    return database


def register(database: str) -> None:
    """Three gateways at a store, two of them with a slot."""
    with psycopg.connect(database) as connection:
        connection.execute("INSERT INTO tenant (tenant_id, name) VALUES ('acme', 'Acme')")
        connection.execute(
            "INSERT INTO site (tenant_id, site_id, name) VALUES ('acme', 's1', 'One'), ('acme', 's2', 'Two')"
        )
        connection.execute(
            "INSERT INTO gateway (tenant_id, gateway_id, site_id)"
            " VALUES ('acme', 'g1', 's1'), ('acme', 'g2', 's1'), ('acme', 'g3', 's1')"
        )
        connection.execute("INSERT INTO sku (tenant_id, sku, unit_weight_g) VALUES ('acme', 'cola', 330)")
        connection.execute(
            "INSERT INTO slot (tenant_id, gateway_id, slot_id, site_id, channel, sku, unit_weight_g, capacity)"
            " VALUES ('acme', 'g1', 'b1', 's1', 'b1.weight_g', 'cola', 330, 20),"
            "        ('acme', 'g2', 'b1', 's1', 'b1.weight_g', 'cola', 330, 20)"
        )


@contextmanager
def run_platform(database: str, broker: BrokerHandle, state: Path) -> Iterator[Platform]:
    """The registry of one store, and a stream that the test starts."""
    register(database)
    running = Platform(database, broker, state, free_port())
    yield running
    for process in [running.process, *running.extra]:
        if process is not None and process.poll() is None:
            process.kill()
            process.wait()
