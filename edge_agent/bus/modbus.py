"""Modbus by pymodbus: one connection and one request at a time on each bus, errors translated once."""

import logging
import threading
from typing import Final

from pymodbus.client import ModbusSerialClient, ModbusTcpClient
from pymodbus.client.base import ModbusBaseSyncClient
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ModbusPDU

from edge_agent.bus.plan import Request
from edge_agent.bus.registers import Function
from edge_agent.tables import Bus, TcpBus

ILLEGAL_FUNCTION: Final = 1
ILLEGAL_ADDRESS: Final = 2
SCAN_MAX: Final = 247
_SILENT_CODES: Final = frozenset({10, 11})
"""Gateway path unavailable, target failed to respond: a TCP gateway says that its slave is dead."""

# pymodbus logs every failed connection as an error; the poller logs what it means, once.
logging.getLogger("pymodbus").setLevel(logging.CRITICAL)


class ModbusError(Exception):
    """A request that brought no data."""


class NoAnswerError(ModbusError):
    """Nobody answered in time, the connection was refused or lost, or what came was no Modbus."""


class RefusedError(ModbusError):
    """The unit answered with an exception; ``code`` as in the Modbus specification (2: illegal data address)."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exception {code}")
        self.code = code


class ModbusBus:
    """One line or TCP gateway. Safe to use from several threads: requests wait for each other.

    Connects when first asked and again after a failure. No retries here: the schedule decides when a unit is
    asked again.
    """

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._client: ModbusBaseSyncClient | None = None
        self._lock = threading.Lock()

    def read(self, unit: int, request: Request) -> list[int]:
        """Words (or bits, 0 or 1) of a range. Raises NoAnswerError, RefusedError."""
        response = self._execute(unit, request)
        if request.function in {Function.COILS, Function.DISCRETE_INPUTS}:
            values = [int(bit) for bit in response.bits[: request.size]]
        else:
            values = list(response.registers)
        if len(values) != request.size:
            msg = f"{len(values)} values for {request.size}"
            raise NoAnswerError(msg)
        return values

    def write_register(self, unit: int, address: int, value: int) -> None:
        """Write one holding register (function 6). Raises NoAnswerError, RefusedError."""
        self._execute(unit, (address, value))

    def close(self) -> None:
        """Close the connection; the next request opens it again."""
        with self._lock:
            self._disconnect()

    def _execute(self, unit: int, request: Request | tuple[int, int]) -> ModbusPDU:
        with self._lock:
            try:
                response = self._send(self._connected(), unit, request)
            except (ModbusException, OSError) as error:
                # A late answer would be taken for that of the next request: start afresh.
                self._disconnect()
                raise NoAnswerError(str(error)) from error
        if response.isError():
            code = response.exception_code
            if code in _SILENT_CODES:
                msg = f"the gateway says that unit {unit} does not answer (exception {code})"
                raise NoAnswerError(msg)
            raise RefusedError(code)
        return response

    @staticmethod
    def _send(client: ModbusBaseSyncClient, unit: int, request: Request | tuple[int, int]) -> ModbusPDU:
        if not isinstance(request, Request):
            return client.write_register(request[0], request[1], device_id=unit)
        match request.function:
            case Function.COILS:
                return client.read_coils(request.address, count=request.size, device_id=unit)
            case Function.DISCRETE_INPUTS:
                return client.read_discrete_inputs(request.address, count=request.size, device_id=unit)
            case Function.HOLDING_REGISTERS:
                return client.read_holding_registers(request.address, count=request.size, device_id=unit)
            case Function.INPUT_REGISTERS:
                return client.read_input_registers(request.address, count=request.size, device_id=unit)

    def _connected(self) -> ModbusBaseSyncClient:
        if self._client is None:
            self._client = _client(self._bus)
        if not self._client.connect():
            msg = f"cannot connect to {describe(self._bus)}"
            raise NoAnswerError(msg)
        return self._client

    def _disconnect(self) -> None:
        if self._client is not None:
            self._client.close()  # type: ignore[no-untyped-call]  # pymodbus left it untyped
            self._client = None


def describe(bus: Bus) -> str:
    """Where a bus is, for people."""
    return f"{bus.host}:{bus.port}" if isinstance(bus, TcpBus) else bus.device


def _client(bus: Bus) -> ModbusBaseSyncClient:
    if isinstance(bus, TcpBus):
        return ModbusTcpClient(bus.host, port=bus.port, timeout=bus.timeout_s, retries=0)
    return ModbusSerialClient(
        bus.device,
        baudrate=bus.baudrate,
        parity=bus.parity,
        stopbits=bus.stopbits,
        timeout=bus.timeout_s,
        retries=0,
    )
