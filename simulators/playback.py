"""The process of ``simulate store``: plays a plan in real time until it is told to stop."""

import asyncio
import logging
import signal
import time
from pathlib import Path
from typing import BinaryIO, Final

import msgspec
import structlog

from contracts.errors import UserError
from simulators import truth
from simulators.modbus_server import Clock, ShelfServer, listen
from simulators.plan import Plan
from simulators.store import Store

TICK_S: Final = 0.5
"""The stores are stepped at each request; this is for what happens while nobody asks, and for the truth file."""

log = structlog.get_logger()


class Listening(msgspec.Struct, tag_field="event", tag="listening"):
    """The line on stdout that says that all ports are open."""

    host: str
    ports: dict[str, int]
    shelves: int
    slots: int


def steady_clock() -> Clock:
    """Seconds since 1970 UTC that never go back: the wall clock of now, and monotonic time from then on."""
    offset_s = time.time() - time.monotonic()
    return lambda: offset_s + time.monotonic()


def play(plan: Plan, truth_path: Path | None) -> None:
    """Serve a plan until SIGTERM or SIGINT; SIGUSR1 freezes the stores. Raises UserError."""
    if truth_path is None:
        asyncio.run(_play(plan, None))
        return
    try:
        file = truth_path.open("ab", buffering=0)
    except OSError as error:
        msg = f"cannot write the truth to {truth_path}: {error.strerror}"
        raise UserError(msg) from error
    with file:
        asyncio.run(_play(plan, file))


async def _play(plan: Plan, truth_file: BinaryIO | None) -> None:
    # It says each "Repeating...." of its trace at level INFO.
    logging.getLogger("pymodbus").setLevel(logging.ERROR)
    now = steady_clock()
    start_s = now()
    stores = [Store(plan, store, start_s) for store in plan.stores]
    servers: list[ShelfServer] = []
    stop = asyncio.Event()
    _handle_signals(stores, stop)
    try:
        for store in stores:
            servers.extend([await listen(plan.host, gateway, store, now) for gateway in store.plan.gateways])
        _say_listening(plan, stores, servers)
        while not stop.is_set():
            _tick(stores, now(), truth_file)
            try:
                await asyncio.wait_for(stop.wait(), TICK_S)
            except TimeoutError:
                continue
        _tick(stores, now(), truth_file)
    finally:
        for server in servers:
            await server.shutdown()  # type: ignore[no-untyped-call]
    log.info("simulation_stopped", seconds=round(now() - start_s, 1))


def _tick(stores: list[Store], at_s: float, truth_file: BinaryIO | None) -> None:
    for store in stores:
        store.step(at_s)
        lines = store.drain()
        if truth_file is not None and lines:
            truth_file.write(b"".join(map(truth.line, lines)))


def _handle_signals(stores: list[Store], stop: asyncio.Event) -> None:
    def freeze() -> None:
        for store in stores:
            store.freeze()
        log.info("stores_frozen", sites=len(stores))

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGINT, stop.set)
    loop.add_signal_handler(signal.SIGUSR1, freeze)


def _say_listening(plan: Plan, stores: list[Store], servers: list[ShelfServer]) -> None:
    names = [gateway.gateway for store in plan.stores for gateway in store.gateways]
    controllers = [controller for store in stores for controller in store.controllers]
    line = Listening(
        host=plan.host,
        ports={name: server.port for name, server in zip(names, servers, strict=True)},
        shelves=len(controllers),
        slots=sum(len(controller.places) for controller in controllers),
    )
    print(msgspec.json.encode(line).decode(), flush=True)  # noqa: T201 - the process's answer to who started it
