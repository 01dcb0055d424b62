"""End-to-end acknowledgement: the platform tells a gateway what is committed to the database."""

from collections.abc import Mapping
from typing import Annotated, Final

import msgspec

from contracts.frames import PROTOCOL_VERSION, Incarnation
from contracts.topics import Lane

AWAITING_PUBACK_MAX: Final = 64
"""Frames that may await their PUBACK (never more than the broker's Receive Maximum)."""
UNCOMMITTED_MAX: Final = 4_096
"""Frames that may be published and not yet committed."""
STALL_S: Final = (15.0, 30.0, 60.0, 120.0, 300.0)
"""Waits before going back to watermark + 1 while the watermark does not move; jittered by the sender."""
REFUSED_AFTER: Final = 5
"""Go-backs on one frame, with acks arriving, before it is set aside as a gap of reason ``refused``."""
ACK_INTERVAL_S: Final = 1.0
"""At most one ack in this time for a gateway, but for a backlog; the last is never withheld."""
ACK_SOONER_FRAMES: Final = UNCOMMITTED_MAX // 2
"""When so many frames of a gateway were committed since its last ack it is told at once: half its window is spent."""
ACK_MAX_BYTES: Final = 4_096

Watermark = tuple[Incarnation, Annotated[int, msgspec.Meta(ge=0)]]


class Ack(msgspec.Struct, frozen=True):
    """Watermarks of a gateway by lane: (ep, highest seq committed without a hole)."""

    v: Annotated[int, msgspec.Meta(ge=1, le=1)]
    a: dict[Lane, Watermark]


class AckError(ValueError):
    """A payload on the ack topic that is no ack."""


_DECODER = msgspec.json.Decoder(Ack)
_ENCODER = msgspec.json.Encoder(order="deterministic")


def encode(watermarks: Mapping[Lane, Watermark]) -> bytes:
    """Payload of a retained ack."""
    return _ENCODER.encode(Ack(PROTOCOL_VERSION, dict(watermarks)))


def decode(payload: bytes) -> Ack:
    """Read an ack. Raises AckError."""
    if len(payload) > ACK_MAX_BYTES:
        msg = f"ack of {len(payload)} bytes is over {ACK_MAX_BYTES}"
        raise AckError(msg)
    try:
        return _DECODER.decode(payload)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        msg = f"not an ack: {error}"
        raise AckError(msg) from error
