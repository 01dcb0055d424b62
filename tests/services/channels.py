"""The demo's channel in a database of its own, for tests of pages and of whatever reads much data."""

from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg

from deploy.demo import files, market
from deploy.demo.channel.seeding import seed_channel
from deploy.demo.people import ensure_people
from deploy.local.discovery import Login
from platform_api.imports.service import import_csv
from platform_api.tenancy.service import create_tenant

UNTIL = datetime(2026, 4, 6, 4, tzinfo=UTC)
"""Until when the history goes, whenever the tests run: it is the same each time."""


def register_companies(dsn: str) -> list[Login]:
    """The demo's companies, stores, shelves and people, as `up --demo` registers them; their log-ins."""
    with psycopg.connect(dsn) as connection, TemporaryDirectory() as folder:
        create_tenant(connection, market.TENANT, market.TENANT_NAME)
        for kind, text in files.tables().items():
            assert import_csv(connection, kind, text.encode()).faults == ()
        return ensure_people(connection, Path(folder) / "people.json").logins


def seed(dsn: str, until: datetime = UNTIL) -> dict[str, int]:
    """A quarter of trade until then; how much there is."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        return seed_channel(connection, until, lambda _: None)
