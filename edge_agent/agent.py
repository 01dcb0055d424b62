"""The running agent: polling -> frames -> outbox -> sender, and the remote part that changes what is polled.

Threads: one a bus (``poller``), one that writes (``writer``), one that sends (``sender``), two of the remote part,
and the caller's, which runs ``Agent.run``: it builds the frames, and alone replaces the polling. They meet in
queues only.
"""

import os
import queue
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from enum import Enum, auto
from typing import Final

import msgspec
import structlog

from contracts.errors import UserError
from contracts.frames import Answer
from contracts.topics import Lane
from edge_agent.clock import Clock, machine_id
from edge_agent.outbox.builder import FrameBuilder, Polled, event_frame, ulid
from edge_agent.outbox.file import Entry, Outbox, OutboxFullError
from edge_agent.outbox.writer import OutboxWriter
from edge_agent.polling import Found, Polling
from edge_agent.remote.actions import actions
from edge_agent.remote.answers import answer_frame
from edge_agent.remote.control import Remote
from edge_agent.remote.desired import settle_after_start
from edge_agent.remote.host import HostStoppingError
from edge_agent.remote.store import RemoteStore, StoreError, store_path
from edge_agent.remote.trial import Health
from edge_agent.settings import Settings
from edge_agent.shelf.decision import audit
from edge_agent.shelf.inference import Inferred
from edge_agent.uplink.sender import Sender

MEMORIES_EVERY_S: Final = 60.0
IDLE_S: Final = 1.0
GATHER_S: Final = 0.05
"""Between two looks at what the pollers found; the first after a silence is taken at once."""
STUCK_S: Final = 30.0
DRAIN_CHECK_S: Final = 0.2
OWED_MAX: Final = 10_000
"""Decisions that wait in memory while the disk takes nothing; then the oldest are refused, and counted."""
SETTLE_S: Final = 10.0
"""After so long, what has not answered yet is not waited for any more (before a configuration is tried)."""

log = structlog.get_logger()


class Request(Enum):
    """What a signal asks of the agent."""

    FREEZE = auto()
    """Poll no more, go on sending."""
    STOP = auto()


class _Call:
    """Something to be done in the agent's thread; who asked waits for it."""

    def __init__(self, run: Callable[[], bool]) -> None:
        self.run = run
        self.ended = threading.Event()
        self.result: bool | None = None


_Item = Found | Request | _Call
MakePolling = Callable[[Settings, Callable[[Found], None], Callable[[], str], Mapping[str, bytes]], Polling]
"""Makes the polling of one configuration; the arguments are ``Polling``'s."""


class Agent:
    """One gateway. ``run`` returns after ``ask(Request.STOP)``; ``version`` is told in presence.

    It is the remote part's ``Host``. ``make_polling`` takes another's place in simulations that need no Modbus.
    """

    def __init__(self, settings: Settings, clock: Clock, version: str, make_polling: MakePolling | None = None) -> None:
        if settings.broker is None:
            msg = f"{settings.source}: no broker"
            raise UserError(msg, "set broker.url there, or MQTT_URL in the environment")
        self.base = settings
        self.clock = clock
        self.version = version
        self._inbox: queue.SimpleQueue[_Item] = queue.SimpleQueue()
        self._stops_asked = 0
        self._round_s = self._began_s = time.monotonic()
        self.is_running = False
        self.decisions: Counter[str] = Counter()
        """Of the inference, since the start, by kind."""
        self._owed: deque[Entry] = deque()
        self._is_polling = False
        self._is_frozen = False
        self._is_ending = threading.Event()
        self.outbox = Outbox(
            settings.outbox,
            machine=machine_id(),
            max_bytes=settings.outbox_max_bytes,
            max_age_s=settings.outbox_max_age_s,
            clock=clock,
        )
        self.store = RemoteStore(store_path(settings.outbox))
        try:
            self.outbox.open()
            self.store.open()
            now_ms = clock.now().utc_ms
            in_force = settle_after_start(self.store, settings, self.outbox.slots(), now_ms)
        except (OutboxFullError, StoreError, OSError) as error:
            msg = f"outbox {settings.outbox}: {error}"
            raise UserError(msg, "the gateway keeps unsent readings there; give it room and write access") from error
        self._builder = _builder(in_force.settings)
        self._make_polling = make_polling or Polling
        self.polling = self._make_polling(in_force.settings, self._inbox.put, self._new_id, in_force.memories)
        self.writer = OutboxWriter(self.outbox)
        polling_lock = threading.Lock()
        self.remote = Remote(self.store, self, actions(self.store, self, polling_lock), polling_lock)
        self.sender = Sender(
            address=settings.address,
            broker=settings.broker,
            store=self.outbox,
            clock=clock,
            agent=version,
            on_down=self.remote.receive,
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
        self._start_polling()
        self.remote.start()
        self.is_running = True
        log.info(
            "agent_started",
            gateway=self.base.address.gateway,
            devices=len(self.polling.settings.devices),
            config=self.remote.configurator.version,
        )
        try:
            self._build_until_stopped()
        finally:
            self._shut_down()

    def is_healthy(self) -> bool:
        """Whether it is alive and the outbox can be written. A missing broker is no illness."""
        return self.is_alive() and not self.writer.is_full

    def is_alive(self) -> bool:
        """Whether all threads live, and this one goes round: what a restart would mend, a full disk is not of it."""
        return not self._errors() and time.monotonic() - self._round_s < STUCK_S

    def _errors(self) -> list[Exception]:
        """Of threads that ended by themselves."""
        errors = [self.sender.error, self.writer.error, self.remote.error, *self.polling.errors]
        return [error for error in errors if error is not None]

    @property
    def status(self) -> str:
        """One line for people."""
        depth, silent = self.outbox.depth(), len(self.polling.silent)
        return (
            f"{'connected' if self.sender.is_connected else 'not connected'}, {depth.frames} frames wait,"
            f" {silent} of {len(self.polling.settings.devices)} devices silent"
        )

    # ------------------------------------------------------------------ building

    def _build_until_stopped(self) -> None:
        memories_s = time.monotonic() + MEMORIES_EVERY_S
        while True:
            self._round_s = time.monotonic()
            self._take(self._wait_s())
            while not self._inbox.empty() and not self._stops_asked:
                self._take(0.0)
            if self._stops_asked:
                return
            self._hand_over()
            due_ms = self._builder.due_ms()
            if due_ms is not None and self.clock.now().mono_ms >= due_ms:
                self._close_frame()
            if time.monotonic() >= memories_s:
                self.writer.keep(self.polling.memories())
                memories_s = time.monotonic() + MEMORIES_EVERY_S
            # What comes next is taken together: waking for each poll of a hundred devices costs more than the polls.
            # An event and no sleep: it waits for a span, which no step of the clock cuts short or makes invalid.
            self._is_ending.wait(GATHER_S)

    def _wait_s(self) -> float:
        due_ms = self._builder.due_ms()
        return IDLE_S if due_ms is None else max(0.0, (due_ms - self.clock.now().mono_ms) / 1000)

    def _take(self, timeout_s: float) -> None:
        try:
            item = self._inbox.get(timeout=timeout_s) if timeout_s > 0 else self._inbox.get_nowait()
        except queue.Empty:
            return
        match item:
            case Request.FREEZE:
                self._is_frozen = True
                self._stop_polling()
                log.info("agent_frozen")
            case Request.STOP:
                pass
            case _Call():
                if not self._is_ending.is_set():
                    item.result = item.run()
                item.ended.set()
            case _:
                self._build(item)

    def _build(self, found: Found) -> None:
        if isinstance(found, Inferred):
            frame = event_frame(found.decisions, self.clock.now(), self.clock.boot)
            records = [msgspec.json.encode(audit(decision)) for decision in found.decisions]
            self._owed.append(Entry(Lane.EVT, frame, 0, found.memories, records))
            self._hand_over()
            for decision in found.decisions:
                self.decisions[decision.kind.value] += 1
                log.debug("event_inferred", slot=decision.slot, kind=decision.kind.value, units=decision.units)
            return
        rest: Polled | None = found
        while rest is not None:
            rest = self._builder.add(rest)
            if self._builder.is_full():
                self._close_frame()

    def _hand_over(self) -> None:
        """Decisions wait here when even their reserved places are taken: the count on the slot has moved already."""
        while self._owed and (self.writer.has_room(Lane.EVT) or len(self._owed) > OWED_MAX):
            self.writer.put(self._owed.popleft())

    def _close_frame(self) -> None:
        taken = self._builder.take(self.clock.now(), self.clock.boot)
        if taken is not None:
            frame, readings = taken
            lane = Lane.BULK if self.sender.is_offline else Lane.TEL
            self.writer.put(Entry(lane, frame, readings))

    def _new_id(self) -> str:
        return ulid(self.clock.now().utc_ms, os.urandom(10))

    # ------------------------------------------------------------------ polling

    def _start_polling(self) -> None:
        self._began_s = time.monotonic()
        if not self._is_frozen:
            self.polling.start()
            self._is_polling = True

    def _stop_polling(self) -> None:
        """End the pollers and put what they said last into frames."""
        if not self._is_polling:
            return
        self._is_polling = False
        self.polling.stop()
        while not self._inbox.empty():
            self._take(0.0)
        self._close_frame()

    # ------------------------------------------------------------------ remote.Host

    def health(self) -> Health:
        """See Host."""
        polling = self.polling
        return Health(
            devices=frozenset(device.name for device in polling.settings.devices),
            answering=polling.answering(self.base.health_window_s),
            is_heard=self.sender.is_connected and not self.sender.is_offline,
            is_outbox_full=self.writer.is_full,
            errors=tuple(str(error) for error in self._errors()),
        )

    def has_settled(self) -> bool:
        """See Host."""
        health = self.health()
        unknown = health.devices - health.answering - self.polling.silent
        return not unknown or time.monotonic() - self._began_s >= SETTLE_S

    def swap(self, settings: Settings, memories: Mapping[str, bytes]) -> None:
        """See Host."""

        def run() -> bool:
            self._stop_polling()
            self._builder = _builder(settings)
            self.polling = self._make_polling(settings, self._inbox.put, self._new_id, memories)
            self._start_polling()
            return True

        self._call(run)

    def tell(self, answer: Answer) -> bool:
        """See Host."""

        def run() -> bool:
            frame = answer_frame(answer, self.clock.now(), self.clock.boot)
            return self.writer.put(Entry(Lane.RSP, frame, 0))

        return self._call(run)

    def leave(self) -> None:
        """See Host."""
        self.ask(Request.STOP)

    def _call(self, run: Callable[[], bool]) -> bool:
        """Run it in the agent's thread. Raises HostStoppingError."""
        call = _Call(run)
        self._inbox.put(call)
        while not call.ended.wait(IDLE_S):
            if self._is_ending.is_set():
                raise HostStoppingError
        if call.result is None:
            raise HostStoppingError
        return call.result

    # ------------------------------------------------------------------ ending

    def _shut_down(self) -> None:
        self._is_ending.set()
        self._stop_polling()
        self.remote.stop()
        self._hand_over()
        drained = self._drain()
        self.sender.stop()
        kept = self.writer.stop(self.polling.memories())
        self.outbox.close()
        self.store.close()
        log.info("agent_stopped", drained=drained, kept=kept)

    def _drain(self) -> bool:
        """Wait until everything is committed, ``drain_s`` at most; True when it is."""
        deadline_s = time.monotonic() + self.base.drain_s
        self.sender.hurry()
        while time.monotonic() < deadline_s and self._stops_asked < 2:  # noqa: PLR2004 - the second one is impatient
            self._round_s = time.monotonic()
            if self.writer.is_idle and all(m.committed == m.last for m in self.outbox.marks().values()):
                return True
            try:
                self._inbox.get(timeout=DRAIN_CHECK_S)  # a second STOP ends the wait
            except queue.Empty:
                continue
        return False


def _builder(settings: Settings) -> FrameBuilder:
    return FrameBuilder(settings.report.frame_readings, settings.report.frame_ms)
