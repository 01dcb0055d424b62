"""Retained presence of a gateway: alive or not, and what anchors its monotonic clock to UTC."""

from enum import StrEnum
from typing import Annotated, Final

import msgspec

from contracts.frames import Boot, Milliseconds

PRESENCE_MAX_BYTES: Final = 4_096
WILL_DELAY_S: Final = 30
KEEPALIVE_S: Final = 15


class State(StrEnum):
    """Whether the gateway is connected."""

    ONLINE = "online"
    OFFLINE = "offline"


class OutboxDepth(msgspec.Struct, frozen=True):
    """What waits on the gateway: frames not yet committed, and the age of the oldest."""

    frames: Annotated[int, msgspec.Meta(ge=0)] = 0
    oldest_s: Annotated[float, msgspec.Meta(ge=0)] = 0.0


class Sent(msgspec.Struct, frozen=True, omit_defaults=True):
    """Running account of one lane: everything ever written to it, for I2.

    ``seq`` frames written in incarnation ``ep``; ``digest`` their digests summed modulo 2**64, as hexadecimal
    (JSON numbers end at 2**53). ``gaps``: frames that the gateway gave up, as far as it remembers. Of such a lane
    the platform may have settled some frames and their gap, so that the digests are not comparable.
    """

    ep: str
    seq: Annotated[int, msgspec.Meta(ge=0)]
    digest: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{1,16}\Z")]
    gaps: Annotated[int, msgspec.Meta(ge=0)] = 0


class Presence(msgspec.Struct, frozen=True, omit_defaults=True):
    """Payload of ``st``.

    ``since`` and ``utc`` in ms since 1970 UTC; ``mono`` in ms on the clock of boot ``boot``, read together with
    ``utc``, which is None while the gateway's clock is not disciplined.
    """

    v: Annotated[int, msgspec.Meta(ge=1, le=1)]
    state: State
    since: Milliseconds = 0
    boot: Boot = ""
    mono: Milliseconds = 0
    utc: Milliseconds | None = None
    agent: Annotated[str, msgspec.Meta(max_length=64)] = ""
    outbox: OutboxDepth = OutboxDepth()
    sent: dict[str, Sent] = {}


class PresenceError(ValueError):
    """A payload on the presence topic that is no presence."""


_DECODER = msgspec.json.Decoder(Presence)


def encode(presence: Presence) -> bytes:
    """Payload of a retained presence or will."""
    return msgspec.json.encode(presence)


def decode(payload: bytes) -> Presence:
    """Read a presence. Raises PresenceError."""
    if len(payload) > PRESENCE_MAX_BYTES:
        msg = f"presence of {len(payload)} bytes is over {PRESENCE_MAX_BYTES}"
        raise PresenceError(msg)
    try:
        return _DECODER.decode(payload)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        msg = f"not a presence: {error}"
        raise PresenceError(msg) from error
