"""Shelves that speak Modbus TCP: profile ``loadcell_shelf``, one port a gateway, one unit id a controller.

| registers        | function | what                                                                        |
|------------------|----------|-----------------------------------------------------------------------------|
| 2*b, 2*b + 1     | 4        | weight of bay b (0 … 15), int32, high word first, 0.1 g; 0 without a cell   |
| 100              | 4        | temperature, int16, 0.1 °C                                                  |
| 101              | 4        | door openings, uint16, wraps                                                |
| 102              | 4        | status, bit b: bay b is overloaded                                          |
| 103, 104         | 4        | uptime in s, uint32, high word first, wraps                                 |
| 200 + b          | 3, 6, 16 | write 1: tare bay b; reads back 0                                           |

Everything else is exception 2, a value other than 0 and 1 exception 3, a unit that is not there exception 11.
Values are those of the moment of the request. A dead unit is silent.
"""

import asyncio
import struct
from collections.abc import Callable
from enum import IntEnum
from typing import Final

from pymodbus.constants import ExcCodes
from pymodbus.pdu import ExceptionResponse, ModbusPDU
from pymodbus.server import ModbusTcpServer
from pymodbus.server.requesthandler import ServerRequestHandler
from pymodbus.simulator import DataType, SimData, SimDevice

from contracts.errors import UserError
from simulators.controller import ShelfController
from simulators.plan import BAYS_MAX, GatewayPlan
from simulators.store import Store

WEIGHTS: Final = 0
WEIGHT_REGISTERS: Final = 2 * BAYS_MAX
TEMPERATURE: Final = 100
CONTROLLER_REGISTERS: Final = 5
TARE: Final = 200


class Function(IntEnum):
    """Modbus functions that a controller knows."""

    READ_HOLDING = 3
    READ_INPUT = 4
    WRITE_SINGLE = 6
    WRITE_MULTIPLE = 16


Clock = Callable[[], float]


class ShelfRegisters:
    """Registers of one controller, computed from its physics when they are asked for."""

    def __init__(self, store: Store, controller: ShelfController, now: Clock) -> None:
        self.controller = controller
        self._store = store
        self._now = now

    def device(self) -> SimDevice:
        """The controller as pymodbus's server knows it."""
        # pymodbus wants coils too; `access` refuses them.
        unused = SimData(0, values=False, count=16, datatype=DataType.BITS)
        holding = SimData(TARE, values=[0] * BAYS_MAX, datatype=DataType.REGISTERS)
        weights = SimData(WEIGHTS, values=[0] * WEIGHT_REGISTERS, datatype=DataType.REGISTERS)
        others = SimData(TEMPERATURE, values=[0] * CONTROLLER_REGISTERS, datatype=DataType.REGISTERS)
        return SimDevice(
            self.controller.plan.unit, ([unused], [unused], [holding], [weights, others]), action=self.access
        )

    def delay_s(self) -> float | None:
        """How late the controller answers now; None: not at all."""
        at_s = self._now()
        self._store.step(at_s)
        return None if self.controller.is_dead(at_s) else self.controller.delay_s(at_s)

    async def access(
        self,
        function: int,
        start: int,
        address: int,
        count: int,
        registers: list[int],
        values: list[int] | list[bool] | None,
    ) -> ExcCodes | None:
        """Called by pymodbus before it serves ``count`` registers at ``address``; ``registers`` begin at ``start``."""
        at_s = self._now()
        self._store.step(at_s)
        match function:
            case Function.READ_INPUT:
                registers[address - start : address - start + count] = self._inputs(address, count, at_s)
            case Function.READ_HOLDING:
                registers[:BAYS_MAX] = [0] * BAYS_MAX
            case Function.WRITE_SINGLE | Function.WRITE_MULTIPLE if values is not None:
                if any(value not in (0, 1) for value in values):
                    return ExcCodes.ILLEGAL_VALUE
                for bay, value in enumerate(values, address - TARE + 1):
                    if value:
                        self._store.tare(self.controller, bay, at_s)
            case Function.WRITE_SINGLE:
                # pymodbus reads back what it answers to function 6: the echo of what was written, as the standard says.
                pass
            case _:
                return ExcCodes.ILLEGAL_ADDRESS
        return None

    def _inputs(self, address: int, count: int, at_s: float) -> list[int]:
        """Input registers; the server has checked that they are all of one block."""
        if address >= TEMPERATURE:
            offset = address - TEMPERATURE
            return self._controller_registers(at_s)[offset : offset + count]
        first, last = address // 2, (address + count - 1) // 2
        words: list[int] = []
        for bay in range(first, last + 1):
            words.extend(self._weight_registers(bay, at_s))
        skip = address - 2 * first
        return words[skip : skip + count]

    def _weight_registers(self, bay: int, at_s: float) -> tuple[int, int]:
        place = self.controller.places.get(bay + 1)
        if place is None:
            return (0, 0)
        tenths = round(max(-2e8, min(2e8, place.bay.reading_g(at_s))) * 10)
        high, low = struct.unpack(">HH", struct.pack(">i", tenths))
        return high, low

    def _controller_registers(self, at_s: float) -> list[int]:
        controller = self.controller
        tenths = round(max(-3276.0, min(3276.0, controller.thermometer.reading_c(at_s))) * 10)
        uptime_s = controller.uptime_s(at_s) & 0xFFFFFFFF
        return [
            tenths & 0xFFFF,
            controller.door_openings & 0xFFFF,
            controller.status_bits(at_s),
            uptime_s >> 16,
            uptime_s & 0xFFFF,
        ]


class ShelfConnection(ServerRequestHandler):
    """One client. Each request is answered by itself, so that a slow unit neither delays nor garbles the others."""

    def __init__(self, owner: "ShelfServer") -> None:
        super().__init__(owner, None, None, None)  # type: ignore[no-untyped-call]
        self._shelves = owner
        self._answers: set[asyncio.Task[None]] = set()

    def callback_data(self, data: bytes, addr: tuple[str, int] | None = None) -> int:
        """Start the answers to all requests that have arrived whole; how many bytes they took."""
        used = 0
        while used < len(data):
            step: int = super().callback_data(data[used:], addr)
            if self.last_pdu is not None:
                task = self.loop.create_task(self._answer(self.last_pdu))
                self._answers.add(task)
                task.add_done_callback(self._answers.discard)
            if step == 0:
                break
            used += step
        return used

    def handle_later(self) -> None:
        """Nothing: ``callback_data`` has started the answer. pymodbus's own would answer only the newest request."""

    async def _answer(self, request: ModbusPDU) -> None:
        registers = self._shelves.units.get(request.dev_id)
        if registers is None:
            response: ModbusPDU = ExceptionResponse(request.function_code, ExcCodes.GATEWAY_NO_RESPONSE)
        else:
            delay_s = registers.delay_s()
            if delay_s is None:
                return
            if delay_s:
                await asyncio.sleep(delay_s)
            # Typed for its old data store only.
            response = await request.datastore_update(self._shelves.context, request.dev_id)  # type: ignore[arg-type]
        response.transaction_id = request.transaction_id
        response.dev_id = request.dev_id
        if self.transport is not None:
            self.server_send(response, None)  # type: ignore[no-untyped-call]


class ShelfServer(ModbusTcpServer):
    """All controllers of one gateway behind one TCP port."""

    def __init__(self, host: str, port: int, units: list[ShelfRegisters]) -> None:
        super().__init__([registers.device() for registers in units], address=(host, port))
        self.units = {registers.controller.plan.unit: registers for registers in units}

    def callback_new_connection(self) -> ShelfConnection:
        """Serve a client that has connected."""
        return ShelfConnection(self)

    @property
    def port(self) -> int:
        """The port on which it listens."""
        assert self.transport is not None
        port: int = self.transport.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
        return port


async def listen(host: str, gateway: GatewayPlan, store: Store, now: Clock) -> ShelfServer:
    """Serve the controllers of a gateway. Raises UserError when its port is taken."""
    units = [
        ShelfRegisters(store, controller, now)
        for controller in store.controllers
        if controller.gateway == gateway.gateway
    ]
    server = ShelfServer(host, gateway.port, units)
    try:
        await server.serve_forever(background=True)
    except RuntimeError as error:
        msg = f"gateway {gateway.gateway}: cannot listen on {host}:{gateway.port}"
        raise UserError(msg, "is another simulator running?") from error
    return server
