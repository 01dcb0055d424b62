"""``shelfpulse replay``: publishes recorded messages with the ack protocol and waits until they are committed."""

import time
from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Final

import msgspec

from contracts import acks
from contracts.acks import STALL_S, AckError
from contracts.errors import UserError
from contracts.topics import Down, down, up
from simulators import replay_input
from simulators.frame_templates import gap_payload
from simulators.lane_window import LaneWindow
from simulators.links import Broker, Link, Message, drive
from simulators.replay_input import LaneFile, ReplayInput

STALLS_EVERY_S: Final = 1.0
RETAINED_S: Final = 0.5
"""Retained acks are given so long to arrive: they tell what was committed and closed by an earlier replay."""
NAMED_MAX: Final = 10
"""Lanes that a report names when they were not committed."""


class ReplayReport(msgspec.Struct, frozen=True, kw_only=True):
    """Outcome. ``messages`` are those on raw and st topics, safe from the broker on; ``waiting`` names stuck lanes.

    ``closed`` frames are of incarnations that the platform has closed before: they can no longer be sent. With
    --backfill ``retried`` frames were in quarantine for their age and are stored now, ``held`` ones are there still.
    """

    complete: bool
    frames: int
    committed: int
    closed: int
    messages: int
    resent: int
    duplicates: int
    gateways: int
    seconds: float
    frames_per_s: float
    waiting: list[str]
    retried: int = 0
    held: int = 0


class LaneReplay:
    """One lane of the file. The window counts positions in the segment from 1, whatever the frames' numbers are."""

    def __init__(self, lane: LaneFile, rng: Random, stall_s: Sequence[float]) -> None:
        self.lane = lane
        self.topic = up(lane.address, lane.lane)
        self.resent = 0
        self.committed = 0
        self.closed = 0
        self._total = sum(len(segment.frames) for segment in lane.segments)
        self._rng = rng
        self._stall_s = stall_s
        self._later = list(lane.segments)
        self._open_next()

    def _open_next(self) -> None:
        self._segment = segment = self._later.pop(0)
        self._seqs = [frame.seq for frame in segment.frames]
        self.window = LaneWindow(segment.ep, self._rng, stall_s=self._stall_s)

    @property
    def done(self) -> bool:
        """Whether all segments are committed or closed."""
        return self.committed + self.closed == self._total

    def due(self, until_ms: float) -> None:
        """Frames recorded until then may be sent."""
        frames = self._segment.frames
        while self.window.written < len(frames) and frames[self.window.written].at_ms <= until_ms:
            self.window.write()

    def message(self, now_s: float) -> Message:
        """The next frame. Only when the window may send."""
        dispatch = self.window.send(now_s)
        frame = self._segment.frames[dispatch.seq - 1]
        if dispatch.gap is None:
            return Message(self.topic, frame.payload)
        first = self._segment.frames[dispatch.first - 1].first
        return Message(self.topic, gap_payload(self.lane.lane, self._segment.ep, first, frame.seq, dispatch.gap))

    def acked(self, ep: str, seq: int, now_s: float) -> None:
        """The platform has committed up to ``seq`` of incarnation ``ep``; begin the next one when this is done."""
        if ep in [segment.ep for segment in self._later]:
            self._skip_to(ep)
        if ep != self._segment.ep:
            return
        position = bisect_right(self._seqs, seq)
        # A file that was replayed before is committed beyond what is due by now.
        self.window.written = max(self.window.written, position)
        self.committed += self.window.acked(ep, position, now_s)
        if self.window.watermark == len(self._seqs) and self.window.settled:
            self._finish()

    def _skip_to(self, ep: str) -> None:
        """The platform is at a later incarnation, which has closed those before it."""
        while self._segment.ep != ep:
            self.closed += len(self._seqs) - self.window.watermark
            self._finish()

    def _finish(self) -> None:
        self.resent += self.window.resent
        self.window.resent = 0
        if self._later:
            self._open_next()


class Replay:
    """What the link publishes: plain messages and frames as their time comes."""

    def __init__(self, recorded: ReplayInput, speed: float, rng: Random, stall_s: Sequence[float] = STALL_S) -> None:
        self._recorded = recorded
        self._speed = speed
        self._start_ms = recorded.start_ms
        self._started_s: float | None = None
        self._plain = sorted(recorded.plain, key=lambda message: message.at_ms)
        self._plain_sent = 0
        self.plain_confirmed = 0
        self._kinds: deque[bool] = deque()
        self.lanes = [LaneReplay(lane, rng, stall_s) for lane in recorded.lanes]
        self._ring = deque(self.lanes)
        self._by_topic: dict[str, list[LaneReplay]] = {}
        for lane in self.lanes:
            self._by_topic.setdefault(down(lane.lane.address, Down.ACK), []).append(lane)

    @property
    def ack_topics(self) -> list[str]:
        """Topics on which the platform acknowledges."""
        return list(self._by_topic)

    @property
    def done(self) -> bool:
        """Whether every frame is committed and every other message confirmed by the broker."""
        return self.plain_confirmed == len(self._plain) and all(lane.done for lane in self.lanes)

    @property
    def resent(self) -> int:
        """Frames that were published more than once."""
        return sum(lane.resent + lane.window.resent for lane in self.lanes)

    def check_stalls(self, now_s: float) -> None:
        """Let lanes go back whose watermark does not move."""
        for lane in self.lanes:
            lane.window.check_stall(now_s)

    def connected(self, now_s: float) -> None:
        """Go back to what is committed and confirmed."""
        if self._started_s is None:
            self._started_s = now_s + RETAINED_S
        self._kinds.clear()
        self._plain_sent = self.plain_confirmed
        for lane in self.lanes:
            lane.window.go_back(now_s)

    def next_message(self, now_s: float) -> Message | None:
        """The next message that is due."""
        if self._started_s is None or now_s < self._started_s:
            return None
        until_ms = self._until_ms(now_s)
        if self._plain_sent < len(self._plain) and self._plain[self._plain_sent].at_ms <= until_ms:
            message = self._plain[self._plain_sent]
            self._plain_sent += 1
            self._kinds.append(True)
            return Message(message.topic, message.payload, message.retain)
        for _ in range(len(self._ring)):
            lane = self._ring[0]
            self._ring.rotate(-1)
            lane.due(until_ms)
            if lane.window.may_send:
                self._kinds.append(False)
                return lane.message(now_s)
        return None

    def received(self, topic: str, payload: bytes, now_s: float) -> None:
        """An ack of the platform."""
        try:
            ack = acks.decode(payload)
        except AckError:
            return
        for lane in self._by_topic.get(topic, ()):
            watermark = ack.a.get(lane.lane.lane)
            if watermark is not None:
                lane.acked(watermark[0], watermark[1], now_s)

    def published(self) -> None:
        """PUBACKs come in the order of the publishes."""
        self.plain_confirmed += self._kinds.popleft()

    def _until_ms(self, now_s: float) -> float:
        if not self._speed or self._started_s is None:
            return float("inf")
        return self._start_ms + (now_s - self._started_s) * 1000 * self._speed


def load(path: Path) -> ReplayInput:
    """Read a file of recorded messages. Raises UserError that names the line."""
    try:
        with path.open("rb") as file:
            return replay_input.read(file)
    except OSError as error:
        msg = f"cannot read {path}: {error.strerror}"
        raise UserError(msg) from error
    except UserError as error:
        msg = f"{path}: {error.message}"
        raise UserError(msg, error.hint) from error


def replay(recorded: ReplayInput, broker: Broker, *, speed: float, client_id: str, deadline_s: float) -> ReplayReport:
    """Publish until all is committed or the deadline has come. Raises UserError when the broker refuses us."""
    rng = Random(client_id)
    source = Replay(recorded, speed, rng)
    link = Link(broker, client_id, source.ack_topics, source, rng)
    start_s = time.monotonic()
    stalls_s = start_s

    def is_going(now_s: float) -> bool:
        nonlocal stalls_s
        if now_s >= stalls_s:
            stalls_s = now_s + STALLS_EVERY_S
            source.check_stalls(now_s)
        return not source.done and now_s < start_s + deadline_s

    drive([link], is_going)
    seconds = time.monotonic() - start_s
    link.close()
    committed = sum(lane.committed for lane in source.lanes)
    return ReplayReport(
        complete=source.done,
        frames=recorded.frames,
        committed=committed,
        closed=sum(lane.closed for lane in source.lanes),
        messages=source.plain_confirmed,
        resent=source.resent,
        duplicates=recorded.duplicates,
        gateways=len(source.ack_topics),
        seconds=round(seconds, 3),
        frames_per_s=round(committed / seconds, 1),
        waiting=[lane.topic for lane in source.lanes if not lane.done][:NAMED_MAX],
    )
