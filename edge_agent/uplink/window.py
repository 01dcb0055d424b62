"""How far to send, when to go back, when to give a frame up: the gateway's half of the acknowledgement. Pure.

Times are seconds on a monotonic clock, ``jitter`` is a number from 0 to 1; both are arguments. The rules are in
docs/protocol (two windows, go-back, refused frames).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from contracts.acks import AWAITING_PUBACK_MAX, REFUSED_AFTER, STALL_S, UNCOMMITTED_MAX
from contracts.topics import Lane

PRIORITY: Final = (Lane.RSP, Lane.EVT, Lane.TEL, Lane.BULK)
"""Live lanes first: a backlog never delays what happens now."""
BULK_UNCOMMITTED_MAX: Final = UNCOMMITTED_MAX - 512
"""The backlog may not use up the window: live frames must find room."""
OFFLINE_AFTER_S: Final = 60.0
HOLD_FIRST_S: Final = 1.0
SLOW_FIRST_S: Final = 30.0
RECONNECT_MAX_S: Final = 120.0
JITTER: Final = 0.2
"""Waits are stretched by up to this share, so that a fleet does not go back in step."""


class Watermark(Enum):
    """What an acknowledgement said about a lane."""

    MOVED = auto()
    SAME = auto()
    WENT_BACK = auto()
    """The platform lost what it had committed: the database was restored to an earlier time."""
    AHEAD = auto()
    """The platform has frames that we never wrote: our file was restored or cloned."""


@dataclass(slots=True)
class LaneState:
    """One lane as the sender sees it: ``cursor`` is the last sequence published on this connection."""

    committed: int = 0
    cursor: int = 0
    deadline_s: float | None = None
    stalls: int = 0
    probing: bool = False
    heard: bool = False
    refusals: int = 0
    refusable_at_s: float = 0.0

    @property
    def outstanding(self) -> int:
        """Sequence numbers published and not committed."""
        return self.cursor - self.committed


@dataclass(slots=True)
class Window:
    """State of one gateway's sending. Survives reconnects; ``connected`` rewinds every lane.

    ``receive_max`` is what the broker allows to await PUBACK (MQTT 5); ``awaiting`` counts all that does, presence too.
    """

    lanes: dict[Lane, LaneState] = field(default_factory=lambda: {lane: LaneState() for lane in Lane})
    receive_max: int = AWAITING_PUBACK_MAX
    awaiting: int = 0
    hold_until_s: float = 0.0
    holds: int = 0
    moved_at_s: float = 0.0

    def connected(self, committed: Mapping[Lane, int], receive_max: int) -> None:
        """A fresh connection: nothing awaits a PUBACK, every lane starts behind its watermark."""
        self.awaiting = 0
        self.receive_max = max(1, min(AWAITING_PUBACK_MAX, receive_max))
        for lane, state in self.lanes.items():
            state.committed = state.cursor = committed[lane]
            state.deadline_s = None
            # Still probing: a connection that comes and goes must not turn a database that is down into a storm.
            state.stalls = 0

    @property
    def outstanding(self) -> int:
        """Frames published and not committed, over all lanes."""
        return sum(state.outstanding for state in self.lanes.values())

    def room(self, lane: Lane, now_s: float) -> int:
        """How many frames of ``lane`` may be published now."""
        if now_s < self.hold_until_s:
            return 0
        awaiting_max = 1 if self.holds else self.receive_max
        state = self.lanes[lane]
        uncommitted_max = BULK_UNCOMMITTED_MAX if lane is Lane.BULK else UNCOMMITTED_MAX
        room = min(awaiting_max - self.awaiting, uncommitted_max - self.outstanding)
        if state.probing:
            room = min(room, AWAITING_PUBACK_MAX - state.outstanding)
        return max(0, room)

    def has_room_for_presence(self) -> bool:
        """Whether something that is no frame may be published now."""
        return self.awaiting < self.receive_max

    def presence_published(self) -> None:
        """Something that is no frame went out; it awaits its PUBACK too."""
        self.awaiting += 1

    def presence_puback(self) -> None:
        """The broker answered it, whatever it said."""
        self.awaiting -= 1

    def published(self, lane: Lane, seq: int, now_s: float, jitter: float) -> None:
        """A frame went out; it awaits its PUBACK."""
        state = self.lanes[lane]
        if not self._is_waiting():
            self.moved_at_s = now_s
        state.cursor = seq
        self.awaiting += 1
        if state.deadline_s is None:
            state.deadline_s = now_s + _stall_s(state.stalls, jitter)

    def puback(self) -> None:
        """The broker has a frame."""
        self.awaiting -= 1
        self.holds = 0

    def refuse_puback(self, now_s: float, jitter: float, most_s: float) -> float:
        """The broker will not deliver a frame: go back and hold, ``most_s`` in the end. Seconds of the hold.

        For the reason codes that mean so: not authorized, quota exceeded, no matching subscribers. Afterwards one
        frame at a time until a PUBACK is good.
        """
        self.awaiting -= 1
        if now_s >= self.hold_until_s:
            hold_s = _stretch(min(most_s, HOLD_FIRST_S * 2.0 ** min(self.holds, 10)), jitter)
            self.holds += 1
            self.hold_until_s = now_s + hold_s
        for state in self.lanes.values():
            state.cursor = state.committed
            state.deadline_s = None
        return self.hold_until_s - now_s

    def ack(self, lane: Lane, seq: int, last: int, now_s: float, jitter: float) -> Watermark:
        """The platform says that ``lane`` is committed up to ``seq``; ``last`` is the last that we wrote."""
        state = self.lanes[lane]
        state.heard = True
        if seq > last:
            return Watermark.AHEAD
        if seq < state.committed:
            return Watermark.WENT_BACK
        if seq == state.committed:
            if state.deadline_s is not None:
                # The platform lives: what is outstanding was perhaps lost on the way, look again soon.
                state.deadline_s = min(state.deadline_s, now_s + _stall_s(0, jitter))
            return Watermark.SAME
        state.committed = seq
        state.cursor = max(state.cursor, seq)
        state.stalls = state.refusals = 0
        state.refusable_at_s = 0.0
        state.heard = state.probing = False
        state.deadline_s = None if state.outstanding == 0 else now_s + _stall_s(0, jitter)
        self.moved_at_s = now_s
        return Watermark.MOVED

    def heard(self, lane: Lane) -> None:
        """The platform acknowledged other lanes of this incarnation, so it lives, and said nothing of ``lane``."""
        self.lanes[lane].heard = True

    def rewind(self, lane: Lane, committed: int) -> None:
        """Send again from ``committed`` + 1, which may be less than what was committed before."""
        state = self.lanes[lane]
        state.committed = state.cursor = committed
        state.deadline_s = None
        state.refusals = 0

    def stalled(self, now_s: float) -> list[Lane]:
        """Lanes whose watermark did not move in time: gone back to it, the wait before the next grown.

        From now on only the first frames are sent until the watermark moves, so that an hour without a database
        does not become a storm of resends.
        """
        gone_back = []
        for lane, state in self.lanes.items():
            if state.deadline_s is None or now_s < state.deadline_s:
                continue
            state.cursor = state.committed
            state.deadline_s = None
            state.stalls += 1
            state.probing = True
            if state.heard and now_s >= state.refusable_at_s:
                state.refusals += 1
                # Not sooner than the waits of a silent platform: a database that is down looks the same from here.
                state.refusable_at_s = now_s + _stall_s(state.refusals, 0.0)
            state.heard = False
            gone_back.append(lane)
        return gone_back

    def is_refused(self, lane: Lane) -> bool:
        """Whether the frame after the watermark did not pass ``REFUSED_AFTER`` times while acks arrived."""
        return self.lanes[lane].refusals >= REFUSED_AFTER

    def is_silent(self, now_s: float) -> bool:
        """Whether nothing was committed for ``OFFLINE_AFTER_S`` though frames are outstanding (or held back)."""
        return self._is_waiting() and now_s - self.moved_at_s > OFFLINE_AFTER_S

    def _is_waiting(self) -> bool:
        return self.outstanding > 0 or self.holds > 0 or any(state.probing for state in self.lanes.values())

    def next_deadline_s(self) -> float | None:
        """When ``stalled`` or a hold has to be looked at, if ever."""
        times = [state.deadline_s for state in self.lanes.values() if state.deadline_s is not None]
        if self.holds:
            times.append(self.hold_until_s)
        return min(times, default=None)


def _stall_s(stalls: int, jitter: float) -> float:
    return _stretch(STALL_S[min(stalls, len(STALL_S) - 1)], jitter)


def _stretch(wait_s: float, jitter: float) -> float:
    return wait_s * (1.0 + JITTER * jitter)


def reconnect_delay_s(attempt: int, jitter: float, *, first_s: float = 1.0, most_s: float = RECONNECT_MAX_S) -> float:
    """Full jitter: anything up to 1, 2, 4 … 120 s for the attempts 0, 1, 2 … (Brooker, 2015)."""
    return float(min(most_s, first_s * 2.0 ** min(attempt, 16))) * jitter


def slow_delay_s(attempt: int, jitter: float, *, first_s: float = SLOW_FIRST_S) -> float:
    """For what somebody has to mend first: half of 30, 60, 120 s at least, the whole at most."""
    return float(min(RECONNECT_MAX_S, first_s * 2.0 ** min(attempt, 16))) * (1.0 + jitter) / 2.0
