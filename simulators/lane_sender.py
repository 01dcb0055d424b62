"""One gateway's lane of synthetic frames: window, frames, account of what was written. Used by ``fleet``."""

from collections import deque
from typing import Final

import xxhash

from contracts.frames import GapReason
from contracts.topics import GatewayAddress, up
from simulators.frame_templates import FrameTemplate, gap_payload
from simulators.lane_window import LaneWindow
from simulators.links import Message

DIGEST_MASK: Final = 2**64 - 1


class LaneSender:
    """Frames of one lane: written by a template, sent by the rules of ``LaneWindow``.

    Of each frame that is not committed only its time is kept; the template gives its bytes again.
    """

    def __init__(self, address: GatewayAddress, template: FrameTemplate, window: LaneWindow) -> None:
        self.address = address
        self.template = template
        self.window = window
        self.topic = up(address, template.lane)
        self.digest = 0
        self.sent = 0
        self._written_ms: deque[int] = deque()

    @property
    def readings(self) -> int:
        """Readings written so far."""
        return self.window.written * self.template.readings

    def write(self, t0_ms: int) -> None:
        """Take a frame of readings at ``t0_ms``."""
        seq = self.window.write()
        self._written_ms.append(t0_ms)
        payload = self.template.payload(seq, t0_ms)
        self.digest = (self.digest + xxhash.xxh64_intdigest(payload)) & DIGEST_MASK

    def message(self, now_s: float) -> Message:
        """What the lane publishes now. Only when ``window.may_send``."""
        dispatch = self.window.send(now_s)
        self.sent += 1
        if dispatch.gap is not None:
            return Message(self.topic, self._gap(dispatch.first, dispatch.seq, dispatch.gap))
        t0_ms = self._written_ms[dispatch.seq - self.window.watermark - 1]
        return Message(self.topic, self.template.payload(dispatch.seq, t0_ms))

    def acked(self, ep: str, seq: int, now_s: float) -> list[int]:
        """The platform has committed up to ``seq``; the times at which the frames that it newly names were written."""
        moved = self.window.acked(ep, seq, now_s)
        return [self._written_ms.popleft() for _ in range(moved)]

    def _gap(self, first: int, last: int, reason: GapReason) -> bytes:
        return gap_payload(self.template.lane, self.template.ep, first, last, reason)
