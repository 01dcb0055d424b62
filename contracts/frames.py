"""Frames: batches of readings, events or answers in one MQTT message, and how to read them safely.

A frame is JSON with an *envelope* (``v``, ``ep``, ``seq``) and a body. The envelope is decoded apart from the
body, so that a frame whose body is wrong still has a place in its lane and can be settled in quarantine.

Frozen structs; ``omit_defaults`` makes the encoding canonical (one spelling a frame), which the content digest
relies on. Decoders accept every spelling: keys in any order, defaults written out, unknown keys ignored.
"""

from enum import IntEnum, StrEnum
from typing import Annotated, Any, Final, NoReturn, TypeVar

import msgspec
import xxhash

from contracts.ids import Channel, Identifier
from contracts.topics import Lane

PROTOCOL_VERSION: Final = 1
FRAME_MAX_BYTES: Final = 64 * 1024
OFFSET_MAX_MS: Final = 3_600_000
SEQ_MAX: Final = 2**53 - 1
TIME_MAX_MS: Final = 253_402_300_799_000
"""9999-12-31; a frame's ``t0`` is bounded here by type, and by policy (retention, now + 5 min) in the stream."""
EVENTS_MAX: Final = 500
CHANNELS_MAX: Final = 1_000
"""Channels that one frame may name; a gateway as a whole may have 10,000."""

Seq = Annotated[int, msgspec.Meta(ge=1, le=SEQ_MAX)]
Milliseconds = Annotated[int, msgspec.Meta(ge=0, le=TIME_MAX_MS)]
Offset = Annotated[int, msgspec.Meta(ge=0, le=OFFSET_MAX_MS)]
Incarnation = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9]{4,16}\Z")]
Boot = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9]{0,16}\Z")]
Sku = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Note = Annotated[str, msgspec.Meta(max_length=200)]
Units = Annotated[int, msgspec.Meta(ge=-100_000, le=100_000)]


class Quality(IntEnum):
    """How far a reading can be trusted. BAD ones are stored, and kept out of rollups, latest values and all state."""

    GOOD = 0
    UNCERTAIN = 1
    BAD = 2
    SUBSTITUTED = 3


class GapReason(StrEnum):
    """Why a gateway gave frames up. A declared loss: counted, never silent."""

    EVICTED = "evicted"
    CORRUPT = "corrupt"
    REFUSED = "refused"
    RELEASED = "released"
    """The database went back in time and asks for frames that were committed and deleted."""


class EventKind(StrEnum):
    """What the edge decided that happened at a slot."""

    SALE = "sale"
    PUT_BACK = "put_back"
    RESTOCK = "restock"
    REMOVE = "remove"
    ADJUST = "adjust"
    UNKNOWN = "unknown"


class Previous(msgspec.Struct, frozen=True, omit_defaults=True):
    """The incarnation that this one follows, as far as the gateway knows it."""

    ep: Incarnation
    seq: Annotated[int, msgspec.Meta(ge=0, le=SEQ_MAX)]


class Gap(msgspec.Struct, frozen=True, omit_defaults=True):
    """Frames ``from`` … ``to`` that will never come; the frame that says so has ``seq`` = ``to``."""

    from_: Seq = msgspec.field(name="from")
    to: Seq
    reason: GapReason


class Envelope(msgspec.Struct, frozen=True, omit_defaults=True):
    """What gives a frame its place in its lane."""

    v: Annotated[int, msgspec.Meta(ge=1, le=1)]
    ep: Incarnation
    seq: Seq


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """One decision of the edge.

    ``units`` is the change of what lies on the slot (sale and remove negative, put_back and restock positive,
    adjust either, unknown 0 with its grams in ``dg``); ``on_shelf`` is the count after it. ``d`` is milliseconds
    after the frame's ``t0``. ``other`` counts units of foreign SKUs taken from or laid on the slot.
    """

    id: Annotated[str, msgspec.Meta(pattern=r"^[0-9A-Za-z_-]{1,64}\Z")]
    d: Offset
    slot: Identifier
    kind: EventKind
    units: Units
    dg: float = 0.0
    conf: Annotated[float, msgspec.Meta(ge=0.0, le=1.0)] = 1.0
    on_shelf: Annotated[int, msgspec.Meta(ge=0, le=100_000)] | None = None
    of: Annotated[str, msgspec.Meta(max_length=64)] = ""
    why: Note = ""
    other: dict[Sku, Units] = {}


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """Answer to a command (``cmd``, ``state``) or to a configuration (``cfg``, ``applied``)."""

    cmd: Annotated[str, msgspec.Meta(max_length=64)] = ""
    state: Annotated[str, msgspec.Meta(pattern=r"^(acked|done|failed|expired)?\Z")] = ""
    result: dict[str, Any] = {}
    cfg: Annotated[int, msgspec.Meta(ge=0)] | None = None
    applied: bool | None = None
    error: Annotated[str, msgspec.Meta(max_length=2000)] = ""


class Frame(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Envelope and clock, common to all lanes. ``t0`` is ms since 1970 UTC of the earliest entry."""

    v: Annotated[int, msgspec.Meta(ge=1, le=1)]
    ep: Incarnation
    seq: Seq
    t0: Milliseconds = 0
    sync: Annotated[int, msgspec.Meta(ge=0, le=1)] = 1
    boot: Boot = ""
    mono: Milliseconds = 0
    prev: Previous | None = None
    gap: Gap | None = None


class TelemetryFrame(Frame, frozen=True, omit_defaults=True, kw_only=True):
    """Readings as columns of equal length (lanes ``tel`` and ``bulk``).

    ``ch`` channel names; ``i`` index into ``ch``; ``d`` ms after ``t0``; ``x`` finite value; ``q`` position ->
    quality code for those that are not good. ``t0``, ``sync`` … come from ``Frame``.
    """

    ch: Annotated[list[Channel], msgspec.Meta(max_length=CHANNELS_MAX)] = []
    i: list[int] = []
    d: list[int] = []
    x: list[float] = []
    q: dict[str, Annotated[int, msgspec.Meta(ge=0, le=3)]] = {}


class EventFrame(Frame, frozen=True, omit_defaults=True, kw_only=True):
    """Decisions of the edge (lane ``evt``)."""

    ev: Annotated[list[Event], msgspec.Meta(max_length=EVENTS_MAX)] = []


class AnswerFrame(Frame, frozen=True, omit_defaults=True, kw_only=True):
    """Answers to commands and configurations (lane ``rsp``)."""

    rs: Annotated[list[Answer], msgspec.Meta(max_length=EVENTS_MAX)] = []


_F = TypeVar("_F", bound=Frame)
AnyFrame = TelemetryFrame | EventFrame | AnswerFrame


class Reason(StrEnum):
    """Why a message went to quarantine. Stored and shown, so names never change."""

    TOO_LARGE = "too_large"
    BAD_TOPIC = "bad_topic"
    BAD_JSON = "bad_json"
    BAD_BODY = "bad_body"
    BAD_COLUMNS = "bad_columns"
    BAD_TIME = "bad_time"
    TOO_MANY_CHANNELS = "too_many_channels"
    UNKNOWN_GATEWAY = "unknown_gateway"
    WRONG_SITE = "wrong_site"
    WRONG_TENANT = "wrong_tenant"
    """The payload names another tenant, site or gateway than its topic."""
    DUPLICATE_KEY = "duplicate_key"
    """An object of the payload has a key twice: which of them was meant, nobody can know."""
    CLOSED_INCARNATION = "closed_incarnation"
    CONFLICT = "conflict"
    """A sequence number that was already committed came again with other content: two agents with one name."""
    UNSYNCED = "unsynced"
    REFUSED_BY_DATABASE = "refused_by_database"


class FrameError(ValueError):
    """A message that is no frame of its lane.

    ``envelope`` is its place in the lane when that could be read, else None.
    """

    def __init__(self, reason: Reason, detail: str, envelope: Envelope | None = None) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.envelope = envelope


_ENVELOPE = msgspec.json.Decoder(Envelope)
_TELEMETRY = msgspec.json.Decoder(TelemetryFrame)
_EVENTS = msgspec.json.Decoder(EventFrame)
_ANSWERS = msgspec.json.Decoder(AnswerFrame)
_ENCODE = msgspec.json.Encoder().encode


def decode_telemetry(payload: bytes) -> TelemetryFrame:
    """Decode a frame of lane ``tel`` or ``bulk``. Raises FrameError."""
    frame = _decode(_TELEMETRY, payload)
    if frame.gap is not None:
        return _checked_gap(frame)
    n = len(frame.x)
    if not (n == len(frame.i) == len(frame.d)):
        _fail(Reason.BAD_COLUMNS, f"columns differ in length: i {len(frame.i)}, d {len(frame.d)}, x {n}", frame)
    if n == 0:
        _fail(Reason.BAD_COLUMNS, "no readings", frame)
    if min(frame.i) < 0 or max(frame.i) >= len(frame.ch):
        _fail(Reason.BAD_COLUMNS, f"i must be 0 … {len(frame.ch) - 1}", frame)
    if min(frame.d) < 0 or max(frame.d) > OFFSET_MAX_MS:
        _fail(Reason.BAD_COLUMNS, f"d must be 0 … {OFFSET_MAX_MS}", frame)
    for position in frame.q:
        if not (position.isascii() and position.isdecimal() and len(position) <= len(str(n)) and int(position) < n):
            _fail(Reason.BAD_COLUMNS, f"q names position {position[:16]!r} of {n}", frame)
    return frame


def decode_events(payload: bytes) -> EventFrame:
    """Decode a frame of lane ``evt``. Raises FrameError."""
    frame = _decode(_EVENTS, payload)
    if frame.gap is not None:
        return _checked_gap(frame)
    if not frame.ev:
        _fail(Reason.BAD_BODY, "no events", frame)
    return frame


def decode_answers(payload: bytes) -> AnswerFrame:
    """Decode a frame of lane ``rsp``. Raises FrameError."""
    frame = _decode(_ANSWERS, payload)
    if frame.gap is not None:
        return _checked_gap(frame)
    if not frame.rs:
        _fail(Reason.BAD_BODY, "no answers", frame)
    return frame


def decode(lane: Lane, payload: bytes) -> AnyFrame:
    """Decode a frame of any lane. Raises FrameError."""
    match lane:
        case Lane.TEL | Lane.BULK:
            return decode_telemetry(payload)
        case Lane.EVT:
            return decode_events(payload)
        case Lane.RSP:
            return decode_answers(payload)


def encode(frame: AnyFrame) -> bytes:
    """Canonical JSON of a frame: what a conforming gateway publishes, at most 64 KiB.

    Raises ValueError when the frame is larger.
    """
    payload = canonical(frame)
    if len(payload) > FRAME_MAX_BYTES:
        msg = f"frame of {len(payload)} bytes is over {FRAME_MAX_BYTES}"
        raise ValueError(msg)
    return payload


def canonical(frame: AnyFrame) -> bytes:
    """Canonical JSON of a frame that was read, whatever its size: a frame spelled otherwise may have been smaller."""
    return _ENCODE(frame)


def digest(frame: AnyFrame) -> int:
    """64-bit content hash of a frame, equal for every spelling of the same content.

    xxh64 (seed 0) of the canonical JSON. Digests are summed modulo 2**64 over the frames of a lane (I2).
    """
    return xxhash.xxh64_intdigest(canonical(frame))


def _decode(decoder: msgspec.json.Decoder[_F], payload: bytes) -> _F:
    if len(payload) > FRAME_MAX_BYTES:
        raise FrameError(
            Reason.TOO_LARGE, f"{len(payload)} bytes are over {FRAME_MAX_BYTES}", _envelope(payload[:FRAME_MAX_BYTES])
        )
    try:
        return decoder.decode(payload)
    except (msgspec.ValidationError, RecursionError, ValueError) as error:
        envelope = _envelope(payload)
        reason = (
            Reason.BAD_JSON if envelope is None and not isinstance(error, msgspec.ValidationError) else Reason.BAD_BODY
        )
        raise FrameError(reason, str(error)[:500], envelope) from error


def _envelope(payload: bytes) -> Envelope | None:
    try:
        return _ENVELOPE.decode(payload)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return None


def _checked_gap(frame: _F) -> _F:
    gap = frame.gap
    assert gap is not None
    if gap.to != frame.seq or gap.from_ > gap.to:
        _fail(Reason.BAD_BODY, f"gap {gap.from_} … {gap.to} in frame {frame.seq}", frame)
    return frame


def _fail(reason: Reason, detail: str, frame: Frame) -> NoReturn:
    raise FrameError(reason, detail, Envelope(v=frame.v, ep=frame.ep, seq=frame.seq))
