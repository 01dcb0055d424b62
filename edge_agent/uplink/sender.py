"""Sends the frames of a store until the platform has committed them, through one connection after the other.

One thread does all of it. ``session`` is what happens on a connection, ``lanes`` and ``window`` what outlives one,
``mqtt`` the adapter.
"""

import random
import threading
import time
from collections.abc import Callable
from typing import Final

import structlog

from contracts import presence, topics
from contracts.presence import Presence, State
from contracts.topics import GatewayAddress
from edge_agent.clock import Clock
from edge_agent.outbox.store import FrameStore
from edge_agent.settings import Broker
from edge_agent.threads import thread_in_context
from edge_agent.uplink import reasons
from edge_agent.uplink.approach import Approach
from edge_agent.uplink.counts import Alarm, SenderCounts
from edge_agent.uplink.downlink import OnDown
from edge_agent.uplink.lanes import Lanes
from edge_agent.uplink.mqtt import (
    CONNECT_TIMEOUT_S,
    Connected,
    Connection,
    Disconnected,
    Limits,
    NotConnectedError,
    Waker,
    Will,
)
from edge_agent.uplink.reasons import Reaction, Reason
from edge_agent.uplink.session import Gateway, Session
from edge_agent.uplink.window import reconnect_delay_s, slow_delay_s

STEADY_S: Final = 30.0
UNSTEADY_ATTEMPT_MAX: Final = 3
"""A connection that lasted so long ends a row of failures; after a shorter one the next waits up to 8 s."""
PACKET_MIN_BYTES: Final = presence.PRESENCE_MAX_BYTES + 256
"""A broker must take at least our presence, with its topic."""

HURRY_S: Final = 1.0

log = structlog.get_logger()


class Sender:
    """Sends for one gateway. ``start``, then ``stop``; counts, alarms and flags may be read from any thread.

    ``on_down(kind, payload)`` gets what the platform says besides acks, in the sender's thread, and returns once it is
    stored (``downlink`` has the contract); None: not subscribed. ``jitter`` gives numbers from 0 to 1.
    """

    def __init__(  # noqa: PLR0913 - keyword-only collaborators
        self,
        *,
        address: GatewayAddress,
        broker: Broker,
        store: FrameStore,
        clock: Clock,
        agent: str = "",
        on_down: OnDown | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.counts = SenderCounts()
        self._broker = broker
        self._gateway = Gateway(
            address, store, clock, agent, on_down, jitter, self.counts, self._raise_alarm, self._clear_alarm
        )
        self._lanes = Lanes(store, self.counts, jitter)
        self._approach = Approach()
        self._waker = Waker()
        self._stopping = threading.Event()
        self._roused = threading.Event()
        """Somebody stops us or waits for us: no long pause before the next connection."""
        self._thread = thread_in_context(self._run, "sender")
        self._alarms: dict[Alarm, str] = {}
        self.is_connected = False
        self.is_offline = True
        """Not connected, or nothing committed for a minute though frames are outstanding (chooses the lane)."""
        self.error: Exception | None = None
        """Why the thread ended by itself, if it did."""

    @property
    def alarms(self) -> dict[Alarm, str]:
        """What somebody has to look after, with a sentence for each; empty when all is well."""
        return dict(self._alarms)

    def start(self) -> None:
        """Begin to send."""
        self._gateway.store.subscribe(self.wake)
        self._thread.start()

    def wake(self) -> None:
        """Look again: frames were written."""
        self._waker.wake()

    def hurry(self) -> None:
        """Somebody waits for what is outstanding: connect now, and from now on after ``HURRY_S`` at most."""
        self._roused.set()

    def stop(self) -> None:
        """Say good-bye to the broker and end; takes at most ``CONNECT_TIMEOUT_S`` when it is just connecting."""
        self._stopping.set()
        self._roused.set()
        self.wake()
        self._thread.join()
        self._waker.close()

    def _run(self) -> None:
        attempt = 0
        try:
            while not self._stopping.is_set():
                opened_s = time.monotonic()
                connects = self.counts.connects
                reaction = self._use_connection()
                if self._stopping.is_set():
                    return
                if self.counts.connects > connects:
                    is_steady = time.monotonic() - opened_s >= STEADY_S
                    attempt = 0 if is_steady else min(attempt, UNSTEADY_ATTEMPT_MAX)
                self.counts.failures += 1
                delay = slow_delay_s if reaction is Reaction.RETRY_SLOWLY else reconnect_delay_s
                self._pause(delay(attempt, self._gateway.jitter()))
                attempt += 1
        except Exception as error:  # outermost loop of the thread
            self.error = error
            log.exception("sender_died")
            raise

    def _pause(self, seconds: float) -> None:
        if self._roused.is_set():
            self._stopping.wait(min(seconds, HURRY_S))
        else:
            self._roused.wait(seconds)

    def _use_connection(self) -> Reaction:
        """Connect, and send until the connection is over; how soon to try again."""
        address = self._gateway.address
        self._approach.begin(time.monotonic())
        will = Will(topics.presence(address), presence.encode(Presence(v=1, state=State.OFFLINE)))
        name = self._approach.client_id(address)
        connection = Connection(self._broker, name, will, self._waker, version5=self._approach.version5)
        try:
            connection.open()
            limits = self._greet(connection)
            return self._serve(connection, limits)
        except NotConnectedError as error:
            log.warning("broker_lost" if self.is_connected else "broker_unreachable", reason=str(error))
            if error.reaction is Reaction.RETRY_SLOWLY:
                self._raise_alarm(error.alarm, str(error))
            return error.reaction
        finally:
            self.is_connected = False
            self.is_offline = True
            connection.close()

    # ------------------------------------------------------------------ greeting

    def _greet(self, connection: Connection) -> Limits:
        """Wait until the broker lets us in. Raises NotConnectedError."""
        answer = self._await_answer(connection)
        now_s = time.monotonic()
        if isinstance(answer, Disconnected):
            if answer.is_tls:
                raise NotConnectedError(answer.reason, Reaction.RETRY_SLOWLY, Alarm.UNTRUSTED)
            self._approach.hung_up(now_s)
            msg = f"no answer to CONNECT: {answer.reason}"
            raise NotConnectedError(msg)
        if answer.code != Reason.SUCCESS:
            reaction = reasons.reaction_to(answer.code)
            self._approach.refused(reaction, now_s)
            moved = answer.code in {Reason.USE_ANOTHER, Reason.MOVED}
            msg = f"the broker refuses us: {answer.reason.lower()} {answer.reference}".rstrip()
            raise NotConnectedError(msg, reaction, Alarm.MOVED if moved else Alarm.REFUSED)
        lacking = _lacking(answer.limits)
        if lacking:
            raise NotConnectedError(lacking, Reaction.RETRY_SLOWLY, Alarm.UNFIT)
        self._approach.accepted()
        return answer.limits

    def _await_answer(self, connection: Connection) -> Connected | Disconnected:
        deadline_s = time.monotonic() + CONNECT_TIMEOUT_S
        while not self._stopping.is_set() and time.monotonic() < deadline_s:
            happened = connection.wait(max(0.0, deadline_s - time.monotonic()))
            for number, happening in enumerate(happened, start=1):
                if isinstance(happening, Connected | Disconnected):
                    # What waited at the broker comes on the heels of its answer.
                    connection.put_back(happened[number:])
                    return happening
        msg = "stopped" if self._stopping.is_set() else f"no answer to CONNECT in {CONNECT_TIMEOUT_S:.0f} s"
        raise NotConnectedError(msg)

    # ------------------------------------------------------------------ serving

    def _serve(self, connection: Connection, limits: Limits) -> Reaction:
        """Send until the connection is lost or it is time to stop. Raises NotConnectedError."""
        self.counts.connects += 1
        self._alarms.clear()
        self._lanes.connected(limits.receive_max)
        version = "5" if self._approach.version5 else "3.1.1"
        log.info("broker_connected", broker=repr(self._broker), version=version, receive_max=limits.receive_max)
        session = Session(self._gateway, connection, self._lanes)
        session.open()
        self.is_connected = True
        while not self._stopping.is_set():
            if not session.step():
                log.warning("broker_lost", reason=session.ended and session.ended.reason)
                return session.conclude()
            self.is_offline = self._lanes.window.is_silent(time.monotonic())
        session.say_goodbye()
        return Reaction.RETRY

    def _raise_alarm(self, alarm: Alarm, text: str) -> None:
        is_new = alarm not in self._alarms
        self._alarms[alarm] = text
        if is_new:
            log.error("uplink_alarm", alarm=alarm.value, broker=repr(self._broker), reason=text)

    def _clear_alarm(self, alarm: Alarm) -> None:
        if self._alarms.pop(alarm, None) is not None:
            log.info("uplink_alarm_over", alarm=alarm.value)


def _lacking(limits: Limits) -> str:
    """What the broker cannot do that the protocol needs; "" when it can do all."""
    if limits.qos_max < 1:
        return "the broker offers QoS 0 only; frames need QoS 1"
    if not limits.retains:
        return "the broker keeps no retained messages; acks and presence are retained"
    if limits.packet_max_bytes is not None and limits.packet_max_bytes < PACKET_MIN_BYTES:
        return f"the broker takes packets of {limits.packet_max_bytes} bytes at most; presence alone needs more"
    return ""
