"""Free TCP ports on the loopback interface, the same ones again after a restart."""

import json
import secrets
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from contracts.errors import UserError

LOOPBACK: Final = "127.0.0.1"
_RANGE: Final = range(15_000, 32_000)
_TRIES: Final = 200


def is_free(port: int) -> bool:
    """Whether a server could listen on ``port`` of the loopback interface now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: a port in TIME_WAIT after our own restart is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def is_open(port: int, *, timeout_s: float = 0.5) -> bool:
    """Whether something accepts connections on ``port`` of the loopback interface."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=timeout_s):
            return True
    except OSError:
        return False


def free_port() -> int:
    """A port that nobody listens on now.

    From below those that the system gives to outgoing connections: one of these could take it before our server
    starts, or while it is being restarted.
    """
    for _ in range(_TRIES):
        port = secrets.choice(_RANGE)
        if is_free(port):
            return port
    message = f"no free port found between {_RANGE.start} and {_RANGE.stop - 1}"
    raise UserError(message)


def assign(names: Iterable[str], file: Path) -> dict[str, int]:
    """A port for each of ``names``: the one remembered in ``file`` while it is free, else a new one.

    Keeping them means that a bookmark and a running client survive a restart of the stack.
    """
    remembered: dict[str, int] = json.loads(file.read_text()) if file.exists() else {}
    ports: dict[str, int] = {}
    for name in names:
        port = remembered.get(name)
        while port is None or not is_free(port):
            port = free_port()
            if port in remembered.values():
                port = None
        ports[name] = remembered[name] = port
    file.write_text(json.dumps(remembered, indent=1))
    return ports
