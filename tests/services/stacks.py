"""A whole local stack for a system test, started and stopped as a user does it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import psutil
import psycopg

from deploy.local.deadline import wait_until
from deploy.local.discovery import StackInfo

READY_S = 240
STOP_S = 180


def environment(state: Path) -> dict[str, str]:
    """Our environment, led to the stack in ``state`` and nowhere else."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SHELFPULSE_", "MQTT_"))}
    return kept | {"SHELFPULSE_STATE": str(state)}


@dataclass(frozen=True)
class RunningStack:
    """A stack in a folder of its own."""

    state: Path
    process: "subprocess.Popen[bytes]"
    output: Path

    @property
    def info(self) -> StackInfo:
        """Addresses and process ids as they are now."""
        return msgspec.json.decode((self.state / "stack.json").read_bytes(), type=StackInfo)

    def command(self, *arguments: str, timeout_s: float = 120) -> "subprocess.CompletedProcess[str]":
        """Run a command of ours against the stack."""
        return subprocess.run(
            [sys.executable, "-m", "deploy.cli", *arguments],
            check=False,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            env=environment(self.state),
        )

    def spawn(self, *arguments: str, output: Path) -> "subprocess.Popen[bytes]":
        """Start a command of ours against the stack; its stdout goes to ``output``."""
        with output.open("wb") as stream:
            return subprocess.Popen(
                [sys.executable, "-m", "deploy.cli", *arguments], stdout=stream, env=environment(self.state)
            )

    def value(self, query: str) -> Any:
        """The single value of a query, None while the database does not answer."""
        try:
            with psycopg.connect(self.info.dsn, connect_timeout=2) as connection:
                row = connection.execute(query.encode()).fetchone()
        except psycopg.OperationalError:
            return None
        return None if row is None else row[0]

    def crash(self, name: str) -> None:
        """Kill -9 a process of the stack, and wait until the supervisor has started another."""
        old = self.info.pids[name]
        os.kill(old, signal.SIGKILL)
        assert wait_until(lambda: self.info.pids.get(name, old) != old, 30), f"{name} was not started again"

    def log(self, name: str) -> str:
        """What a process has said."""
        return (self.state / "logs" / f"{name}.log").read_text()


@contextmanager
def state_directory() -> Iterator[Path]:
    """A folder that the unprivileged user of the services can reach, unlike pytest's."""
    folder = Path(tempfile.mkdtemp(prefix="shelfpulse-state-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def run_stack(state: Path, *options: str, dsn: str = "") -> Iterator[RunningStack]:
    """Start a stack and wait until it is there; afterwards stop it with SIGTERM, and see that nothing is left.

    ``dsn``: of an empty database that it shall use instead of a PostgreSQL of its own.
    """
    output = state / "up.out"
    with output.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "deploy.cli", "up", *options],
            stdout=stream,
            stderr=subprocess.STDOUT,
            env=environment(state) | ({"SHELFPULSE_DSN": dsn} if dsn else {}),
        )
    stack = RunningStack(state, process, output)
    try:
        started = wait_until(lambda: process.poll() is not None or _is_up(stack), READY_S)
        assert started, output.read_text()
        assert process.poll() is None, output.read_text()
        yield stack
        pids = children(process.pid)
        process.terminate()
        assert process.wait(STOP_S) == 0, output.read_text()
        assert left_over(pids) == []
    finally:
        # After a failure: stopped properly too, or the folder would be taken from under a dying database.
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _is_up(stack: RunningStack) -> bool:
    # An earlier stack that was killed has left its own file.
    return (stack.state / "stack.json").exists() and stack.info.pids["up"] == stack.process.pid


def children(pid: int) -> list[psutil.Process]:
    """All processes below one."""
    return psutil.Process(pid).children(recursive=True)


def left_over(processes: list[psutil.Process]) -> list[str]:
    """Those that are still alive after a moment."""
    _, alive = psutil.wait_procs(processes, timeout=10)
    return [" ".join(process.cmdline()) for process in alive]


def parse(text: str) -> dict[str, Any]:
    """The one JSON object of a command's output."""
    found: dict[str, Any] = json.loads(text)
    return found
