"""A Modbus TCP server with load-cell shelves, for tests: registers as in the profile, all else is exception 2."""

import asyncio
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from deploy.local.ports import free_port

WEIGHT_WORDS = 8
STATUS = 102


@dataclass
class Shelf:
    """Values that the next request sees; ``tared`` and ``requests`` are what the agent did."""

    unit: int
    weights_g: list[float] = field(default_factory=lambda: [0.0] * 4)
    temp_c: float = 21.5
    door_count: int = 0
    status: int = 0
    is_silent: bool = False
    tared: list[int] = field(default_factory=list)
    requests: list[tuple[int, int]] = field(default_factory=list)

    def device(self) -> SimDevice:
        coils = SimData(0, values=False, count=16, datatype=DataType.BITS)
        holding = SimData(200, values=[0] * 4, datatype=DataType.REGISTERS)
        weights = SimData(0, values=[0] * WEIGHT_WORDS, datatype=DataType.REGISTERS)
        others = SimData(100, values=[0] * 3, datatype=DataType.REGISTERS)
        return SimDevice(self.unit, ([coils], [coils], [holding], [weights, others]), action=self._access)

    async def _access(  # the six arguments that pymodbus gives
        self,
        function: int,
        start: int,
        address: int,
        count: int,
        registers: list[int],
        values: list[int] | list[bool] | None,
    ) -> ExcCodes | None:
        if self.is_silent:
            return ExcCodes.GATEWAY_NO_RESPONSE
        if function == 4:
            self.requests.append((address, count))
            words = self._words()
            registers[address - start : address - start + count] = [words[address + k] for k in range(count)]
        elif function == 6 and values is not None:
            self.tared.append(address - 200)
        return None

    def _words(self) -> dict[int, int]:
        words = {}
        for bay, weight_g in enumerate(self.weights_g):
            words[2 * bay], words[2 * bay + 1] = struct.unpack(">HH", struct.pack(">i", round(weight_g * 10)))
        words[100] = round(self.temp_c * 10) & 0xFFFF
        words[101], words[STATUS] = self.door_count, self.status
        return words


@contextmanager
def shelf_server(*shelves: Shelf) -> Iterator[int]:
    """Serve the shelves on a free port."""
    port = free_port()
    loop = asyncio.new_event_loop()
    listening = threading.Event()

    async def serve() -> None:
        server = ModbusTcpServer([shelf.device() for shelf in shelves], address=("127.0.0.1", port))
        await server.serve_forever(background=True)
        servers.append(server)
        listening.set()

    def run() -> None:
        loop.run_until_complete(serve())
        loop.run_forever()

    servers: list[ModbusTcpServer] = []
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert listening.wait(10)
    try:
        yield port
    finally:
        # pymodbus left this untyped.
        shutdown = servers[0].shutdown()  # type: ignore[no-untyped-call]
        asyncio.run_coroutine_threadsafe(shutdown, loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
