"""One child process: started in its own group, logged to a file, stopped by its own signal, never left behind."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from deploy.local.account import Account

_PR_SET_PDEATHSIG: Final = 1
_KILL_WAIT_S: Final = 10.0
# Looked up before any fork: the child may not allocate or take locks between fork and exec.
_PRCTL = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


def always_ready() -> bool:
    """For processes that nobody waits for."""
    return True


@dataclass(frozen=True, kw_only=True)
class ProcessSpec:
    """How to start and stop one process.

    ``stop_signal`` asks it to end; ``stop_s`` later it is killed. ``death_signal`` reaches it when we die ourselves:
    SIGKILL for our own processes, which are built to survive it. ``is_ready`` says whether it serves.
    """

    name: str
    argv: tuple[str, ...]
    log: Path
    env: Mapping[str, str] = field(default_factory=dict)
    account: Account | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    death_signal: signal.Signals = signal.SIGKILL
    stop_s: float = 15.0
    is_ready: Callable[[], bool] = always_ready
    ready_s: float = 30.0


class Child:
    """A started process.

    Start it from a thread that lives as long as the child may: Linux sends the death signal when the *thread* ends
    that forked.
    """

    def __init__(self, spec: ProcessSpec) -> None:
        self.spec = spec
        account = spec.account
        with spec.log.open("ab") as log:
            # spec.argv comes from our own code; preexec_fn calls prctl alone, which needs no lock.
            self._process = subprocess.Popen(  # noqa: S603
                spec.argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(spec.env) or None,
                cwd="/",
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=[] if account else None,
                process_group=0,
                preexec_fn=_death_signal(spec.death_signal, os.getpid()),  # noqa: PLW1509
            )

    @property
    def pid(self) -> int:
        """Process id, and the id of its group."""
        return self._process.pid

    def poll(self) -> int | None:
        """Exit code, negative for a signal; None while it runs."""
        return self._process.poll()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process alone."""
        if self.poll() is None:
            self._process.send_signal(number)

    def kill(self) -> None:
        """End the whole group at once, as a power cut would, and wait until it is gone."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait(_KILL_WAIT_S)

    def stop(self) -> int:
        """Ask it to end, kill what remains of its group, and return its exit code."""
        self.signal(self.spec.stop_signal)
        return self.wait_stopped()

    def wait_stopped(self) -> int:
        """After its stop signal: give it its time, kill what remains of its group, and return its exit code."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(self.spec.stop_s)
        self.kill()
        code = self.poll()
        assert code is not None
        return code


def _death_signal(number: signal.Signals, parent: int) -> Callable[[], None] | None:
    prctl = _PRCTL
    if prctl is None:
        return None

    def arrange() -> None:
        prctl(_PR_SET_PDEATHSIG, int(number))
        if os.getppid() != parent:  # the parent died before we could ask
            os._exit(1)

    return arrange
