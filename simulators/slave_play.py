"""``shelfpulse simulate slaves``: slaves as a process, told by lines on standard input.

    {"unit":3,"dead":true}   {"unit":3,"dead":false}   {"unit":2,"delay_s":0.9}   {"unit":2,"exception":6}
    {"noise":{"flip":0.1,"cut":0.05,"garbage":0.1}}   {"unit":1,"weights_g":[3520.0,0.0]}   {"requests":true}

A line without ``unit`` (and without ``noise``) is for all units. Each is answered by one line on standard output:
{"ok":true,"requests":n,"disturbed":n} or {"ok":false,"error":"…"}.
"""

import asyncio
import json
import signal
import sys
from collections.abc import Callable, Sequence

import msgspec

from contracts.errors import UserError
from simulators.noise import Noise
from simulators.slave_server import RtuLine, Slaves, listen_tcp
from simulators.slaves import Code, ShelfSlave, Slave


class _NoiseLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    flip: float = 0.0
    cut: float = 0.0
    garbage: float = 0.0


class _Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    unit: int | None = None
    dead: bool | None = None
    delay_s: float | None = None
    exception: int | None = None
    noise: _NoiseLine | None = None
    weights_g: list[float] | None = None
    requests: bool = False


_LINES = msgspec.json.Decoder(_Line)


def play(buses: Sequence[Sequence[Slave]], *, rtu: bool, port: int = 0) -> None:
    """Serve each group of slaves on a wire of its own until SIGTERM, SIGINT or the end of standard input.

    Prints {"event":"listening","ports":[…]} or {"event":"listening","devices":[…]}. ``port`` is that of the first
    wire, the next follow it; 0: free ones. Raises UserError when a port is taken.
    """
    asyncio.run(_serve([Slaves(units, seed) for seed, units in enumerate(buses)], rtu=rtu, port=port))


async def _serve(wires: Sequence[Slaves], *, rtu: bool, port: int) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    stops = await _listen(wires, rtu=rtu, port=port)
    where = {"devices": [wire.device for wire in wires]} if rtu else {"ports": [wire.port for wire in wires]}
    _say({"event": "listening", **where})
    hearing = loop.create_task(_hear(wires, ended))
    await ended.wait()
    hearing.cancel()
    for stop in stops:
        stop()


async def _listen(wires: Sequence[Slaves], *, rtu: bool, port: int) -> list[Callable[[], None]]:
    if rtu:
        return [RtuLine(wire).close for wire in wires]
    try:
        return [(await listen_tcp(wire, port + place if port else 0)).close for place, wire in enumerate(wires)]
    except OSError as error:
        msg = f"cannot listen on 127.0.0.1:{port}: {error.strerror}"
        raise UserError(msg, "is another simulator running?") from error


async def _hear(wires: Sequence[Slaves], ended: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        try:
            obey(wires, line)
        except (msgspec.MsgspecError, ValueError) as error:
            _say({"ok": False, "error": str(error)})
            continue
        _say({"ok": True, "requests": sum(w.requests for w in wires), "disturbed": sum(w.disturbed for w in wires)})
    ended.set()


def obey(wires: Sequence[Slaves], line: str) -> None:
    """Do what a line says. Raises ValueError or msgspec's errors, each with one line of text."""
    told = _LINES.decode(line)
    if told.noise is not None:
        for wire in wires:
            wire.noise = Noise(told.noise.flip, told.noise.cut, told.noise.garbage)
    meant = [unit for wire in wires for unit in wire.units if told.unit in {None, unit.unit}]
    if not meant:
        msg = f"no unit {told.unit}"
        raise ValueError(msg)
    for slave in meant:
        if told.dead is not None:
            slave.is_dead = told.dead
        if told.delay_s is not None:
            slave.delay_s = told.delay_s
        if told.exception is not None:
            slave.exception = Code(told.exception)
        if told.weights_g is not None:
            if not isinstance(slave, ShelfSlave) or len(told.weights_g) != len(slave.weights_g):
                msg = f"unit {slave.unit} is no shelf of {len(told.weights_g)} bays"
                raise ValueError(msg)
            slave.weights_g = told.weights_g


def _say(value: object) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()
