"""Gateways that share one connection, and how fast they may write. Pure but for what the link hands in."""

import math
from collections import deque
from collections.abc import Sequence
from typing import Annotated, Final

import msgspec

from contracts import acks, presence
from contracts.acks import STALL_S, AckError
from contracts.topics import Down, GatewayAddress, Lane, down
from contracts.topics import presence as presence_topic
from simulators.lane_sender import LaneSender
from simulators.latencies import Latencies
from simulators.links import Message

GATEWAYS_MAX: Final = 100_000
AGENT: Final = "fleet-simulator"


class FleetOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What to send.

    ``rate`` readings a second in all, 0: as fast as acks allow. The end of writing is ``seconds`` or ``readings``,
    whichever comes first; then the fleet waits for acks until ``deadline_s`` after the start.
    """

    tenant: str
    gateways: Annotated[int, msgspec.Meta(ge=1, le=GATEWAYS_MAX)]
    devices: Annotated[int, msgspec.Meta(ge=1, le=999)]
    rate: float
    readings_per_frame: int
    seconds: float | None
    readings: int | None
    lanes: tuple[Lane, ...]
    connections: int
    seed: int
    ep: str
    deadline_s: float
    stall_s: tuple[float, ...] = STALL_S


class Pace:
    """How many frames may exist by now, over all lanes."""

    def __init__(self, options: FleetOptions, start_s: float) -> None:
        self._frames_per_s = options.rate / options.readings_per_frame
        self._start_s = start_s
        self._end_s = math.inf if options.seconds is None else start_s + options.seconds
        self._frames_max = None if options.readings is None else -(-options.readings // options.readings_per_frame)
        self.written = 0

    def stop(self) -> None:
        """Write no more, whatever was planned."""
        self._end_s = -math.inf

    def is_over(self, now_s: float) -> bool:
        """Whether no more frames are to be written."""
        return now_s >= self._end_s or (self._frames_max is not None and self.written >= self._frames_max)

    def allows(self, now_s: float) -> bool:
        """Whether a frame may be written now."""
        if self.is_over(now_s):
            return False
        return not self._frames_per_s or self.written < (now_s - self._start_s) * self._frames_per_s

    def take(self, most: int, now_s: float) -> int:
        """Write as many frames as are allowed now, at most ``most``; returns how many."""
        if now_s >= self._end_s:
            return 0
        count = most if self._frames_max is None else min(most, self._frames_max - self.written)
        if self._frames_per_s:
            count = min(count, math.ceil((now_s - self._start_s) * self._frames_per_s) - self.written)
        self.written += max(count, 0)
        return max(count, 0)


class GatewayGroup:
    """The gateways of one link: the link asks it what to publish."""

    def __init__(self, senders: Sequence[LaneSender], pace: Pace, latencies: Latencies, clock_ms: float) -> None:
        self._senders = senders
        self._ring = deque(senders)
        self._by_topic: dict[str, dict[Lane, LaneSender]] = {}
        for sender in senders:
            topic = down(sender.address, Down.ACK)
            self._by_topic.setdefault(topic, {})[sender.template.lane] = sender
        self._pace = pace
        self._latencies = latencies
        self._clock_ms = clock_ms
        self._announcements: deque[GatewayAddress] = deque()
        # Nothing to find in another round over the lanes until an ack, a stall or a connection changes it.
        self._nothing_behind = False
        self._all_full = False
        self._since_ms = 0
        self.state = presence.State.ONLINE

    @property
    def ack_topics(self) -> list[str]:
        """Topics on which the platform acknowledges these gateways."""
        return list(self._by_topic)

    @property
    def settled(self) -> bool:
        """Whether all that was written is committed."""
        return all(sender.window.settled for sender in self._senders)

    @property
    def announced(self) -> bool:
        """Whether presence of all gateways was given to the link."""
        return not self._announcements

    def announce(self, state: presence.State) -> None:
        """Publish the presence of all gateways again, with the account of their lanes."""
        self.state = state
        self._announcements = deque(dict.fromkeys(sender.address for sender in self._senders))

    def check_stalls(self, now_s: float) -> None:
        """Let lanes go back whose watermark does not move."""
        for sender in self._senders:
            if sender.window.check_stall(now_s):
                self.look_again()

    def connected(self, now_s: float) -> None:
        """Go back to what is committed, and say who is there."""
        self._since_ms = self._ms(now_s)
        for sender in self._senders:
            sender.window.go_back(now_s)
        self.look_again()
        self.announce(self.state)

    def next_message(self, now_s: float) -> Message | None:
        """Presence first, then frames of the lanes in turn; new ones are written when the pace allows."""
        if self._announcements:
            return self._presence(self._announcements.popleft(), now_s)
        allowed = not self._all_full and self._pace.allows(now_s)
        if self._nothing_behind and not allowed:
            return None
        for _ in range(len(self._ring)):
            sender = self._ring[0]
            self._ring.rotate(-1)
            if sender.window.may_send:
                return sender.message(now_s)
            if allowed and sender.window.may_write:
                sender.write(self._ms(now_s))
                self._pace.written += 1
                return sender.message(now_s)
        self._nothing_behind = True
        self._all_full = allowed
        return None

    def received(self, topic: str, payload: bytes, now_s: float) -> None:
        """An ack of the platform."""
        senders = self._by_topic.get(topic)
        if senders is None:
            return
        try:
            ack = acks.decode(payload)
        except AckError:
            self._latencies.strange_acks += 1
            return
        self.look_again()
        now_ms = self._ms(now_s)
        for lane, (ep, seq) in ack.a.items():
            sender = senders.get(lane)
            if sender is not None:
                self._latencies.add(now_ms, sender.acked(ep, seq, now_s))

    def published(self) -> None:
        """A PUBACK says nothing about safety."""

    def look_again(self) -> None:
        """Lanes may have something to send again: an ack, a stall, a connection, or a frame written from outside."""
        self._nothing_behind = self._all_full = False

    def _ms(self, now_s: float) -> int:
        return int(self._clock_ms + now_s * 1000)

    def _presence(self, address: GatewayAddress, now_s: float) -> Message:
        lanes = self._by_topic[down(address, Down.ACK)]
        sent = {
            str(lane): presence.Sent(sender.window.ep, sender.window.written, f"{sender.digest:x}")
            for lane, sender in lanes.items()
        }
        waiting = sum(sender.window.written - sender.window.watermark for sender in lanes.values())
        payload = presence.encode(
            presence.Presence(
                v=1,
                state=self.state,
                since=self._since_ms,
                utc=self._ms(now_s),
                agent=AGENT,
                outbox=presence.OutboxDepth(frames=waiting),
                sent=sent,
            )
        )
        return Message(presence_topic(address), payload, retain=True)
