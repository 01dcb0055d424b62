"""A real PostgreSQL for the tests of one worker, and a fresh migrated database for each test that asks."""

import fcntl
import itertools
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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
_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - mkdtemp makes a folder of our own in it
_PREFIX: Final = "shelfpulse-pg-"
_FORGOTTEN_S: Final = 6 * 3600
"""No run takes so long: what is older was left by one that was killed."""
_ROOM_BYTES: Final = 4 << 30
"""A server takes 60 MiB, and 8 a database; a container often has 64 MiB of shared memory in all."""


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
def run_server(cluster: Path | None = None) -> Iterator[Server]:
    """A server of its own in a temporary folder that its unprivileged user can reach (pytest's are closed to it).

    ``cluster``: a data directory that it shall begin with a copy of; without one it makes an empty one.
    """
    home = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=_fastest_folder()))
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
        if cluster is not None:
            _copy(cluster, postgres.data)
        server.start()
        yield server
    finally:
        for child in server.children:
            # Killed, it would leave its segments in shared memory for ever.
            child.stop()
        shutil.rmtree(home)


def _fastest_folder() -> Path | None:
    """Memory, where there is enough of it; None for the usual place.

    Copying a template makes a thousand files, which costs a disk's file system up to twenty times as much.
    """
    if not _MEMORY.is_dir() or not os.access(_MEMORY, os.W_OK | os.X_OK):
        return None
    room = os.statvfs(_MEMORY)
    # Programs are copied there when the server's user cannot reach the installed ones.
    runs_programs = not room.f_flag & os.ST_NOEXEC
    return _MEMORY if runs_programs and room.f_bavail * room.f_frsize >= _ROOM_BYTES else None


def prepare_cluster(cluster: Path) -> None:
    """Make a data directory with the template that databases are cloned from, unless another process has made it."""
    with cluster.with_name(f"{cluster.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if cluster.exists():
            return
        _clear_remains(time.time())
        with run_server() as server:
            with psycopg.connect(server.dsn, autocommit=True) as connection:
                connection.execute(f"CREATE DATABASE {TEMPLATE}")
            upgrade(server.postgres.dsn(TEMPLATE))
            assert server.children.pop().stop() == 0, server.postgres.log.read_text()
            part = cluster.with_name(f"{cluster.name}.part")
            shutil.rmtree(part, ignore_errors=True)
            _copy(server.postgres.data, part)
        part.rename(cluster)


def _clear_remains(now_s: float) -> None:
    """Give back the memory that runs hold which were killed."""
    for home in _MEMORY.glob(f"{_PREFIX}*"):
        with suppress(FileNotFoundError):
            if home.stat().st_mtime < now_s - _FORGOTTEN_S:
                shutil.rmtree(home, ignore_errors=True)


def _copy(source: Path, target: Path) -> None:
    """With its owner, who is the server's user when we are root."""
    subprocess.run(["cp", "-a", source, target], check=True)  # noqa: S607 - from PATH


@contextmanager
def clone(
    server: Server,
    template: str = TEMPLATE,
    names: Iterator[int] = itertools.count(1),  # noqa: B008 - one a process
) -> Iterator[str]:
    """DSN of a fresh copy of a database, dropped afterwards with all who are still connected."""
    name = f"test_{next(names)}"
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        # Copying the files costs half of what writing each of their pages to the log does.
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY".encode())
    try:
        yield server.postgres.dsn(name)
    finally:
        with psycopg.connect(server.dsn, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
