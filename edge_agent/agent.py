"""The running agent: pollers -> report by exception and inference -> frames -> outbox -> sender.

Threads: one a bus (``poller``), one that writes (``writer``), one that sends (``sender``), paho's, and the caller's,
which runs ``Agent.run`` and builds the frames. They meet in queues only.
"""

import os
import queue
import time
from enum import Enum, auto
from typing import Final

import structlog

from contracts.errors import UserError
from contracts.topics import Lane
from edge_agent.clock import Clock, machine_id
from edge_agent.outbox.builder import FrameBuilder, event_frame, ulid
from edge_agent.outbox.file import Entry, Outbox, OutboxFullError
from edge_agent.outbox.writer import OutboxWriter
from edge_agent.polling import Found, Polling
from edge_agent.settings import Settings
from edge_agent.shelf.inference import Inferred
from edge_agent.uplink.sender import Sender

MEMORIES_EVERY_S: Final = 60.0
IDLE_S: Final = 1.0
DRAIN_CHECK_S: Final = 0.2

log = structlog.get_logger()


class Request(Enum):
    """What a signal asks of the agent."""

    FREEZE = auto()
    """Poll no more, go on sending."""
    STOP = auto()


_Item = Found | Request


class Agent:
    """One gateway. ``run`` returns after ``ask(Request.STOP)``; ``version`` is told in presence."""

    def __init__(self, settings: Settings, clock: Clock, version: str) -> None:
        if settings.broker is None:
            msg = f"{settings.source}: no broker"
            raise UserError(msg, "set broker.url there, or MQTT_URL in the environment")
        self._settings = settings
        self._clock = clock
        self._inbox: queue.SimpleQueue[_Item] = queue.SimpleQueue()
        self._builder = FrameBuilder(settings.report.frame_readings, settings.report.frame_ms)
        self._stops_asked = 0
        self.outbox = Outbox(settings.outbox, machine=machine_id(), max_bytes=settings.outbox_max_bytes)
        try:
            self.outbox.open()
        except (OutboxFullError, OSError) as error:
            msg = f"outbox {settings.outbox}: {error}"
            raise UserError(msg, "the gateway keeps unsent readings there; give it room and write access") from error
        self.polling = Polling(settings, self._inbox.put, self._new_id, self.outbox.slots())
        self._is_polling = False
        self.writer = OutboxWriter(self.outbox)
        self.sender = Sender(
            address=settings.address, broker=settings.broker, store=self.outbox, clock=clock, agent=version
        )

    def ask(self, request: Request) -> None:
        """Freeze or stop; may be called from a signal handler. A second STOP does not wait for the drain."""
        if request is Request.STOP:
            self._stops_asked += 1
        self._inbox.put(request)

    def run(self) -> None:
        """Poll and send until asked to stop."""
        self.writer.start()
        self.sender.start()
        self.polling.start()
        self._is_polling = True
        log.info("agent_started", gateway=self._settings.address.gateway, devices=len(self._settings.devices))
        try:
            self._build_until_stopped()
        finally:
            self._shut_down()

    def is_healthy(self) -> bool:
        """Whether all threads live and the outbox can be written. A missing broker is no illness."""
        errors = [self.sender.error, self.writer.error, *self.polling.errors]
        return not self.writer.is_full and not any(errors)

    # ------------------------------------------------------------------ building

    def _build_until_stopped(self) -> None:
        memories_s = time.monotonic() + MEMORIES_EVERY_S
        while True:
            self._take(self._wait_s())
            if self._stops_asked:
                return
            due_ms = self._builder.due_ms()
            if due_ms is not None and self._clock.now().mono_ms >= due_ms:
                self._close_frame()
            if time.monotonic() >= memories_s:
                self.writer.keep(self.polling.memories())
                memories_s = time.monotonic() + MEMORIES_EVERY_S

    def _wait_s(self) -> float:
        due_ms = self._builder.due_ms()
        return IDLE_S if due_ms is None else max(0.0, (due_ms - self._clock.now().mono_ms) / 1000)

    def _take(self, timeout_s: float) -> None:
        try:
            item = self._inbox.get(timeout=timeout_s) if timeout_s > 0 else self._inbox.get_nowait()
        except queue.Empty:
            return
        match item:
            case Request.FREEZE:
                self._stop_polling()
                log.info("agent_frozen")
            case Request.STOP:
                pass
            case Inferred():
                frame = event_frame(item.decisions, self._clock.now(), self._clock.boot)
                self.writer.put(Entry(Lane.EVT, frame, 0, item.memories))
                for decision in item.decisions:
                    log.debug("event_inferred", slot=decision.slot, kind=decision.kind.value, units=decision.units)
            case list():
                for reading in item:
                    if self._builder.add(reading):
                        self._close_frame()

    def _close_frame(self) -> None:
        taken = self._builder.take(self._clock.now(), self._clock.boot)
        if taken is not None:
            frame, readings = taken
            lane = Lane.BULK if self.sender.is_offline else Lane.TEL
            self.writer.put(Entry(lane, frame, readings))

    def _new_id(self) -> str:
        return ulid(self._clock.now().utc_ms, os.urandom(10))

    # ------------------------------------------------------------------ polling

    def _stop_polling(self) -> None:
        """End the pollers and put what they said last into frames."""
        if not self._is_polling:
            return
        self._is_polling = False
        self.polling.stop()
        while not self._inbox.empty():
            self._take(0.0)
        self._close_frame()

    # ------------------------------------------------------------------ ending

    def _shut_down(self) -> None:
        self._stop_polling()
        drained = self._drain()
        self.sender.stop()
        kept = self.writer.stop(self.polling.memories())
        self.outbox.close()
        log.info("agent_stopped", drained=drained, kept=kept)

    def _drain(self) -> bool:
        """Wait until everything is committed, ``drain_s`` at most; True when it is."""
        deadline_s = time.monotonic() + self._settings.drain_s
        while time.monotonic() < deadline_s and self._stops_asked < 2:  # noqa: PLR2004 - the second one is impatient
            if self.writer.is_idle and all(m.committed == m.last for m in self.outbox.marks().values()):
                return True
            try:
                self._inbox.get(timeout=DRAIN_CHECK_S)  # a second STOP ends the wait
            except queue.Empty:
                continue
        return False
