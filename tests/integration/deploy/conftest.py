"""Fixtures of the tests of brokers and of what keeps them."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.deploy.mqtt_client import Client, Connect


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Makes clients that are closed after the test."""
    clients: list[Client] = []

    def make(*args: Any, **options: Any) -> Client:
        clients.append(Client(*args, **options))
        return clients[-1]

    yield make
    for client in clients:
        client.close()
