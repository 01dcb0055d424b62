"""A real PostgreSQL for the tests of one worker, and a fresh migrated database for each test that asks."""

import itertools
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg

from deploy.local.account import service_account
from deploy.local.deadline import wait_until
from deploy.local.ports import free_port
from deploy.local.postgres import Postgres
from deploy.local.process import Child
from deploy.migrations import upgrade

TEMPLATE: Final = "template_shelfpulse"


@dataclass(frozen=True)
class Server:
    """A running server. ``kill`` and ``start`` break and mend it; its port and data stay."""

    postgres: Postgres
    children: list[Child]

    @property
    def dsn(self) -> str:
        """DSN of the database ``postgres``."""
        return self.postgres.dsn("postgres")

    def kill(self) -> None:
        """Kill -9 the server and all of its backends."""
        self.children.pop().kill()

    def start(self) -> None:
        """Start it again, and wait until it takes queries."""
        self.postgres.prepare()
        child = Child(self.postgres.spec())
        self.children.append(child)
        ready = wait_until(lambda: child.poll() is not None or self.postgres.is_ready(), 60)
        assert ready, self.postgres.log.read_text()
        assert child.poll() is None, self.postgres.log.read_text()


@contextmanager
def run_server() -> Iterator[Server]:
    """A server of its own in a temporary folder that its unprivileged user can reach (pytest's are closed to it)."""
    home = Path(tempfile.mkdtemp(prefix="shelfpulse-pg-"))
    home.chmod(0o711)
    postgres = Postgres(
        home=home,
        port=free_port(),
        password="test",
        log=home / "postgres.log",
        account=service_account(),
        durable=False,
    )
    server = Server(postgres, [])
    try:
        server.start()
        yield server
    finally:
        for child in server.children:
            child.kill()
        shutil.rmtree(home)


def migrate_template(server: Server) -> None:
    """Make the template that databases are cloned from."""
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {TEMPLATE}")
    upgrade(server.postgres.dsn(TEMPLATE))


@contextmanager
def clone(server: Server, names: Iterator[int] = itertools.count(1)) -> Iterator[str]:  # noqa: B008 - one a process
    """DSN of a fresh database, dropped afterwards with all who are still connected."""
    name = f"test_{next(names)}"
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        # Copying the files costs half of what writing each of their pages to the log does.
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} STRATEGY FILE_COPY".encode())
    try:
        yield server.postgres.dsn(name)
    finally:
        with psycopg.connect(server.dsn, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
