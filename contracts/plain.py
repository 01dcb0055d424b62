"""Plain devices without an outbox: one JSON object or a list, at least once from the broker on."""

from typing import Annotated, Final

import msgspec

from contracts.frames import FRAME_MAX_BYTES, FrameError, Milliseconds, Reason
from contracts.ids import Channel

READINGS_MAX: Final = 1_000


class PlainReading(msgspec.Struct, frozen=True):
    """Values by channel at ``ts``, ms since 1970 UTC; without ``ts`` the time of receipt counts.

    Stored once for the same series, time and value, but only with ``ts``.
    """

    values: Annotated[dict[Channel, float], msgspec.Meta(min_length=1, max_length=READINGS_MAX)]
    ts: Milliseconds | None = None


_DECODER = msgspec.json.Decoder(
    PlainReading | Annotated[list[PlainReading], msgspec.Meta(min_length=1, max_length=READINGS_MAX)]
)


def decode(payload: bytes) -> list[PlainReading]:
    """Read what a plain device published. Raises FrameError (which has no envelope)."""
    if len(payload) > FRAME_MAX_BYTES:
        raise FrameError(Reason.TOO_LARGE, f"{len(payload)} bytes are over {FRAME_MAX_BYTES}")
    try:
        decoded = _DECODER.decode(payload)
    except msgspec.ValidationError as error:
        raise FrameError(Reason.BAD_BODY, str(error)[:500]) from error
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise FrameError(Reason.BAD_JSON, str(error)[:500]) from error
    return decoded if isinstance(decoded, list) else [decoded]
