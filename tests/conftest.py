"""Fixtures that every part's tests share: the real services, started for them and broken by them."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from deploy.local.broker import BrokerKind, find_mosquitto, find_nats
from tests.services.brokers import BrokerHandle, run_broker
from tests.services.databases import Server, clone, prepare_cluster, run_server

# Nothing disciplines the clock of a machine that runs tests, and agents are right to say so (edge_agent/clock.py).
os.environ.setdefault("SHELFPULSE_CLOCK", "trusted")


# Machines that run tests are shared: how long an example takes says nothing about the code.
settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")


@pytest.fixture(autouse=True)
def _own_log_handlers() -> Iterator[None]:
    """What a command configured in a test's process writes to the test's own output, which ends with it."""
    root = logging.getLogger()
    before = list(root.handlers)
    yield
    for handler in set(root.handlers) - set(before):
        root.removeHandler(handler)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those that may take longest begin first: at the end one would keep all other workers waiting for it."""
    items.sort(key=_may_take_s, reverse=True)


def _may_take_s(item: pytest.Item) -> float:
    timeout = item.get_closest_marker("timeout")
    return 0.0 if timeout is None else float(timeout.args[0])


@pytest.fixture(scope="session")
def postgres_cluster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with the migrated template, for servers to begin with; one for all workers of pytest-xdist."""
    own = tmp_path_factory.getbasetemp()
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID")
    folder = own / "cluster" if run is None else own.parent / f"cluster-{run}"
    prepare_cluster(folder)
    return folder


@pytest.fixture(scope="session")
def postgres_server(postgres_cluster: Path) -> Iterator[Server]:
    """One server for each worker of pytest-xdist, with the migrated template database."""
    with run_server(postgres_cluster) as server:
        yield server


@pytest.fixture
def database(postgres_server: Server) -> Iterator[str]:
    """DSN of a fresh migrated database."""
    with clone(postgres_server) as dsn:
        yield dsn


@pytest.fixture
def own_postgres_server(postgres_cluster: Path) -> Iterator[Server]:
    """A server with the template that the test may kill: no other test uses it."""
    with run_server(postgres_cluster) as server:
        yield server


@pytest.fixture
def broker() -> Iterator[BrokerHandle]:
    """The broker that a local stack would choose on this machine."""
    with run_broker() as handle:
        yield handle


@pytest.fixture(params=[BrokerKind.MOSQUITTO, BrokerKind.NATS], ids=str)
def any_broker(request: pytest.FixtureRequest) -> Iterator[BrokerHandle]:
    """Each kind of broker in turn; one that this machine does not have is a visible skip."""
    kind = BrokerKind(request.param)
    if (find_mosquitto() if kind is BrokerKind.MOSQUITTO else find_nats()) is None:
        pytest.skip(f"{kind} is not installed here")
    with run_broker(kind) as handle:
        yield handle
