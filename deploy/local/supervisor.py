"""Keeps the stack's processes running: restarts what dies with growing pauses, stops all in reverse order.

Single-threaded: whoever owns it calls ``tick`` a few times a second from the thread that called ``start``.
"""

import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple, Self

import structlog

from contracts.errors import UserError
from deploy.local.deadline import wait_until
from deploy.local.process import Child, ProcessSpec

RESTART_PAUSES_S: Final = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Pause before the first, second … restart in a row; the last one goes on."""
HEALTHY_S: Final = 30.0
"""A process that ran so long before it died starts over with the first pause."""
LOG_MAX_BYTES: Final = 32 * 1024 * 1024
"""A log that is larger when its process starts is set aside as NAME.log.1."""
_LOG_TAIL_BYTES: Final = 4_096

_log = structlog.get_logger()


def no_preparation() -> None:
    """For processes that need none."""


class Service(NamedTuple):
    """A process, and what must be done before each of its starts."""

    spec: ProcessSpec
    prepare: Callable[[], None] = no_preparation


@dataclass
class _Watched:
    service: Service
    child: Child | None = None
    started_at: float = 0.0
    failures: int = 0
    restart_at: float = 0.0
    starts: int = field(default=0)


def pause_s(failures: int, ran_s: float) -> tuple[int, float]:
    """Failures in a row, this one included, and the pause before the next start, in seconds.

    ``failures`` counts those before; ``ran_s`` is how long the process ran this time.
    """
    if ran_s >= HEALTHY_S:
        failures = 0
    return failures + 1, RESTART_PAUSES_S[min(failures, len(RESTART_PAUSES_S) - 1)]


class Supervisor:
    """Owner of the stack's processes. Use as a context manager: nothing is left running after it."""

    def __init__(self) -> None:
        self._watched: dict[str, _Watched] = {}

    def __enter__(self) -> Self:
        """Nothing runs yet."""
        return self

    def __exit__(self, *_exception: object) -> None:
        """Stop everything, whatever happened."""
        self.stop()

    def start(self, service: Service) -> None:
        """Start a service and watch it from now on."""
        name = service.spec.name
        assert name not in self._watched, f"{name} is there already"
        watched = self._watched[name] = _Watched(service)
        _start(watched)

    def wait_ready(self, *names: str, interrupted: Callable[[], bool] = lambda: False) -> None:
        """Wait until the named services serve. Raises UserError when one ends or takes too long.

        Returns early once ``interrupted`` says so.
        """
        for name in names:
            watched = self._watched[name]
            spec, child = watched.service.spec, watched.child
            assert child is not None

            def settled(spec: ProcessSpec = spec, child: Child = child) -> bool:
                return interrupted() or child.poll() is not None or spec.is_ready()

            in_time = wait_until(settled, spec.ready_s)
            if interrupted():
                return
            if child.poll() is not None:
                message = f"{name} ended at once with code {child.poll()}: {last_line(spec)}"
                raise UserError(message, f"see {spec.log}", code=1)
            if not in_time:
                message = f"{name} was not ready after {spec.ready_s:.0f} s"
                raise UserError(message, f"see {spec.log}", code=1)

    def tick(self) -> None:
        """Notice what died, and start what is due."""
        now = time.monotonic()
        for name, watched in self._watched.items():
            child = watched.child
            if child is not None and (code := child.poll()) is not None:
                child.kill()  # what it may have left in its group
                watched.child = None
                watched.failures, pause = pause_s(watched.failures, now - watched.started_at)
                watched.restart_at = now + pause
                _log.warning("process_ended", name=name, code=code, restart_in_s=pause)
            if watched.child is None and now >= watched.restart_at:
                _restart(watched, now)

    def pids(self) -> dict[str, int]:
        """Process ids of what runs now, by name."""
        return {name: watched.child.pid for name, watched in self._watched.items() if watched.child is not None}

    def restarts(self, name: str) -> int:
        """How often a service was started again."""
        return self._watched[name].starts - 1

    def kill(self, name: str) -> None:
        """Kill -9 a service; the next ``tick`` starts it again."""
        watched = self._watched[name]
        if watched.child is not None:
            watched.child.kill()

    def kill_all(self) -> None:
        """Kill -9 everything at once; safe to call from a signal handler, ``stop`` still has to follow."""
        for watched in list(self._watched.values()):
            if watched.child is not None:
                watched.child.signal(signal.SIGKILL)

    def stop(self, *names: str) -> dict[str, int]:
        """Stop the named services, all when none is named, the newest first; exit codes by name.

        They get their signals together when they are of one kind (``edge-1``, ``edge-2`` …), so that gateways drain at
        the same time.
        """
        chosen = [name for name in reversed(self._watched) if not names or name in names]
        codes: dict[str, int] = {}
        for kind in dict.fromkeys(kind_of(name) for name in chosen):
            group = [name for name in chosen if kind_of(name) == kind]
            children = {name: child for name in group if (child := self._watched.pop(name).child) is not None}
            for child in children.values():
                child.signal(child.spec.stop_signal)
            for name, child in children.items():
                codes[name] = child.wait_stopped()
                _log.info("process_stopped", name=name, code=codes[name])
        return codes


def kind_of(name: str) -> str:
    """Part of a process's name before its first hyphen: ``edge`` of ``edge-gw-01``."""
    return name.partition("-")[0]


def last_line(spec: ProcessSpec) -> str:
    """The last line of a process's log, for a message to people."""
    with suppress(OSError), spec.log.open("rb") as log:
        log.seek(max(0, log.seek(0, 2) - _LOG_TAIL_BYTES))
        lines = log.read().decode(errors="replace").strip().splitlines()
        if lines:
            return lines[-1]
    return "its log is empty"


def _start(watched: _Watched) -> None:
    watched.service.prepare()
    _set_aside(watched.service.spec.log)
    watched.child = Child(watched.service.spec)
    watched.started_at = time.monotonic()
    watched.starts += 1
    _log.info("process_started", name=watched.service.spec.name, pid=watched.child.pid)


def _set_aside(log: Path) -> None:
    if log.exists() and log.stat().st_size > LOG_MAX_BYTES:
        log.replace(log.with_name(f"{log.name}.1"))


def _restart(watched: _Watched, now: float) -> None:
    try:
        _start(watched)
    except (OSError, UserError) as error:
        watched.failures, pause = pause_s(watched.failures, 0.0)
        watched.restart_at = now + pause
        _log.warning("process_start_failed", name=watched.service.spec.name, error=str(error), restart_in_s=pause)
