"""What an installer asks of the buses: does every device answer, with which values, and who else is there."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from contracts.metrics import unit_for
from edge_agent.bus.modbus import ModbusBus, NoAnswerError, RefusedError
from edge_agent.bus.plan import Request
from edge_agent.bus.reader import DeviceReader
from edge_agent.bus.registers import Decoded, Function
from edge_agent.settings import Device
from edge_agent.tables import Bus

SCAN_TIMEOUT_S: Final = 0.2
_PROBES: Final = (Function.INPUT_REGISTERS, Function.HOLDING_REGISTERS)


class Checked(NamedTuple):
    """What one device said: its values, or why there are none. ``absent``: channels that it does not have."""

    device: Device
    values: Sequence[Decoded]
    error: str = ""

    @property
    def absent(self) -> list[str]:
        """Channels of the configuration that brought no value."""
        seen = {decoded.channel for decoded in self.values}
        return [r.channel for r in self.device.registers if r.channel and r.channel not in seen]

    def as_json(self) -> dict[str, object]:
        """For --json."""
        return {
            "device": self.device.name,
            "bus": self.device.bus,
            "unit": self.device.unit,
            "profile": self.device.profile,
            "ok": not self.error and not self.absent,
            "error": self.error,
            "absent": [] if self.error else self.absent,
            "values": [
                {"channel": v.channel, "value": v.value, "unit": unit_for(v.channel), "quality": v.quality.name.lower()}
                for v in self.values
            ],
        }


def check(devices: Sequence[Device], buses: Mapping[str, Bus]) -> Iterator[Checked]:
    """Read every register of every device once."""
    opened = {name: ModbusBus(bus) for name, bus in buses.items()}
    try:
        for device in devices:
            reader = DeviceReader(device, opened[device.bus])
            try:
                # Twice: the status words that qualify values may come after them.
                reader.poll()
                yield Checked(device, reader.poll())
            except NoAnswerError as error:
                yield Checked(device, (), str(error))
    finally:
        for bus in opened.values():
            bus.close()


class Found(NamedTuple):
    """A unit that answered, and to which function."""

    unit: int
    function: Function
    answer: str


def scan(bus: Bus, units: Sequence[int]) -> Iterator[tuple[int, Found | None]]:
    """Ask each unit for one register; an exception is an answer too."""
    opened = ModbusBus(replace_timeout(bus, min(bus.timeout_s, SCAN_TIMEOUT_S)))
    try:
        for unit in units:
            yield unit, _probe(opened, unit)
    finally:
        opened.close()


def replace_timeout(bus: Bus, timeout_s: float) -> Bus:
    """The same bus with another time-out."""
    return bus.model_copy(update={"timeout_s": timeout_s})


def _probe(bus: ModbusBus, unit: int) -> Found | None:
    for function in _PROBES:
        try:
            (word,) = bus.read(unit, Request(function, 0, 1))
        except RefusedError as error:
            return Found(unit, function, str(error))
        except NoAnswerError:
            return None
        return Found(unit, function, f"register 0 is {word}")
    return None
