"""Tells systemd that the agent is ready, how it is, and that it lives: sd_notify(3) is a datagram to $NOTIFY_SOCKET."""

import os
import socket
import threading
from collections.abc import Callable, Mapping
from typing import Final

import structlog

from edge_agent.threads import thread_in_context

STATUS_EVERY_S: Final = 10.0
USEC_PER_S: Final = 1_000_000

log = structlog.get_logger()


class Notifier:
    """Sends to one socket; a name that begins with @ is in the abstract namespace."""

    def __init__(self, address: str) -> None:
        self._address = f"\0{address[1:]}" if address.startswith("@") else address

    def send(self, **states: str) -> None:
        """Send assignments (READY="1", STATUS="…"). A supervisor that is gone is no reason to fail."""
        text = "\n".join(f"{key}={' '.join(value.split())}" for key, value in states.items())
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sending:
                sending.settimeout(1.0)
                sending.sendto(text.encode(), self._address)
        except OSError as error:
            log.warning("supervisor_unreachable", error=str(error))


class Watchdog:
    """Reports until ``stop``. A watchdog that expects us hears from us only while ``is_alive()``.

    ``is_ready`` is asked until it is true, then systemd starts what comes after us; ``status`` is one line for people.
    """

    def __init__(
        self,
        notifier: Notifier,
        timeout_s: float | None,
        *,
        is_ready: Callable[[], bool],
        is_alive: Callable[[], bool],
        status: Callable[[], str],
    ) -> None:
        self._notifier = notifier
        # Half the time-out, as sd_watchdog_enabled(3) advises; a third leaves room for a slow moment.
        self._period_s = STATUS_EVERY_S if timeout_s is None else min(STATUS_EVERY_S, timeout_s / 3)
        self._is_watched = timeout_s is not None
        self._is_ready = is_ready
        self._is_alive = is_alive
        self._status = status
        self._stopping = threading.Event()
        self._thread = thread_in_context(self._run, "watchdog")

    def start(self) -> None:
        """Begin to report."""
        self._thread.start()

    def stop(self) -> None:
        """Say that the agent ends."""
        self._stopping.set()
        self._thread.join()
        self._notifier.send(STOPPING="1")

    def _run(self) -> None:
        told_ready = False
        while not self._stopping.is_set():
            states = {"STATUS": self._status()}
            if not told_ready and self._is_ready():
                states["READY"] = "1"
                told_ready = True
            if self._is_watched and self._is_alive():
                states["WATCHDOG"] = "1"
            self._notifier.send(**states)
            self._stopping.wait(self._period_s if told_ready else min(0.1, self._period_s))


def watchdog(
    environ: Mapping[str, str],
    *,
    is_ready: Callable[[], bool],
    is_alive: Callable[[], bool],
    status: Callable[[], str],
) -> Watchdog | None:
    """The watchdog that systemd asks for by ``environ``, or None when it does not run us."""
    address = environ.get("NOTIFY_SOCKET", "")
    if not address:
        return None
    usec = environ.get("WATCHDOG_USEC", "")
    is_ours = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    timeout_s = int(usec) / USEC_PER_S if usec.isdecimal() and int(usec) > 0 and is_ours else None
    return Watchdog(Notifier(address), timeout_s, is_ready=is_ready, is_alive=is_alive, status=status)
