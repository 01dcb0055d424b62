"""Exactly once, decided here: which frame of a lane is next, which was committed, which came too early. Pure.

A lane only ever advances from its watermark, so a duplicate cannot enter and readings need no unique index. What is
ahead is dropped, because the gateway keeps it until the watermark passes it and will send it again.
"""

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final, NamedTuple

REMEMBERED: Final = 64
"""Content hashes kept of the newest frames of a lane, to tell a resend from a clone."""
_NOT_COMPARED: Final = -1


class Verdict(Enum):
    """What a frame is to its lane."""

    NEXT = auto()
    """It continues the lane, or opens a new incarnation."""
    DUPLICATE = auto()
    """Committed already: dropped, and the ack is told again."""
    AHEAD = auto()
    """A frame before it is missing: dropped, it will come again."""
    CLOSED = auto()
    """Of an incarnation that is over, above what was committed of it: two agents with one name."""
    CLONE = auto()
    """A committed number with other content: two agents with one name. Never acknowledged."""


@dataclass(slots=True)
class LaneState:
    """Where a lane stands.

    ``ep`` is the open incarnation ('' before the first frame), ``seq`` its watermark, ``closed`` the watermarks of
    those before it. ``digests`` remembers content: slot ``seq % REMEMBERED`` -> (seq, hash), hash -1 when there is
    nothing to compare (a gap, or a body that could not be read).
    """

    ep: str = ""
    seq: int = 0
    closed: dict[str, int] = field(default_factory=dict)
    digests: dict[int, tuple[int, int]] = field(default_factory=dict)


class Lost(NamedTuple):
    """Frames ``first`` … ``last`` of an incarnation that will never come: its outbox was lost."""

    ep: str
    first: int
    last: int


def judge(lane: LaneState, ep: str, from_seq: int, to_seq: int, digest: int | None) -> Verdict:
    """What the frame ``from_seq`` … ``to_seq`` (equal unless it is a gap) of incarnation ``ep`` is to the lane.

    ``digest`` is None for a gap frame and for a body that could not be read.
    """
    if ep != lane.ep:
        if ep in lane.closed:
            return Verdict.DUPLICATE if to_seq <= lane.closed[ep] else Verdict.CLOSED
        return Verdict.NEXT if from_seq == 1 else Verdict.AHEAD
    if to_seq <= lane.seq:
        remembered = lane.digests.get(to_seq % REMEMBERED)
        if remembered is None or digest is None or remembered[0] != to_seq:
            return Verdict.DUPLICATE
        same = remembered[1] in {digest, _NOT_COMPARED}
        return Verdict.DUPLICATE if same else Verdict.CLONE
    return Verdict.NEXT if from_seq <= lane.seq + 1 else Verdict.AHEAD


def close(lane: LaneState, ep: str, before: str, last: int) -> Lost | None:
    """Close the incarnation ``before``, which ended at ``last``, because ``ep`` begins; returns what of it is lost.

    Call it before ``advance``. What is committed beyond ``last`` stays so; an incarnation of which nothing ever came is
    lost as a whole; one that was closed earlier stays as it is.
    """
    if before == ep or before in lane.closed:
        return None
    if before != lane.ep:
        if last == 0:
            return None
        _open(lane, before)
    first = lane.seq + 1
    if last < first:
        return None
    lane.seq = last
    return Lost(before, first, last)


def advance(lane: LaneState, ep: str, to_seq: int, digest: int | None) -> int:
    """Move the lane over a frame that ``judge`` called NEXT; returns the first number that it covers anew."""
    if ep != lane.ep:
        _open(lane, ep)
    first = lane.seq + 1
    assert to_seq >= first
    lane.seq = to_seq
    lane.digests[to_seq % REMEMBERED] = (to_seq, _NOT_COMPARED if digest is None else digest)
    return first


def _open(lane: LaneState, ep: str) -> None:
    if lane.ep:
        lane.closed[lane.ep] = lane.seq
    lane.ep, lane.seq = ep, 0
    lane.digests.clear()
