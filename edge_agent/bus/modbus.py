"""Modbus by pymodbus: one connection and one request at a time on each bus, errors translated once."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from pymodbus.client import ModbusSerialClient, ModbusTcpClient
from pymodbus.client.base import ModbusBaseSyncClient
from pymodbus.exceptions import ConnectionException, ModbusException
from pymodbus.pdu import ModbusPDU

from edge_agent.bus import rtu
from edge_agent.bus.plan import Request
from edge_agent.bus.registers import Function, Write
from edge_agent.tables import Bus, RtuBus, TcpBus

ILLEGAL_FUNCTION: Final = 1
ILLEGAL_ADDRESS: Final = 2
ILLEGAL_VALUE: Final = 3
DEVICE_FAILURE: Final = 4
ACKNOWLEDGE: Final = 5
BUSY: Final = 6
REST_S: Final = 0.1
"""On a serial line, the longest silence within an answer. What is not whole by then is garbled."""
_SILENT_CODES: Final = frozenset({10, 11})
"""Gateway path unavailable, target failed to respond: a TCP gateway says that its slave is dead."""
_CONNECTION_PREFIX: Final = "Modbus Error: [Connection] "
_WRITE_COIL: Final = 5
_WRITE_REGISTER: Final = 6

# pymodbus logs every failed connection as an error; the poller logs what it means, once.
logging.getLogger("pymodbus").setLevel(logging.CRITICAL)


class ModbusError(Exception):
    """A request that brought no data."""


class NoAnswerError(ModbusError):
    """Nobody answered in time, or the connection was refused or lost."""


class UnreachableError(NoAnswerError):
    """There is no connection to the bus itself: nobody on it could be asked."""


class GarbledError(ModbusError):
    """Bytes came, but no answer to what was asked: noise on the line, or a late answer to an earlier question."""


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
        self._expected: tuple[int, int, int] = (0, 0, 0)
        self._heard = False
        self.busy_s = 0.0
        """How long the line was taken by requests and the waiting for their answers, in all."""

    def read(self, unit: int, request: Request) -> Sequence[int]:
        """Words (or bits, 0 or 1) of a range. Raises NoAnswerError, GarbledError, RefusedError."""
        function, address, size = request
        expected = (unit, int(function), rtu.answer_bytes(request))
        response = self._execute(expected, lambda client: _READS[function](client, address, count=size, device_id=unit))
        if function in {Function.COILS, Function.DISCRETE_INPUTS}:
            values: Sequence[int] = [int(bit) for bit in response.bits[:size]]
        else:
            values = response.registers
        if len(values) != size:
            msg = f"{len(values)} values for {size}"
            raise GarbledError(msg)
        return values

    def write(self, unit: int, write: Write) -> None:
        """Write one coil or holding register. Raises as ``read``; after a NoAnswerError it may have been done."""
        if write.function is Function.COILS:
            self._execute(
                (unit, _WRITE_COIL, rtu.WRITE_BYTES),
                lambda client: client.write_coil(write.address, bool(write.value), device_id=unit),
            )
        else:
            self.write_register(unit, write.address, write.value)

    def write_register(self, unit: int, address: int, value: int) -> None:
        """Write one holding register (function 6). Raises as ``write``."""
        self._execute(
            (unit, _WRITE_REGISTER, rtu.WRITE_BYTES),
            lambda client: client.write_register(address, value, device_id=unit),
        )

    def close(self) -> None:
        """Close the connection; the next request opens it again."""
        with self._lock:
            self._disconnect()

    def _execute(self, expected: tuple[int, int, int], send: Callable[[ModbusBaseSyncClient], ModbusPDU]) -> ModbusPDU:
        with self._lock:
            began_s = time.monotonic()
            try:
                client = self._connected()
                self._expected, self._heard = expected, False
                client.comm_params.timeout_connect = self._bus.timeout_s
                response = send(client)
            except (ModbusException, OSError) as error:
                if isinstance(self._bus, TcpBus) or isinstance(error, ConnectionException | OSError):
                    # A late answer must not be taken for that of the next request: start afresh. A serial port stays
                    # open: what comes late is thrown away before the next request, and `rtu` knows its own.
                    self._disconnect()
                raise self._translated(error) from error
            finally:
                self.busy_s += time.monotonic() - began_s
        unit, function, _ = expected
        if response.isError():
            code = response.exception_code
            if code in _SILENT_CODES:
                msg = f"the gateway says that unit {unit} does not answer (exception {code})"
                raise NoAnswerError(msg)
            raise RefusedError(code)
        if response.function_code != function:
            msg = f"function {response.function_code} answered for {function}"
            raise GarbledError(msg)
        return response

    def _translated(self, error: Exception) -> ModbusError:
        if self._heard:
            return GarbledError("what came is no answer: noise, a wrong speed or parity, or two units with one number")
        if isinstance(error, ConnectionException | OSError):
            return UnreachableError(str(error).removeprefix(_CONNECTION_PREFIX))
        return NoAnswerError(f"no answer within {self._bus.timeout_s:g} s")

    def _connected(self) -> ModbusBaseSyncClient:
        if self._client is None:
            self._client = self._new_client()
        if not self._client.connect():
            msg = f"cannot connect to {describe(self._bus)}"
            raise ConnectionException(msg)
        return self._client

    def _disconnect(self) -> None:
        if self._client is not None:
            self._client.close()  # type: ignore[no-untyped-call]  # pymodbus left it untyped
            self._client = None

    def _new_client(self) -> ModbusBaseSyncClient:
        bus = self._bus
        if isinstance(bus, RtuBus):
            return ModbusSerialClient(
                bus.device,
                baudrate=bus.baudrate,
                parity=bus.parity,
                stopbits=bus.stopbits,
                timeout=bus.timeout_s,
                retries=0,
                trace_packet=self._hear_serial,
            )
        return ModbusTcpClient(bus.host, port=bus.port, timeout=bus.timeout_s, retries=0, trace_packet=self._hear_tcp)

    def _hear_tcp(self, sending: bool, data: bytes) -> bytes:  # noqa: FBT001 - pymodbus calls it so
        self._heard = not sending
        return data

    def _hear_serial(self, sending: bool, data: bytes) -> bytes:  # noqa: FBT001 - pymodbus calls it so
        """All bytes since the request; what is returned pymodbus decodes (nothing: it waits for more)."""
        if sending:
            return data
        self._heard = True
        assert self._client is not None
        self._client.comm_params.timeout_connect = min(REST_S, self._bus.timeout_s)
        return rtu.find_answer(data, *self._expected) or b""


_READS: Final[dict[Function, Callable[..., ModbusPDU]]] = {
    Function.COILS: ModbusBaseSyncClient.read_coils,
    Function.DISCRETE_INPUTS: ModbusBaseSyncClient.read_discrete_inputs,
    Function.HOLDING_REGISTERS: ModbusBaseSyncClient.read_holding_registers,
    Function.INPUT_REGISTERS: ModbusBaseSyncClient.read_input_registers,
}


def describe(bus: Bus) -> str:
    """Where a bus is, for people."""
    if isinstance(bus, TcpBus):
        return f"{bus.host}:{bus.port}"
    return f"{bus.device} {bus.baudrate} 8{bus.parity}{bus.stopbits}"
