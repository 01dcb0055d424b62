"""Servers of the storage tiers, and empty databases on them."""

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from stream.storage import Tier

SERVERS: Final = {Tier.TSL: "TEST_TIMESCALE_DSN", Tier.APACHE: "TEST_TIMESCALE_APACHE_DSN"}
"""Variables with the address of a server that the tests may create databases on."""
_NUMBERS = itertools.count(1)


def server_of(tier: Tier) -> str:
    """DSN of the tier's server, "" for PostgreSQL alone; skips the test when there is none."""
    if tier is Tier.PLAIN:
        return ""
    server = os.environ.get(SERVERS[tier])
    if not server:
        pytest.skip(f"{SERVERS[tier]} is not set")
    return server


def tiers_at_hand() -> str:
    """Which tiers a run covers, for its header or summary."""
    said = [
        f"{tier}: {'tested' if os.environ.get(name) else f'skipped, {name} is not set'}"
        for tier, name in SERVERS.items()
    ]
    return f"storage tiers: plain: tested; {'; '.join(said)}"


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
