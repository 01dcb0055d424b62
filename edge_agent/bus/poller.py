"""One thread a bus: asks its devices in turn, and hands what they say on."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from edge_agent.bus.modbus import ILLEGAL_ADDRESS, ModbusBus, NoAnswerError, RefusedError
from edge_agent.bus.plan import Map, Request, learn_refusal, plan
from edge_agent.bus.registers import Decoded, Function, Register, decode
from edge_agent.bus.schedule import Job, Schedule
from edge_agent.settings import Device
from edge_agent.threads import thread_in_context

IDLE_S: Final = 1.0
LEARN_MAX: Final = 40
"""Refusals that one poll may learn from; the rest is learnt at the next."""

log = structlog.get_logger()


class DeviceReader:
    """Reads one device: knows its register map, and the status words that qualify its values."""

    def __init__(self, device: Device, bus: ModbusBus) -> None:
        self.device = device
        self._bus = bus
        self._map = Map()
        self._plans: dict[float, list[Request]] = {}
        self._flag_words: dict[tuple[Function, int], int] = {}
        self._flags = {(r.function, r.address) for r in device.registers if not r.channel}
        self.requests = 0
        self.refusals = 0

    def periods(self) -> list[float]:
        """Periods that its registers have, shortest first."""
        return sorted({register.period_s for register in self.device.registers})

    def poll(self, period_s: float | None = None) -> list[Decoded]:
        """Read the registers of one period (None: all). Raises NoAnswerError when the device is silent."""
        registers = [r for r in self.device.registers if period_s is None or r.period_s == period_s]
        words = dict(self._flag_words)
        for request in self._plan(period_s, registers):
            words.update(self._read(request, registers))
        self._flag_words.update((place, words[place]) for place in self._flags if place in words)
        return decode(registers, words)

    def _plan(self, period_s: float | None, registers: Sequence[Register]) -> list[Request]:
        key = -1.0 if period_s is None else period_s
        if key not in self._plans:
            self._plans[key] = plan(registers, self._map)
        return self._plans[key]

    def _read(self, request: Request, registers: Sequence[Register]) -> dict[tuple[Function, int], int]:
        """Words of a range; after exception 2 of what is there of it, by smaller ranges that are remembered."""
        pending = [request]
        words: dict[tuple[Function, int], int] = {}
        for _ in range(LEARN_MAX):
            if not pending:
                break
            asked = pending.pop(0)
            self.requests += 1
            try:
                values = self._bus.read(self.device.unit, asked)
            except RefusedError as error:
                self.refusals += 1
                if error.code == ILLEGAL_ADDRESS:
                    pending[:0] = self._learn(asked, registers)
                else:
                    log.debug("request_refused", device=self.device.name, code=error.code)
                continue
            words.update(((asked.function, asked.address + k), value) for k, value in enumerate(values))
        return words

    def _learn(self, refused: Request, registers: Sequence[Register]) -> list[Request]:
        self._map = learn_refusal(refused, registers, self._map)
        self._plans.clear()
        end = refused.address + refused.size
        parts = [
            part
            for part in plan(registers, self._map)
            if part.function == refused.function and refused.address <= part.address < end
        ]
        if not parts:
            log.warning("register_absent", device=self.device.name, address=refused.address)
        return parts


class Poller:
    """Polls the devices of one bus. ``sink(mono_ms, decoded)`` is called in its thread."""

    def __init__(
        self, name: str, bus: ModbusBus, devices: Sequence[Device], sink: Callable[[int, list[Decoded]], None]
    ) -> None:
        self._bus = bus
        self._readers = {device.name: DeviceReader(device, bus) for device in devices}
        self._sink = sink
        self._stopping = threading.Event()
        self._thread = thread_in_context(self._run, f"bus-{name}")
        self.silent: list[str] = []
        """Devices that did not answer last time."""
        self.error: Exception | None = None

    def start(self) -> None:
        """Begin to poll."""
        self._thread.start()

    def stop(self) -> None:
        """End after the request that is on its way."""
        self._stopping.set()
        self._thread.join()
        self._bus.close()

    @property
    def requests(self) -> int:
        """Requests sent so far."""
        return sum(reader.requests for reader in self._readers.values())

    def _run(self) -> None:
        jobs = [Job(name, period_s) for name, reader in self._readers.items() for period_s in reader.periods()]
        jobs.sort(key=lambda job: (job.period_s, job.device))
        schedule = Schedule(jobs, time.monotonic())
        try:
            while not self._stopping.is_set():
                job = schedule.take(time.monotonic())
                if job is None:
                    self._stopping.wait(min(IDLE_S, max(0.0, schedule.next_s() - time.monotonic())))
                else:
                    self._poll(schedule, job)
        except Exception as error:  # outermost loop of the thread
            self.error = error
            log.exception("poller_died")
            raise

    def _poll(self, schedule: Schedule, job: Job) -> None:
        try:
            decoded = self._readers[job.device].poll(job.period_s)
        except NoAnswerError as error:
            pause_s = schedule.note_silence(job.device, time.monotonic())
            if job.device not in self.silent:
                log.warning("device_silent", device=job.device, error=str(error), again_s=pause_s)
            self.silent = schedule.parked()
            return
        if schedule.note_answer(job.device):
            log.info("device_answers", device=job.device)
            self.silent = schedule.parked()
        self._sink(time.monotonic_ns() // 1_000_000, decoded)
