"""What an installer asks of the buses: does every device answer, with which values, how fast, and who else is there."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from contracts.errors import UserError
from contracts.metrics import unit_for
from edge_agent.bus.modbus import (
    ILLEGAL_FUNCTION,
    GarbledError,
    ModbusBus,
    ModbusError,
    NoAnswerError,
    RefusedError,
    UnreachableError,
)
from edge_agent.bus.plan import Request
from edge_agent.bus.reader import DeviceReader
from edge_agent.bus.registers import Decoded, Function
from edge_agent.settings import Device
from edge_agent.tables import Bus

SCAN_TIMEOUT_S: Final = 0.2
_MS: Final = 1_000
_BITS: Final = frozenset({Function.COILS, Function.DISCRETE_INPUTS})
_PROBES: Final = (
    Function.INPUT_REGISTERS,
    Function.HOLDING_REGISTERS,
    Function.COILS,
    Function.DISCRETE_INPUTS,
)


class Checked(NamedTuple):
    """What one device said: its values, or why there are none.

    ``requests`` a round of all its registers takes; ``latency_ms`` of one of them on average; ``load``: the share of
    its bus's time that polling it as configured takes.
    """

    device: Device
    values: Sequence[Decoded] = ()
    error: str = ""
    requests: int = 0
    latency_ms: float = 0.0
    load: float = 0.0

    @property
    def absent(self) -> list[str]:
        """Channels of the configuration that brought no value."""
        if self.error:
            return []
        seen = {decoded.channel for decoded in self.values}
        return [r.channel for r in self.device.registers if r.channel and r.channel not in seen]

    @property
    def is_ok(self) -> bool:
        """Whether it answered with all of its channels."""
        return not self.error and not self.absent

    def as_json(self) -> dict[str, object]:
        """For --json."""
        return {
            "device": self.device.name,
            "bus": self.device.bus,
            "unit": self.device.unit,
            "profile": self.device.profile,
            "ok": self.is_ok,
            "error": self.error,
            "absent": self.absent,
            "requests": self.requests,
            "latency_ms": round(self.latency_ms, 2),
            "load": round(self.load, 4),
            "values": [
                {"channel": v.channel, "value": v.value, "unit": unit_for(v.channel), "quality": v.quality.name.lower()}
                for v in self.values
            ],
        }


def check(devices: Sequence[Device], buses: Mapping[str, Bus]) -> Iterator[Checked]:
    """Read every register of every device."""
    opened = {name: ModbusBus(bus) for name, bus in buses.items()}
    try:
        for device in devices:
            try:
                yield _check(DeviceReader(device, opened[device.bus]))
            except ModbusError as error:
                yield Checked(device, error=str(error))
    finally:
        for bus in opened.values():
            bus.close()


def _check(reader: DeviceReader) -> Checked:
    # Once for what it refuses and for its status words, then as it will be polled.
    reader.poll()
    values: list[Decoded] = []
    before, total_s, load = reader.counts.requests, 0.0, 0.0
    for period_s in reader.periods():
        began_s = time.monotonic()
        values += reader.poll(period_s)
        took_s = time.monotonic() - began_s
        total_s += took_s
        load += took_s / period_s
    requests = reader.counts.requests - before
    return Checked(reader.device, values, "", requests, total_s / max(1, requests) * _MS, load)


def bus_loads(checked: Iterable[Checked]) -> dict[str, float]:
    """How busy each bus will be: over 1, its devices cannot all be polled as often as configured."""
    loads: dict[str, float] = {}
    for each in checked:
        loads[each.device.bus] = loads.get(each.device.bus, 0.0) + each.load
    return loads


class Found(NamedTuple):
    """A unit that answered, how fast, and what it said to each function that it knows ('' for noise only)."""

    unit: int
    latency_ms: float
    answers: Mapping[Function, str]

    @property
    def is_garbled(self) -> bool:
        """Somebody spoke, and it was no Modbus: a wrong speed or parity, or two units with one number."""
        return not self.answers

    def as_json(self) -> dict[str, object]:
        """For --json."""
        return {
            "unit": self.unit,
            "latency_ms": round(self.latency_ms, 2),
            "garbled": self.is_garbled,
            "answers": {function.name.lower(): answer for function, answer in self.answers.items()},
        }


def scan(bus: Bus, units: Iterable[int], timeout_s: float = SCAN_TIMEOUT_S) -> Iterator[tuple[int, Found | None]]:
    """Ask each unit for its first register, and who answers for the other tables too; an exception is an answer.

    Raises UserError when there is no connection to the bus.
    """
    opened = ModbusBus(bus.model_copy(update={"timeout_s": min(bus.timeout_s, timeout_s)}))
    try:
        for unit in units:
            yield unit, _find(opened, unit)
    finally:
        opened.close()


def _find(bus: ModbusBus, unit: int) -> Found | None:
    answers: dict[Function, str] = {}
    first_s = 0.0
    for function in _PROBES:
        began_s = time.monotonic()
        try:
            answer = _probe(bus, unit, function)
        except UnreachableError as error:
            raise UserError(str(error), "is it plugged in, and does no other program hold it?") from error
        except NoAnswerError:
            if not answers:
                return None
            continue
        except GarbledError:
            continue
        first_s = first_s or time.monotonic() - began_s
        if answer:
            answers[function] = answer
    return Found(unit, first_s * _MS, answers)


def _probe(bus: ModbusBus, unit: int, function: Function) -> str:
    """What it says of address 0; '' when it does not know the function."""
    try:
        (word,) = bus.read(unit, Request(function, 0, 1))
    except RefusedError as error:
        return "" if error.code == ILLEGAL_FUNCTION else str(error)
    return f"{'bit' if function in _BITS else 'register'} 0 is {word}"
