"""What the sender needs of the place where frames wait: a protocol, and the one in memory.

``file.Outbox`` is the other implementation (SQLite); ``MemoryStore`` is for clients without a disk, and tests.
"""

import threading
from bisect import bisect_right
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, Protocol

import msgspec

from contracts.frames import (
    PROTOCOL_VERSION,
    AnswerFrame,
    AnyFrame,
    EventFrame,
    Gap,
    GapReason,
    Previous,
    TelemetryFrame,
    digest,
    encode,
)
from contracts.presence import OutboxDepth, Sent
from contracts.topics import Lane
from edge_agent.outbox.ledger import DIGEST_MODULUS

READ_MAX: Final = 256
"""Frames that one ``read`` may return."""


class Marks(NamedTuple):
    """Of one lane: the highest sequence that the platform committed, and the last that was written."""

    committed: int
    last: int


class Stored(NamedTuple):
    """A frame that waits: ready to publish."""

    seq: int
    payload: bytes


class FrameStore(Protocol):
    """Frames of one gateway in one incarnation, in lanes, until the platform has committed them.

    Safe to use from several threads. Frames of a lane are contiguous from ``committed`` + 1 to ``last``; a gap
    frame stands for several sequence numbers and is found at the last of them.
    """

    @property
    def ep(self) -> str:
        """The incarnation. Changes only in ``renew`` or when the file was lost."""

    def marks(self) -> Mapping[Lane, Marks]:
        """Marks of every lane; cheap."""

    def read(self, lane: Lane, after: int, limit: int) -> list[Stored]:
        """At most ``limit`` frames with seq > ``after``, in order."""

    def release(self, lane: Lane, seq: int) -> None:
        """Forget the frames up to ``seq``: the platform has committed them."""

    def give_up(self, lane: Lane, gap: Gap) -> None:
        """Put a gap frame in the place of some frames, or of frames that were released already."""

    def renew(self) -> None:
        """Begin a new incarnation: the platform knows frames of this one that we do not."""

    def depth(self) -> OutboxDepth:
        """What waits."""

    def sent(self) -> Mapping[str, Sent]:
        """The running account of each lane that was ever used.

        A gap that was evicted or refused stands in the sum in the place of its frames. One that was released leaves
        the sum as it was: the frames are deleted, so what they added is not known any more, and the sum of a database
        that went back cannot be told from here.
        """

    def subscribe(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` from any thread whenever frames were written."""


def gap_frame(lane: Lane, ep: str, gap: Gap, prev: Previous | None = None) -> AnyFrame:
    """The frame that declares a gap; ``prev`` when it stands for a lane's first."""
    first = prev if gap.from_ == 1 else None
    frame: AnyFrame
    match lane:
        case Lane.EVT:
            frame = EventFrame(v=PROTOCOL_VERSION, ep=ep, seq=gap.to, gap=gap, prev=first)
        case Lane.RSP:
            frame = AnswerFrame(v=PROTOCOL_VERSION, ep=ep, seq=gap.to, gap=gap, prev=first)
        case Lane.TEL | Lane.BULK:
            frame = TelemetryFrame(v=PROTOCOL_VERSION, ep=ep, seq=gap.to, gap=gap, prev=first)
    return frame


class _Kept(NamedTuple):
    seq: int
    payload: bytes
    digest: int


class _Lane(msgspec.Struct):
    committed: int = 0
    last: int = 0
    digest: int = 0
    kept: list[_Kept] = []


class MemoryStore:
    """A store without a disk. ``ep`` names the incarnation of the frames that will be put in."""

    def __init__(self, ep: str) -> None:
        self._ep = ep
        self._lanes = {lane: _Lane() for lane in Lane}
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[], None]] = []
        self.gaps: list[tuple[Lane, Gap]] = []
        """Gaps that the sender declared, in order."""

    @property
    def ep(self) -> str:
        """See FrameStore."""
        return self._ep

    def put(self, lane: Lane, frame: AnyFrame) -> None:
        """Add the next frame of a lane (a gap frame too). Its ``ep`` must be ours, its ``seq`` beyond the last."""
        assert frame.ep == self._ep, "a frame of another incarnation"
        with self._lock:
            state = self._lanes[lane]
            first = frame.seq if frame.gap is None else frame.gap.from_
            assert first == state.last + 1 or not state.kept, f"frame {first} does not follow {state.last}"
            if not state.kept and first > state.last + 1:
                state.committed = first - 1  # the beginning of a recording may be missing
            hashed = digest(frame)
            state.kept.append(_Kept(frame.seq, encode(frame), hashed))
            state.last = frame.seq
            state.digest = (state.digest + hashed) % DIGEST_MODULUS
        for callback in self._callbacks:
            callback()

    def marks(self) -> Mapping[Lane, Marks]:
        """See FrameStore."""
        with self._lock:
            return {lane: Marks(state.committed, state.last) for lane, state in self._lanes.items()}

    def read(self, lane: Lane, after: int, limit: int) -> list[Stored]:
        """See FrameStore."""
        with self._lock:
            kept = self._lanes[lane].kept
            start = bisect_right(kept, after, key=lambda each: each.seq)
            return [Stored(each.seq, each.payload) for each in kept[start : start + min(limit, READ_MAX)]]

    def release(self, lane: Lane, seq: int) -> None:
        """See FrameStore."""
        with self._lock:
            state = self._lanes[lane]
            state.committed = max(state.committed, seq)
            del state.kept[: bisect_right(state.kept, seq, key=lambda each: each.seq)]

    def give_up(self, lane: Lane, gap: Gap) -> None:
        """See FrameStore."""
        with self._lock:
            state = self._lanes[lane]
            self.gaps.append((lane, gap))
            for each in state.kept:
                if gap.from_ <= each.seq <= gap.to:
                    state.digest = (state.digest - each.digest) % DIGEST_MODULUS
            frame = gap_frame(lane, self._ep, gap)
            hashed = 0 if gap.reason is GapReason.RELEASED else digest(frame)
            state.digest = (state.digest + hashed) % DIGEST_MODULUS
            state.kept = [each for each in state.kept if not gap.from_ <= each.seq <= gap.to]
            position = bisect_right(state.kept, gap.to, key=lambda each: each.seq)
            state.kept.insert(position, _Kept(gap.to, encode(frame), hashed))
            state.committed = min(state.committed, gap.from_ - 1)

    def renew(self) -> None:
        """A recording cannot be numbered anew: what the platform has beyond it counts as committed."""
        with self._lock:
            for state in self._lanes.values():
                state.committed = state.last
                state.kept.clear()

    def depth(self) -> OutboxDepth:
        """See FrameStore; the age of frames is not known here."""
        with self._lock:
            return OutboxDepth(frames=sum(len(state.kept) for state in self._lanes.values()))

    def sent(self) -> Mapping[str, Sent]:
        """See FrameStore."""
        with self._lock:
            return {
                lane.value: Sent(self._ep, state.last, f"{state.digest:x}")
                for lane, state in self._lanes.items()
                if state.last
            }

    def subscribe(self, callback: Callable[[], None]) -> None:
        """See FrameStore."""
        self._callbacks.append(callback)
