"""What a gateway may send next on one lane: the rules of end-to-end acknowledgement. Pure; times are arguments.

The lane does not keep payloads, only sequence numbers: whoever owns it can give the frame of any number between the
watermark and the newest one again, byte for byte.
"""

import math
from collections.abc import Sequence
from random import Random
from typing import Final, NamedTuple

from contracts.acks import AWAITING_PUBACK_MAX, REFUSED_AFTER, STALL_S, UNCOMMITTED_MAX
from contracts.frames import GapReason

JITTER: Final = 0.2
"""Waits are this share longer or shorter, so that a fleet does not go back all at once."""


class Dispatch(NamedTuple):
    """What is to be published: frame ``seq``, or, with ``gap``, a gap frame in place of ``first`` … ``seq``."""

    first: int
    seq: int
    gap: GapReason | None


class LaneWindow:
    """Cursor, watermark and window of one (gateway, lane, ep).

    ``written`` is the newest sequence number that exists, ``watermark`` the highest committed one, ``cursor`` the next
    to publish, ``committed`` what the platform said last. ``stall_s`` are the waits before going back.
    """

    def __init__(self, ep: str, rng: Random, *, written: int = 0, stall_s: Sequence[float] = STALL_S) -> None:
        assert stall_s
        self.ep = ep
        self.written = written
        self.watermark = 0
        self.cursor = 1
        self.committed = 0
        self.resent = 0
        self._refused = 0
        self._released: tuple[int, int] | None = None
        self._highest_sent = 0
        self._rng = rng
        self._stall_s = stall_s
        self._stalls = 0
        self._heard = False
        self._refusals = 0
        self._refusable_s = -math.inf
        self._moved_s = -math.inf
        self._probe_end: int | None = None

    @property
    def settled(self) -> bool:
        """Whether all that was written is committed."""
        return self.committed >= self.written

    @property
    def may_write(self) -> bool:
        """Whether a frame written now could be sent at once."""
        return self.cursor > self.written and self._is_open(self.written + 1)

    @property
    def may_send(self) -> bool:
        """Whether a frame waits that may be published now."""
        return self._released is not None or (self.cursor <= self.written and self._is_open(self.cursor))

    def write(self) -> int:
        """A new frame exists; its sequence number."""
        self.written += 1
        return self.written

    def send(self, now_s: float) -> Dispatch:
        """What is published now. Only when ``may_send``."""
        assert self.may_send
        if self._released is not None:
            first, last = self._released
            self._released = None
            return Dispatch(first, last, GapReason.RELEASED)
        seq = self.cursor
        if seq == self.watermark + 1 and self._stalls == 0 and self._probe_end is None:
            self._moved_s = now_s
        self.cursor += 1
        self.resent += seq <= self._highest_sent
        self._highest_sent = max(self._highest_sent, seq)
        return Dispatch(seq, seq, GapReason.REFUSED if seq == self._refused else None)

    def acked(self, ep: str, seq: int, now_s: float) -> int:
        """The platform has committed up to ``seq``; how far the watermark moved. Acks of another ``ep`` say nothing.

        A watermark below ours means that the database went back in time; a gap frame answers for what is gone here.
        A watermark beyond what was written is not ours.
        """
        if ep != self.ep or seq > self.written:
            return 0
        self._heard = True
        self.committed = seq
        if seq < self.watermark:
            self._released = (seq + 1, self.watermark)
            return 0
        moved = seq - self.watermark
        if moved:
            self.watermark = seq
            self.cursor = max(self.cursor, seq + 1)
            self._moved_s = now_s
            self._refusals = 0
            self._refusable_s = -math.inf
            self._probe_end = None
            self._heard = False
        # Even an ack that says nothing new shows that the platform lives: look again soon.
        self._stalls = 0
        return moved

    def go_back(self, now_s: float) -> None:
        """A new connection: everything behind the watermark is sent again."""
        self.cursor = self.watermark + 1
        self._probe_end = None
        self._moved_s = now_s
        self._stalls = 0

    def check_stall(self, now_s: float) -> bool:
        """Go back by 64 frames when the watermark has not moved for too long; whether that happened.

        A first frame that did not pass five times while acks came is refused: it is to be sent as a gap.
        """
        if self.cursor == self.watermark + 1:
            return False
        wait_s = self._wait_s(self._stalls)
        if now_s - self._moved_s < wait_s * (1 + JITTER * self._rng.uniform(-1, 1)):
            return False
        if self._heard and now_s >= self._refusable_s:
            self._refusals += 1
            # Not sooner than a silent platform is asked again: one without its database looks the same from here.
            self._refusable_s = now_s + self._wait_s(self._refusals)
        self._heard = False
        if self._refusals >= REFUSED_AFTER:
            self._refused = self.watermark + 1
            self._refusals = 0
        self.cursor = self.watermark + 1
        self._probe_end = self.watermark + AWAITING_PUBACK_MAX
        self._moved_s = now_s
        self._stalls += 1
        return True

    def _wait_s(self, stalls: int) -> float:
        return self._stall_s[min(stalls, len(self._stall_s) - 1)]

    def _is_open(self, seq: int) -> bool:
        if self._probe_end is not None and seq > self._probe_end:
            return False
        return seq <= self.watermark + UNCOMMITTED_MAX
