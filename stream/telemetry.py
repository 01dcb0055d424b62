"""A quick way to read frames of channels that are known already; everything else goes the strict way of the contracts.

Most of the time of ``contracts.frames.decode_telemetry`` is spent on matching names against patterns, which were the
same in the frame before. Here names are plain text, and whoever calls looks them up among those that passed the strict
way once. Ranges, types, lengths and the content digest are the contracts' own; a test holds both ways together.
"""

from typing import Annotated, Final

import msgspec

from contracts.frames import CHANNELS_MAX, FRAME_MAX_BYTES, SEQ_MAX, TIME_MAX_MS, Offset

_Seq = Annotated[int, msgspec.Meta(ge=1, le=SEQ_MAX)]
_Milliseconds = Annotated[int, msgspec.Meta(ge=0, le=TIME_MAX_MS)]
_Index = Annotated[int, msgspec.Meta(ge=0, lt=CHANNELS_MAX)]


class Telemetry(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """``contracts.frames.TelemetryFrame`` without patterns; fields in its order, so that both encode to the same bytes.

    ``prev``, ``gap`` and ``q`` are only looked for: a frame that has one goes the strict way.
    """

    v: Annotated[int, msgspec.Meta(ge=1, le=1)]
    ep: str
    seq: _Seq
    t0: _Milliseconds = 0
    sync: Annotated[int, msgspec.Meta(ge=0, le=1)] = 1
    boot: str = ""
    mono: _Milliseconds = 0
    prev: msgspec.Raw | None = None
    gap: msgspec.Raw | None = None
    ch: Annotated[list[str], msgspec.Meta(max_length=CHANNELS_MAX)] = []
    i: list[_Index] = []
    d: list[Offset] = []
    x: list[float] = []
    q: msgspec.Raw | None = None


_DECODE: Final = msgspec.json.Decoder(Telemetry).decode
_ENCODE: Final = msgspec.json.Encoder().encode


def read(payload: bytes) -> Telemetry | None:
    """The frame, when it is a plain one of readings whose columns fit together; None sends it the strict way."""
    if len(payload) > FRAME_MAX_BYTES:
        return None
    try:
        frame = _DECODE(payload)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return None
    n = len(frame.x)
    if n == 0 or not (n == len(frame.i) == len(frame.d)) or max(frame.i) >= len(frame.ch):
        return None
    if frame.prev is not None or frame.gap is not None or frame.q is not None:
        return None
    return frame


def encode(frame: Telemetry) -> bytes:
    """The bytes that ``contracts.frames.canonical`` gives for the same frame; its content hash is that of these."""
    return _ENCODE(frame)
