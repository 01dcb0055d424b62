"""Reads what ``replay`` publishes: lines ``{"at":ms,"topic":"sp/v1/…","payload":{…}}``. Pure.

Payloads are published byte for byte. Of an ``up`` topic the envelope must be readable, and the frames of a lane and
incarnation must follow each other; whether a body is right is for the platform to say.
"""

from collections.abc import Iterable
from itertools import pairwise
from typing import Annotated, Final, NoReturn

import msgspec

from contracts.errors import UserError
from contracts.frames import TIME_MAX_MS, Gap, Incarnation, Seq
from contracts.topics import GatewayAddress, Lane, TopicError, parse_plain, parse_up

FRAMES_MAX: Final = 5_000_000
BYTES_MAX: Final = 2 * 1024**3
"""All payloads are kept in memory until they are committed."""


class _Line(msgspec.Struct, frozen=True):
    at: Annotated[int, msgspec.Meta(ge=0, le=TIME_MAX_MS)]
    topic: str
    payload: msgspec.Raw


class _Envelope(msgspec.Struct, frozen=True):
    v: int
    ep: Incarnation
    seq: Seq
    gap: Gap | None = None


class StoredFrame(msgspec.Struct, frozen=True):
    """A frame of a lane. ``first`` … ``seq`` are the numbers that it settles: one, or those of a gap."""

    at_ms: int
    first: int
    seq: int
    payload: bytes


class PlainMessage(msgspec.Struct, frozen=True):
    """A message on a ``raw`` or ``st`` topic."""

    at_ms: int
    topic: str
    payload: bytes
    retain: bool


class Segment(msgspec.Struct):
    """Frames of one incarnation of a lane, in order of their numbers, without holes."""

    ep: str
    frames: list[StoredFrame] = []


class LaneFile(msgspec.Struct):
    """A lane of a gateway: incarnations in the order in which the file names them first."""

    address: GatewayAddress
    lane: Lane
    segments: list[Segment] = []


class ReplayInput(msgspec.Struct):
    """All that a file holds. ``duplicates``: frames that stand in it more than once, equal to the byte."""

    lanes: list[LaneFile] = []
    plain: list[PlainMessage] = []
    duplicates: int = 0

    @property
    def frames(self) -> int:
        """Frames of all lanes."""
        return sum(len(segment.frames) for lane in self.lanes for segment in lane.segments)

    @property
    def start_ms(self) -> int:
        """The earliest ``at``, 0 without lines."""
        times = [frame.at_ms for lane in self.lanes for segment in lane.segments for frame in segment.frames]
        return min(times + [message.at_ms for message in self.plain], default=0)


_line_decoder = msgspec.json.Decoder(_Line)
_envelope_decoder = msgspec.json.Decoder(_Envelope)


class _Reader:
    def __init__(self) -> None:
        self.plain: list[PlainMessage] = []
        self.lanes: dict[tuple[GatewayAddress, Lane], dict[str, dict[int, tuple[int, StoredFrame]]]] = {}
        self.duplicates = 0
        self.bytes = 0

    def add(self, number: int, text: bytes) -> None:
        try:
            line = _line_decoder.decode(text)
        except (msgspec.MsgspecError, RecursionError, ValueError) as error:
            _fail(number, str(error))
        payload = bytes(line.payload)
        self.bytes += len(payload)
        if self.bytes > BYTES_MAX or number > FRAMES_MAX:
            _fail(number, f"more than {FRAMES_MAX:,} lines or {BYTES_MAX:,} bytes; split the file")
        try:
            if line.topic.startswith("sp/v1/up/"):
                _, address, lane = parse_up(line.topic)
                self._add_frame(number, line.at, payload, (address, lane))
                return
            kind = "st" if line.topic.startswith("sp/v1/st/") else "raw"
            parse_plain(line.topic, kind)
        except TopicError as error:
            _fail(number, str(error))
        self.plain.append(PlainMessage(line.at, line.topic, payload, kind == "st"))

    def _add_frame(self, number: int, at_ms: int, payload: bytes, key: tuple[GatewayAddress, Lane]) -> None:
        try:
            envelope = _envelope_decoder.decode(payload)
        except (msgspec.MsgspecError, RecursionError, ValueError) as error:
            _fail(number, f"payload without a readable envelope (v, ep, seq): {error}")
        first = envelope.gap.from_ if envelope.gap is not None else envelope.seq
        frames = self.lanes.setdefault(key, {}).setdefault(envelope.ep, {})
        frame = StoredFrame(at_ms, min(first, envelope.seq), envelope.seq, payload)
        known = frames.get(envelope.seq)
        if known is None:
            frames[envelope.seq] = (number, frame)
        elif known[1].payload == payload:
            self.duplicates += 1
        else:
            _fail(number, f"frame {envelope.ep} {envelope.seq} differs from the one of line {known[0]}")


def read(lines: Iterable[bytes]) -> ReplayInput:
    """Read the lines of a file; empty ones are skipped. Raises UserError that names the line."""
    reader = _Reader()
    for number, text in enumerate(lines, 1):
        if text.strip():
            reader.add(number, text)
    lanes = [
        LaneFile(address, lane, [_segment(ep, frames) for ep, frames in incarnations.items()])
        for (address, lane), incarnations in reader.lanes.items()
    ]
    return ReplayInput(lanes, reader.plain, reader.duplicates)


def _segment(ep: str, numbered: dict[int, tuple[int, StoredFrame]]) -> Segment:
    frames = [numbered[seq] for seq in sorted(numbered)]
    for (_, before), (number, frame) in pairwise(frames):
        if frame.first > before.seq + 1:
            _fail(number, f"frame {ep} {frame.seq} does not follow {before.seq}: what lies between is not in the file")
    return Segment(ep, [frame for _, frame in frames])


def _fail(number: int, problem: str) -> NoReturn:
    msg = f"line {number}: {problem[:500]}"
    raise UserError(msg)
