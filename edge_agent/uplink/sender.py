"""Sends the frames of a store until the platform has committed them. The rules are in ``window``.

One thread runs ``Sender.run``: it owns the window, and sleeps on an inbox into which the connection, the store and
``stop`` put what happens.
"""

import contextlib
import queue
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import structlog

from contracts import acks, presence, topics
from contracts.frames import Gap, GapReason
from contracts.ids import client_id
from contracts.presence import Presence, State
from contracts.topics import Down, GatewayAddress, Lane
from edge_agent.clock import Clock
from edge_agent.outbox.file import OutboxFullError
from edge_agent.outbox.store import FrameStore, Stored
from edge_agent.settings import Broker
from edge_agent.threads import thread_in_context
from edge_agent.uplink.mqtt import (
    CONNECT_TIMEOUT_S,
    INVALID_CLIENT_ID,
    NO_SUBSCRIBERS,
    NOT_AUTHORIZED,
    REASON_FAILURE,
    UNSUPPORTED_VERSION,
    Connected,
    Connection,
    Disconnected,
    Happening,
    Inbox,
    Message,
    NotConnectedError,
    Puback,
    Wake,
    Will,
)
from edge_agent.uplink.window import PRIORITY, Watermark, Window, reconnect_delay_s

PRESENCE_S: Final = 15.0
GREETING_S: Final = 0.5
"""After connecting, wait so long for the retained ack, so that nothing committed is sent again."""
FAREWELL_S: Final = 1.0
TICK_S: Final = 1.0
HAPPENINGS_MAX: Final = 256
STEADY_S: Final = 30.0
UNSTEADY_ATTEMPT_MAX: Final = 3
"""A connection that lasted so long ends a row of failures; after a shorter one (two agents with one name take it
from each other) the next waits up to 8 s."""

log = structlog.get_logger()


@dataclass(slots=True)
class SenderCounts:
    """What the sender did since it was made."""

    published: int = 0
    pubacks: int = 0
    acks: int = 0
    foreign_acks: int = 0
    go_backs: int = 0
    holds: int = 0
    refused: int = 0
    connects: int = 0
    failures: int = 0


@dataclass(slots=True)
class _Link:
    """What belongs to one connection."""

    connection: Connection
    opened_s: float
    ready_s: float
    presence_s: float
    mids: set[int] = field(default_factory=set)
    """Message ids of frames (not of presence) that await their PUBACK."""


class Sender:
    """Sends for one gateway. ``start``, then ``stop``; counts and flags may be read from any thread.

    ``on_down(kind, payload)`` gets what the platform says besides acks, in the sender's thread; None: not subscribed.
    ``jitter`` gives numbers from 0 to 1.
    """

    def __init__(  # noqa: PLR0913 - keyword-only collaborators
        self,
        *,
        address: GatewayAddress,
        broker: Broker,
        store: FrameStore,
        clock: Clock,
        agent: str = "",
        on_down: Callable[[Down, bytes], None] | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._address = address
        self._broker = broker
        self._store = store
        self._clock = clock
        self._agent = agent
        self._on_down = on_down
        self._jitter = jitter
        self._topics = {lane: topics.up(address, lane) for lane in Lane}
        self._down = {topics.down(address, kind): kind for kind in Down}
        self._inbox: Inbox = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._thread = thread_in_context(self._run, "sender")
        self._window = Window()
        self._ep = store.ep
        self._fetched: dict[Lane, deque[Stored]] = {lane: deque() for lane in Lane}
        self._version5 = True
        self._name_separator = "."
        self._since_ms = 0
        self.counts = SenderCounts()
        self.is_connected = False
        self.is_offline = True
        """Not connected, or nothing committed for a minute though frames are outstanding (chooses the lane)."""
        self.error: Exception | None = None
        """Why the thread ended by itself, if it did."""

    def start(self) -> None:
        """Begin to send."""
        self._store.subscribe(self.wake)
        self._thread.start()

    def wake(self) -> None:
        """Look again: frames were written."""
        self._inbox.put(Wake())

    def stop(self) -> None:
        """Say good-bye to the broker and end."""
        self._stopping.set()
        self.wake()
        self._thread.join()

    # ------------------------------------------------------------------ connections

    def _run(self) -> None:
        attempt = 0
        try:
            while not self._stopping.is_set():
                opened_s = time.monotonic()
                link = self._open()
                if link is not None:
                    self._serve(link)
                    attempt = 0 if time.monotonic() - opened_s >= STEADY_S else min(attempt, UNSTEADY_ATTEMPT_MAX)
                if not self._stopping.is_set():
                    self.counts.failures += 1
                    delay_s = reconnect_delay_s(attempt, self._jitter())
                    attempt += 1
                    self._stopping.wait(delay_s)
        except Exception as error:  # outermost loop of the thread
            self.error = error
            log.exception("sender_died")
            raise

    def _open(self) -> _Link | None:
        """Connect and greet, or None."""
        will = Will(topics.presence(self._address), presence.encode(Presence(v=1, state=State.OFFLINE)))
        name = client_id(self._address.tenant, self._address.gateway).replace(".", self._name_separator)
        connection = Connection(self._broker, name, will, self._inbox, version5=self._version5)
        try:
            connection.open()
            answer = self._await_answer(connection)
        except NotConnectedError as error:
            log.warning("broker_unreachable", error=str(error))
            return None
        if answer is None or answer.code != 0:
            self._refused(answer)
            connection.close()
            return None
        now_s = time.monotonic()
        self.counts.connects += 1
        self._since_ms = self._clock.now().utc_ms
        committed = {lane: marks.committed for lane, marks in self._store.marks().items()}
        self._forget_fetched()
        # One message of the broker's allowance is left for presence.
        self._window.connected(committed, answer.receive_max - 1)
        link = _Link(connection, now_s, now_s + GREETING_S, now_s)
        version = "5" if self._version5 else "3.1.1"
        log.info("broker_connected", broker=repr(self._broker), version=version, receive_max=answer.receive_max)
        return link

    def _await_answer(self, connection: Connection) -> Connected | None:
        deadline_s = time.monotonic() + CONNECT_TIMEOUT_S
        while not self._stopping.is_set():
            happening = self._next(deadline_s - time.monotonic())
            if happening is None:
                return None
            if isinstance(happening, Connected) and happening.connection is connection:
                return happening
            if isinstance(happening, Disconnected) and happening.connection is connection:
                return None
        return None

    def _refused(self, answer: Connected | None) -> None:
        """No connection: what may be the reason is tried otherwise, the version of MQTT or the client id."""
        if answer is not None and answer.code == INVALID_CLIENT_ID:
            # NATS makes subjects of client ids and takes no full stop; "/" is in no identifier either.
            self._name_separator = "/" if self._name_separator == "." else "."
        if answer is None or answer.code == UNSUPPORTED_VERSION:
            self._version5 = not self._version5
        log.warning(
            "broker_refused", broker=repr(self._broker), reason="no answer" if answer is None else answer.reason
        )

    def _serve(self, link: _Link) -> None:
        """Send until the connection is lost or it is time to stop."""
        wanted = [topic for topic, kind in self._down.items() if kind is Down.ACK or self._on_down is not None]
        try:
            link.connection.subscribe(wanted)
            self.is_connected = True
            while not self._stopping.is_set():
                self._tick(link)
                self._pump(link)
                if not self._listen(link):
                    return
            self._publish_presence(link, State.OFFLINE)
            self._await_pubacks(link)
        except NotConnectedError as error:
            log.warning("broker_lost", reason=str(error))
        finally:
            self.is_connected = False
            self.is_offline = True
            link.connection.close()

    def _await_pubacks(self, link: _Link) -> None:
        """Give the broker a moment to take what is on its way."""
        deadline_s = time.monotonic() + FAREWELL_S
        while link.mids and time.monotonic() < deadline_s:
            happening = self._next(deadline_s - time.monotonic())
            if isinstance(happening, Puback):
                link.mids.discard(happening.mid)

    # ------------------------------------------------------------------ sending

    def _tick(self, link: _Link) -> None:
        """What time alone brings: presence, lanes that stall, frames that never pass."""
        now_s = time.monotonic()
        if self._store.ep != self._ep:
            self._begin_incarnation()
        if now_s >= link.presence_s:
            self._publish_presence(link, State.ONLINE)
            link.presence_s = now_s + PRESENCE_S
        for lane in self._window.stalled(now_s):
            self.counts.go_backs += 1
            self._fetched[lane].clear()
            log.warning("lane_stalled", lane=lane.value, committed=self._window.lanes[lane].committed)
            if self._window.is_refused(lane):
                self._set_aside(lane)
        self.is_offline = self._window.is_silent(now_s)

    def _pump(self, link: _Link) -> None:
        """Publish what the windows allow, live lanes first."""
        now_s = time.monotonic()
        if now_s < link.ready_s:
            return
        marks = self._store.marks()
        for lane in PRIORITY:
            while marks[lane].last > self._window.lanes[lane].cursor:
                room = self._window.room(lane, now_s)
                batch = self._fetch(lane) if room else None
                if not batch:
                    break
                for _ in range(min(room, len(batch))):
                    stored = batch.popleft()
                    link.mids.add(link.connection.publish(self._topics[lane], stored.payload))
                    self._window.published(lane, stored.seq, now_s, self._jitter())
                    self.counts.published += 1

    def _fetch(self, lane: Lane) -> deque[Stored]:
        """Frames after the cursor, from memory or the store."""
        fetched = self._fetched[lane]
        cursor = self._window.lanes[lane].cursor
        while fetched and fetched[0].seq <= cursor:
            fetched.popleft()
        if not fetched:
            fetched.extend(self._store.read(lane, cursor, acks.AWAITING_PUBACK_MAX))
        return fetched

    def _publish_presence(self, link: _Link, state: State) -> None:
        instant = self._clock.now()
        message = Presence(
            v=1,
            state=state,
            since=self._since_ms if state is State.ONLINE else instant.utc_ms,
            boot=self._clock.boot,
            mono=instant.mono_ms,
            utc=instant.utc_ms if instant.synced else None,
            agent=self._agent,
            outbox=self._store.depth(),
            sent=dict(self._store.sent()),
        )
        link.connection.publish(topics.presence(self._address), presence.encode(message), retain=True)

    # ------------------------------------------------------------------ listening

    def _listen(self, link: _Link) -> bool:
        """Wait for something to happen and deal with it; False when the connection is over."""
        happening = self._next(self._wait_s(link))
        for _ in range(HAPPENINGS_MAX):
            if happening is None:
                return True
            if not isinstance(happening, Wake) and happening.connection is link.connection:
                if isinstance(happening, Disconnected):
                    log.warning("broker_lost", reason=happening.reason)
                    return False
                self._take(link, happening)
            happening = self._next(0.0)
        return True

    def _wait_s(self, link: _Link) -> float:
        now_s = time.monotonic()
        times = [now_s + TICK_S, link.presence_s]
        if now_s < link.ready_s:
            times.append(link.ready_s)
        deadline_s = self._window.next_deadline_s()
        if deadline_s is not None and deadline_s > now_s:
            times.append(deadline_s)
        return max(0.0, min(times) - now_s)

    def _next(self, timeout_s: float) -> Happening | None:
        with contextlib.suppress(queue.Empty):
            return self._inbox.get(timeout=timeout_s) if timeout_s > 0 else self._inbox.get_nowait()
        return None

    def _take(self, link: _Link, happening: Connected | Puback | Message) -> None:
        match happening:
            case Puback():
                self._take_puback(link, happening)
            case Message():
                kind = self._down.get(happening.topic)
                if kind is Down.ACK:
                    link.ready_s = 0.0
                    self._take_ack(happening)
                elif kind is not None and self._on_down is not None:
                    self._on_down(kind, happening.payload)
            case Connected():
                pass

    def _take_puback(self, link: _Link, puback: Puback) -> None:
        if puback.mid not in link.mids:
            return  # of a presence
        link.mids.discard(puback.mid)
        if puback.code != NO_SUBSCRIBERS and puback.code < REASON_FAILURE:
            self.counts.pubacks += 1
            self._window.puback()
            return
        hold_s = self._window.refuse_puback(time.monotonic(), self._jitter())
        self._forget_fetched()
        self.counts.holds += 1
        report = log.error if puback.code == NOT_AUTHORIZED else log.warning
        report("publish_held", code=f"{puback.code:#04x}", hold_s=round(hold_s, 1))

    def _take_ack(self, message: Message) -> None:
        try:
            ack = acks.decode(message.payload)
        except acks.AckError as error:
            log.warning("ack_unreadable", error=str(error))
            return
        self.counts.acks += 1
        for lane, (ep, seq) in ack.a.items():
            if ep != self._store.ep:
                self.counts.foreign_acks += 1
                continue
            self._take_watermark(lane, seq, retained=message.retained)

    def _take_watermark(self, lane: Lane, seq: int, *, retained: bool) -> None:
        last = self._store.marks()[lane].last
        committed = self._window.lanes[lane].committed
        match self._window.ack(lane, seq, last, time.monotonic(), self._jitter()):
            case Watermark.MOVED:
                self._store.release(lane, seq)
            case Watermark.SAME:
                pass
            case Watermark.WENT_BACK if retained:
                # A broker that restarted may have kept an old ack. If it is true, the platform says it again, live.
                log.info("ack_older", lane=lane.value, seq=seq, committed=committed)
            case Watermark.WENT_BACK:
                log.error("platform_went_back", lane=lane.value, seq=seq, committed=committed)
                self._give_up(lane, Gap(seq + 1, committed, GapReason.RELEASED), seq)
            case Watermark.AHEAD:
                log.error("platform_ahead", lane=lane.value, seq=seq, last=last)
                self._store.renew()
                self._begin_incarnation()

    def _set_aside(self, lane: Lane) -> None:
        """The frame after the watermark never passes: a gap of reason ``refused`` takes its place."""
        committed = self._window.lanes[lane].committed
        head = self._store.read(lane, committed, 1)
        if head:
            self.counts.refused += 1
            log.error("frame_refused", lane=lane.value, seq=head[0].seq)
            self._give_up(lane, Gap(committed + 1, head[0].seq, GapReason.REFUSED), committed)

    def _give_up(self, lane: Lane, gap: Gap, committed: int) -> None:
        try:
            self._store.give_up(lane, gap)
        except OutboxFullError as error:
            log.warning("gap_postponed", lane=lane.value, error=str(error))
            return
        self._fetched[lane].clear()
        self._window.rewind(lane, committed)

    def _begin_incarnation(self) -> None:
        """The store numbers anew: nothing that was outstanding counts any more."""
        self._ep = self._store.ep
        self._forget_fetched()
        for lane, marks in self._store.marks().items():
            self._window.rewind(lane, marks.committed)

    def _forget_fetched(self) -> None:
        for fetched in self._fetched.values():
            fetched.clear()
