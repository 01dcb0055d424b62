"""``shelfpulse simulate link``: the fault proxy by hand, its faults changed by lines on standard input."""

import json
import sys
from collections.abc import Iterable
from typing import Final

from contracts.errors import UserError
from simulators.faults import Direction, FaultProxy, running_proxy

HELP: Final = (
    "latency SECONDS | bandwidth BYTES_PER_S | slice BYTES | blackhole up|down|both|none | refuse on|off | cut | quit"
)
_BLACKHOLES: Final = {
    "up": frozenset({Direction.UP}),
    "down": frozenset({Direction.DOWN}),
    "both": frozenset(Direction),
    "none": frozenset[Direction](),
}
_SWITCH: Final = {"on": True, "off": False}


def serve(target: str, port: int, lines: Iterable[str]) -> None:
    """Forward to ``target`` (HOST:PORT) until ``quit`` or the end of ``lines``, each of which changes a fault.

    Prints a JSON line when it listens, and one for each line with the connections so far. Raises UserError.
    """
    host, _, text = target.rpartition(":")
    if not host or not text.isdecimal():
        msg = f"--to {target}: not HOST:PORT"
        raise UserError(msg)
    with running_proxy(host, int(text), port=port) as proxy:
        _print(event="listening", port=proxy.port, to=target)
        for line in lines:
            words = line.split()
            if words == ["quit"]:
                return
            if words and not obey(proxy, words):
                _print(event="not_understood", line=line.strip(), known=HELP)
                continue
            _print(event="ok", connections=proxy.connections)


def obey(proxy: FaultProxy, words: list[str]) -> bool:
    """Change one fault of ``proxy``; False when the line makes no sense."""
    try:
        match words:
            case ["latency", seconds] if float(seconds) >= 0:
                proxy.latency_s = float(seconds)
            case ["bandwidth", width] if int(width) >= 0:
                proxy.bytes_per_s = int(width)
            case ["slice", size] if int(size) >= 0:
                proxy.slice_bytes = int(size)
            case ["blackhole", directions]:
                proxy.blackholes = _BLACKHOLES[directions]
            case ["refuse", switch]:
                proxy.refusing = _SWITCH[switch]
            case ["cut"]:
                proxy.cut()
            case _:
                return False
    except (ValueError, KeyError):
        return False
    return True


def _print(**told: object) -> None:
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()
