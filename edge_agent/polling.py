"""Everything that one configuration asks of the shelves: pollers, what they report, what they infer.

A ``Polling`` is started, stopped and thrown away as a whole, while the outbox and the sender go on: a new
configuration is a new ``Polling`` with the memories of the old one.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from edge_agent.bus.intake import READER_METRICS, Intake
from edge_agent.bus.modbus import ModbusBus
from edge_agent.bus.poller import Poller
from edge_agent.bus.reader import Tared
from edge_agent.bus.registers import SHELF_METRIC, Decoded
from edge_agent.bus.report import Reporter
from edge_agent.outbox.builder import Polled
from edge_agent.settings import Device, IntakeSettings, Settings
from edge_agent.shelf.inference import Inference, Inferred, SlotView

Found = Polled | Inferred
"""What a poll brought: readings worth sending, or decisions with the memories that they changed."""

MS_PER_S: Final = 1_000


class Polling:
    """Polls for one configuration. ``put`` gets what is found, in the threads of the buses.

    ``kept`` is what ``memories`` gave before: a slot whose article is the same goes on from there.
    """

    def __init__(
        self, settings: Settings, put: Callable[[Found], None], new_id: Callable[[], str], kept: Mapping[str, bytes]
    ) -> None:
        self.settings = settings
        self.inference = Inference(settings.slots, new_id, kept)
        self.buses = {name: ModbusBus(bus) for name, bus in settings.buses.items()}
        self._put = put
        self._bus_of = {register.channel: device.bus for device in settings.devices for register in device.registers}
        self._bays = {
            f"{device.name}-b{bay}.{SHELF_METRIC}": (device, bay)
            for device in settings.devices
            for bay in range(1, device.bays + 1)
        }
        self._lines = {name: _Line(self, name) for name in settings.buses}
        self.intake = None if settings.intake is None else _intake(settings.intake, settings, put)

    def start(self) -> None:
        """Begin to poll. Raises UserError when the port of the RFID readers is taken."""
        if self.intake is not None:
            self.intake.start()
        for line in self._lines.values():
            line.poller.start()

    def stop(self) -> None:
        """End after the requests that are on their way; then nothing more is put."""
        if self.intake is not None:
            self.intake.stop()
        for line in self._lines.values():
            line.poller.stop()

    def memories(self) -> dict[str, bytes]:
        """What the inference knows of every slot that has been seen."""
        return self.inference.memories()

    @property
    def pollers(self) -> dict[str, Poller]:
        """By bus."""
        return {bus: line.poller for bus, line in self._lines.items()}

    @property
    def polled(self) -> int:
        """Values read so far."""
        return sum(line.polled for line in self._lines.values())

    @property
    def silent(self) -> frozenset[str]:
        """Devices that did not answer when they were last asked."""
        return frozenset(device for line in self._lines.values() for device in line.poller.silent)

    @property
    def errors(self) -> list[Exception]:
        """Why pollers ended by themselves, if any did."""
        return [line.poller.error for line in self._lines.values() if line.poller.error is not None]

    def answered_s(self) -> dict[str, float]:
        """When each device last answered, in seconds of the monotonic clock; those that never did are left out."""
        return {device: at_s for line in self._lines.values() for device, at_s in line.answered_s.copy().items()}

    def answering(self, patience_s: float) -> frozenset[str]:
        """Devices that answer. One that was not asked yet, and need not have been within ``patience_s``, is of them."""
        answered = self.answered_s()
        rarely = {
            device.name
            for device in self.settings.devices
            if min(register.period_s for register in device.registers) > patience_s
        }
        return frozenset(answered.keys() | rarely) - self.silent

    # ------------------------------------------------------------------ told by people, from any thread

    def tare(self, channel: str, mono_ms: int) -> Tared:
        """Zero the bay that a channel weighs, and see that it shows zero. Raises KeyError, TareError."""
        device, bay = self._bays[channel]
        line = self._lines[device.bus]
        slots = [slot.name for slot in self.settings.slots if slot.channel == channel]
        with line.lock:  # what is read while the scale goes to zero is no sale of everything
            for slot in slots:
                self.inference.tare(slot, mono_ms)
            try:
                return line.poller.tare(device.name, bay)
            except BaseException:
                for slot in slots:
                    self.inference.tare_failed(slot)
                raise

    def count(self, slot: str, units: int, mono_ms: int) -> None:
        """Somebody counted a slot. Raises KeyError, ValueError."""
        with self._lock_of(slot):
            self.put(self.inference.count(slot, units, mono_ms))

    def look(self, slot: str) -> SlotView:
        """What is known of a slot. Raises KeyError."""
        with self._lock_of(slot):
            return self.inference.look(slot)

    def _lock_of(self, slot: str) -> threading.Lock:
        """Held while the tracker of a slot is stepped."""
        return self._lines[self._bus_of[self.inference.channel_of(slot)]].lock

    def put(self, found: Found) -> None:
        """Hand on what was found, or what somebody told the inference."""
        self._put(found)


class _Line:
    """One bus: its poller, and what became of what it said."""

    def __init__(self, polling: Polling, bus: str) -> None:
        settings = polling.settings
        devices: Sequence[Device] = [device for device in settings.devices if device.bus == bus]
        deadbands = {register.channel: register.deadband for device in devices for register in device.registers}
        self._polling = polling
        self._reporter = Reporter(deadbands, round(settings.report.heartbeat_s * MS_PER_S))
        self._device_of = {register.channel: device.name for device in devices for register in device.registers}
        self.lock = threading.Lock()
        self.polled = 0
        self.answered_s: dict[str, float] = {}
        self.poller = Poller(bus, polling.buses[bus], devices, self._take)

    def _take(self, mono_ms: int, decoded: list[Decoded]) -> None:
        """Called in the poller's thread, which alone owns the reporter."""
        with self.lock:
            inferred = self._polling.inference.step(mono_ms, decoded)
        readings = self._reporter.select(mono_ms, decoded)
        if readings:
            self._polling.put(Polled(mono_ms, readings))
        if inferred.decisions:
            self._polling.put(inferred)
        self.polled += len(decoded)
        if decoded:
            self.answered_s[self._device_of[decoded[0].channel]] = time.monotonic()


def _intake(told: IntakeSettings, settings: Settings, put: Callable[[Found], None]) -> Intake:
    """The RFID readers; their counts are reported as those of polled devices are."""
    channels = (f"{reader}.{metric}" for reader in told.readers for metric in READER_METRICS)
    reporter = Reporter(dict.fromkeys(channels, 0.0), round(settings.report.heartbeat_s * MS_PER_S))

    def take(mono_ms: int, decoded: list[Decoded]) -> None:
        readings = reporter.select(mono_ms, decoded)
        if readings:
            put(Polled(mono_ms, readings))

    return Intake(told.host, told.port, told.token, told.readers, take, told.tls)
