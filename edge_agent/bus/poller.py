"""One thread a bus: asks its devices in turn, and hands what they say on."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import structlog

from edge_agent.bus.modbus import GarbledError, ModbusBus, NoAnswerError
from edge_agent.bus.reader import Counts, DeviceReader, Tared
from edge_agent.bus.registers import Decoded
from edge_agent.bus.schedule import Job, Schedule
from edge_agent.settings import Device
from edge_agent.threads import thread_in_context

IDLE_S: Final = 1.0

log = structlog.get_logger()


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
        self.slow: list[str] = []
        """Devices that are asked less often than configured, because their answers hold up the others."""
        self.polls = 0
        self.late_s = 0.0
        """Polls so far, and by how much they began after their deadlines, in all."""
        self.missed = 0
        """Deadlines that were skipped because the bus had no time."""
        self.error: Exception | None = None

    def start(self) -> None:
        """Begin to poll."""
        self._thread.start()

    def stop(self) -> None:
        """End after the request that is on its way."""
        self._stopping.set()
        self._thread.join()
        self._bus.close()

    def tare(self, device: str, bay: int) -> Tared:
        """Zero a bay, between two polls; may be called from any thread. Raises KeyError, TareError."""
        return self._readers[device].tare(bay)

    @property
    def requests(self) -> int:
        """Requests sent so far."""
        return sum(reader.counts.requests for reader in self._readers.values())

    @property
    def counts(self) -> Mapping[str, Counts]:
        """What became of the requests, by device."""
        return {name: reader.counts for name, reader in self._readers.items()}

    def _run(self) -> None:
        jobs = [Job(name, period_s) for name, reader in self._readers.items() for period_s in reader.periods()]
        jobs.sort(key=lambda job: (job.period_s, job.device))
        schedule = Schedule(jobs, time.monotonic())
        try:
            while not self._stopping.is_set():
                now_s = time.monotonic()
                due_s = schedule.next_s()
                job = schedule.take(now_s)
                self.missed = schedule.missed
                if job is None:
                    self._stopping.wait(min(IDLE_S, max(0.0, schedule.next_s() - now_s)))
                else:
                    self.polls += 1
                    self.late_s += now_s - due_s
                    self._poll(schedule, job, now_s)
        except Exception as error:  # outermost loop of the thread
            self.error = error
            log.exception("poller_died")
            raise

    def _poll(self, schedule: Schedule, job: Job, start_s: float) -> None:
        reader = self._readers[job.device]
        try:
            decoded = reader.poll(job.period_s)
        except (NoAnswerError, GarbledError) as error:
            self._note_failure(schedule, reader, error)
            return
        now_s = time.monotonic()
        if schedule.note_answer(job, now_s, now_s - start_s):
            log.info("device_answers", device=job.device)
            self.silent = schedule.parked()
            reader.forget()
        slow = schedule.slow()
        if slow != self.slow:
            for device in set(slow) - set(self.slow):
                log.warning("device_slow", device=device, answer_s=round(now_s - start_s, 3))
            self.slow = slow
        self._sink(int(now_s * 1000), decoded)

    def _note_failure(self, schedule: Schedule, reader: DeviceReader, error: Exception) -> None:
        device = reader.device.name
        if isinstance(error, GarbledError):
            pause_s = schedule.note_garble(device, time.monotonic())
        else:
            reader.counts.silences += 1
            pause_s = schedule.note_silence(device, time.monotonic())
        if pause_s > 0.0 and device not in self.silent:
            log.warning("device_silent", device=device, error=str(error), again_s=pause_s)
        self.silent = schedule.parked()
