"""One connection in use: presence, frames within the window, acks, and what else the platform says."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from contracts import presence, topics
from contracts.presence import Presence, State
from contracts.topics import Down, GatewayAddress, Lane
from edge_agent.clock import Clock
from edge_agent.outbox.store import FrameStore
from edge_agent.uplink import reasons
from edge_agent.uplink.counts import Alarm, SenderCounts
from edge_agent.uplink.downlink import Downlink, OnDown
from edge_agent.uplink.lanes import Lanes
from edge_agent.uplink.mqtt import (
    Connected,
    Connection,
    Disconnected,
    Happening,
    Message,
    NotConnectedError,
    Puback,
    Subscribed,
)
from edge_agent.uplink.reasons import Reaction, Reason
from edge_agent.uplink.window import PRIORITY

PRESENCE_S: Final = 15.0
GREETING_S: Final = 0.5
"""Once subscribed, wait so long for the retained ack, so that nothing committed is sent again …"""
GREETING_MAX_S: Final = 10.0
"""… and so long for the answer to the subscription."""
PUBACK_TIMEOUT_S: Final = 60.0
"""A broker that answers pings and no publish is given up after this."""
FAREWELL_S: Final = 1.0
TICK_S: Final = 1.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Gateway:
    """Who sends, from where, and who listens: the same for every connection.

    ``raise_alarm`` and ``clear_alarm`` tell the sender, whose health shows them.
    """

    address: GatewayAddress
    store: FrameStore
    clock: Clock
    agent: str
    on_down: OnDown | None
    jitter: Callable[[], float]
    counts: SenderCounts
    raise_alarm: Callable[[Alarm, str], None]
    clear_alarm: Callable[[Alarm], None]


@dataclass(slots=True)
class _Sent:
    """A publish that awaits its PUBACK."""

    at_s: float
    is_frame: bool


class Session:
    """Serves one connection that the broker has accepted. Make one for each; ``step`` it until it says False."""

    def __init__(self, gateway: Gateway, connection: Connection, lanes: Lanes) -> None:
        self._gateway = gateway
        self._connection = connection
        self._lanes = lanes
        self._window = lanes.window
        self._topics = {lane: topics.up(gateway.address, lane) for lane in Lane}
        self._presence_topic = topics.presence(gateway.address)
        kinds = (Down.ACK,) if gateway.on_down is None else (Down.ACK, Down.CFG, Down.CMD)
        self._down = {topics.down(gateway.address, kind): kind for kind in kinds}
        self._downlink = None if gateway.on_down is None else Downlink(gateway.on_down, connection.acknowledge)
        self._sent: dict[int, _Sent] = {}
        self._blocked: set[Lane] = set()
        self._since_ms = gateway.clock.now().utc_ms
        self._was_synced = False
        now_s = time.monotonic()
        self._presence_s = now_s
        self._ready_s = now_s + GREETING_MAX_S
        self._look_s = now_s
        self.ended: Disconnected | None = None
        """Why the connection is over, once ``step`` has said so."""

    def open(self) -> None:
        """Subscribe. Raises NotConnectedError.

        Acks at QoS 0: they are retained and said again whenever something is missing, so a queue of old ones at the
        broker would only look like a platform that went back. What must arrive comes at QoS 1.
        """
        self._connection.subscribe([(topic, 0 if kind is Down.ACK else 1) for topic, kind in self._down.items()])

    def step(self) -> bool:
        """Do what is due, then wait until something happens; False when the connection is over.

        Raises NotConnectedError.
        """
        now_s = time.monotonic()
        if now_s >= self._look_s:
            self._look_s = now_s + TICK_S
            self._look(now_s)
        self._tick(now_s)
        self._pump(now_s)
        for happening in self._connection.wait(self._wait_s(now_s)):
            if isinstance(happening, Disconnected):
                self.ended = happening
                return False
            self._take(happening)
        return True

    def say_goodbye(self) -> None:
        """Tell that we are offline, and give the broker a moment to take what is on its way."""
        deadline_s = time.monotonic() + FAREWELL_S
        is_said = False
        while time.monotonic() < deadline_s and not (is_said and not self._sent):
            if not is_said and self._window.has_room_for_presence():
                self._publish_presence(State.OFFLINE)
                is_said = True
            for happening in self._connection.wait(max(0.0, deadline_s - time.monotonic())):
                if isinstance(happening, Disconnected):
                    return
                if isinstance(happening, Puback):
                    self._take_puback(happening)

    # ------------------------------------------------------------------ sending

    def _look(self, now_s: float) -> None:
        """Once a second: whether the clock was set, and whether the broker still answers."""
        is_synced = self._gateway.clock.now().synced
        if is_synced and not self._was_synced:
            self._presence_s = now_s  # anchors what was read before, at once
        self._was_synced = is_synced
        oldest = next(iter(self._sent.values()), None)
        if oldest is not None and now_s - oldest.at_s > PUBACK_TIMEOUT_S:
            msg = f"no PUBACK in {PUBACK_TIMEOUT_S:.0f} s"
            raise NotConnectedError(msg)

    def _tick(self, now_s: float) -> None:
        self._lanes.tick(now_s)
        if self._downlink is not None and (retry_s := self._downlink.retry_s) is not None and now_s >= retry_s:
            self._downlink.store(now_s)
        if now_s >= self._presence_s and self._window.has_room_for_presence():
            self._publish_presence(State.ONLINE)
            self._presence_s = now_s + PRESENCE_S

    def _pump(self, now_s: float) -> None:
        """Publish what the windows allow, live lanes first."""
        if now_s < self._ready_s:
            return
        lasts = self._lanes.lasts()
        for lane in PRIORITY:
            state, topic = self._window.lanes[lane], self._topics[lane]
            while lasts[lane] > state.cursor and lane not in self._blocked:
                room = self._window.room(lane, now_s)
                frames = self._lanes.next_frames(lane) if room else None
                if not frames:
                    break
                for _ in range(min(room, len(frames))):
                    if not self._connection.fits(topic, frames[0].payload):
                        self._block(lane, len(frames[0].payload))
                        break
                    seq, payload = frames.popleft()
                    self._sent[self._connection.publish(topic, payload)] = _Sent(now_s, is_frame=True)
                    self._window.published(lane, seq, now_s, self._gateway.jitter())
                    self._gateway.counts.published += 1

    def _block(self, lane: Lane, size: int) -> None:
        """A frame that the broker would end the connection for: the lane waits for who mends the broker."""
        self._blocked.add(lane)
        msg = f"the broker takes no packet of {size} bytes, which lane {lane.value} needs"
        self._gateway.raise_alarm(Alarm.UNFIT, msg)

    def _publish_presence(self, state: State) -> None:
        gateway, instant = self._gateway, self._gateway.clock.now()
        message = Presence(
            v=1,
            state=state,
            since=self._since_ms if state is State.ONLINE else instant.utc_ms,
            boot=gateway.clock.boot,
            mono=instant.mono_ms,
            utc=instant.utc_ms if instant.synced else None,
            agent=gateway.agent,
            outbox=gateway.store.depth(),
            sent=dict(gateway.store.sent()),
        )
        mid = self._connection.publish(self._presence_topic, presence.encode(message), retain=True)
        self._sent[mid] = _Sent(time.monotonic(), is_frame=False)
        self._window.presence_published()

    # ------------------------------------------------------------------ listening

    def _wait_s(self, now_s: float) -> float:
        times = [self._look_s, max(now_s, self._presence_s) if self._window.has_room_for_presence() else self._look_s]
        if now_s < self._ready_s:
            times.append(self._ready_s)
        if self._downlink is not None and (retry_s := self._downlink.retry_s) is not None:
            times.append(retry_s)
        deadline_s = self._window.next_deadline_s()
        if deadline_s is not None and deadline_s > now_s:
            times.append(deadline_s)
        return max(0.0, min(times) - now_s)

    def _take(self, happening: Happening) -> None:
        match happening:
            case Puback():
                self._take_puback(happening)
            case Message():
                self._take_message(happening, time.monotonic())
            case Subscribed():
                self._ready_s = min(self._ready_s, time.monotonic() + GREETING_S)
                denied = [t for t, code in zip(self._down, happening.codes, strict=False) if reasons.is_failure(code)]
                if denied:
                    self._gateway.raise_alarm(Alarm.DENIED, f"the broker denies to subscribe {', '.join(denied)}")
            case Connected() | Disconnected():
                pass

    def _take_message(self, message: Message, now_s: float) -> None:
        kind = self._down.get(message.topic)
        if kind is not None and kind is not Down.ACK and self._downlink is not None:
            self._downlink.take(kind, message.payload, message.mid, now_s)
            return
        if message.mid:
            # At once, for nobody keeps it: an ack of an older subscription, or what we did not ask for any more.
            self._connection.acknowledge(message.mid)
        if kind is Down.ACK:
            self._ready_s = 0.0
            if not self._lanes.take_ack(message.payload, is_live=message.is_live, now_s=now_s):
                self._gateway.raise_alarm(Alarm.TAKEN_OVER, "another agent writes the lanes of this gateway")

    def _take_puback(self, puback: Puback) -> None:
        sent = self._sent.pop(puback.mid, None)
        if sent is None:
            return
        if reasons.is_alarming(puback.code):
            what = "frames" if sent.is_frame else "presence"
            self._gateway.raise_alarm(Alarm.DENIED, f"the broker takes no {what} of ours ({puback.code:#04x})")
        if not sent.is_frame:
            self._window.presence_puback()
        elif reasons.is_taken(puback.code):
            self._gateway.counts.pubacks += 1
            if self._window.holds:
                self._gateway.clear_alarm(Alarm.DENIED)
            self._window.puback()
        else:
            hold_max_s = reasons.hold_max_s(puback.code)
            hold_s = self._window.refuse_puback(time.monotonic(), self._gateway.jitter(), hold_max_s)
            self._lanes.go_back()
            self._gateway.counts.holds += 1
            log.warning("publish_held", code=f"{puback.code:#04x}", hold_s=round(hold_s, 1))

    def conclude(self) -> Reaction:
        """How soon to connect again after ``ended``; raises the alarms that its reason deserves."""
        assert self.ended is not None
        reason, code = self.ended.reason, self.ended.code
        if self.ended.is_tls:
            self._gateway.raise_alarm(Alarm.UNTRUSTED, reason)
            return Reaction.RETRY_SLOWLY
        reaction = Reaction.RETRY if code is None else reasons.reaction_to(code)
        if code == Reason.TAKEN_OVER:
            self._gateway.raise_alarm(Alarm.TAKEN_OVER, "another client connected with the name of this gateway")
        elif code in {Reason.USE_ANOTHER, Reason.MOVED}:
            self._gateway.raise_alarm(Alarm.MOVED, f"the broker sends us to {self.ended.reference or 'another one'}")
        elif reaction is Reaction.RETRY_SLOWLY:
            self._gateway.raise_alarm(Alarm.REFUSED, f"the broker ended the connection: {reason.lower()}")
        return reaction
