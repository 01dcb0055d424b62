"""What the broker's reason codes ask of a gateway. Pure; names and numbers are those of MQTT 5, section 2.4.

MQTT 3.1.1 knows five answers to CONNECT, which paho translates into these, and no others.
"""

from enum import Enum, IntEnum, auto
from typing import Final


class Reason(IntEnum):
    """Reason codes that we treat in a way of their own."""

    SUCCESS = 0x00
    NO_SUBSCRIBERS = 0x10
    UNSPECIFIED = 0x80
    MALFORMED = 0x81
    PROTOCOL_ERROR = 0x82
    UNSUPPORTED_VERSION = 0x84
    INVALID_CLIENT_ID = 0x85
    BAD_CREDENTIALS = 0x86
    NOT_AUTHORIZED = 0x87
    BANNED = 0x8A
    BAD_METHOD = 0x8C
    TAKEN_OVER = 0x8E
    INVALID_TOPIC = 0x90
    WINDOW_EXCEEDED = 0x93
    PACKET_TOO_LARGE = 0x95
    QUOTA_EXCEEDED = 0x97
    INVALID_PAYLOAD = 0x99
    NO_RETAIN = 0x9A
    NO_QOS = 0x9B
    USE_ANOTHER = 0x9C
    MOVED = 0x9D


class Reaction(Enum):
    """What to do when a connection is refused or ended."""

    RETRY = auto()
    """Try again soon: full jitter from 1 s."""
    RETRY_SLOWLY = auto()
    """Somebody has to mend something: raise an alarm, and try again after half a minute or more."""
    OTHER_VERSION = auto()
    """Try again by the other version of MQTT."""
    OTHER_CLIENT_ID = auto()
    """Try again under a client id of other letters."""


_SPECIAL: Final[dict[int, Reaction]] = {
    Reason.UNSUPPORTED_VERSION: Reaction.OTHER_VERSION,
    Reason.INVALID_CLIENT_ID: Reaction.OTHER_CLIENT_ID,
}
_TO_BE_MENDED: Final = frozenset(
    {
        Reason.MALFORMED,
        Reason.PROTOCOL_ERROR,
        Reason.BAD_CREDENTIALS,
        Reason.NOT_AUTHORIZED,
        Reason.BANNED,
        Reason.BAD_METHOD,
        # Two agents with one name: whoever comes back at once throws the other out again.
        Reason.TAKEN_OVER,
        Reason.INVALID_TOPIC,
        Reason.WINDOW_EXCEEDED,
        Reason.PACKET_TOO_LARGE,
        Reason.INVALID_PAYLOAD,
        Reason.NO_RETAIN,
        Reason.NO_QOS,
        # We do not follow: a broker that was taken could send the whole fleet, with its passwords, anywhere.
        Reason.USE_ANOTHER,
        Reason.MOVED,
    }
)

HOLD_MAX_S: Final[dict[int, float]] = {
    Reason.NO_SUBSCRIBERS: 10.0,
    Reason.NOT_AUTHORIZED: 60.0,
    Reason.INVALID_TOPIC: 60.0,
    Reason.QUOTA_EXCEEDED: 60.0,
}
HOLD_MAX_OTHER_S: Final = 30.0
_ALARMING: Final = frozenset({Reason.NOT_AUTHORIZED, Reason.INVALID_TOPIC, Reason.INVALID_PAYLOAD})


def reaction_to(code: int) -> Reaction:
    """What to do after a CONNACK or DISCONNECT with ``code``; what we do not know is worth another try."""
    if code in _TO_BE_MENDED:
        return Reaction.RETRY_SLOWLY
    return _SPECIAL.get(code, Reaction.RETRY)


def is_failure(code: int) -> bool:
    """Whether a request was refused."""
    return code >= Reason.UNSPECIFIED


def is_taken(code: int) -> bool:
    """Whether a PUBACK says that the broker has the message *and* somebody will get it."""
    return not is_failure(code) and code != Reason.NO_SUBSCRIBERS


def is_alarming(code: int) -> bool:
    """Whether a PUBACK with ``code`` will not turn good by waiting alone."""
    return code in _ALARMING


def hold_max_s(code: int) -> float:
    """The longest wait between two tries of a publish that the broker answered with ``code``."""
    return HOLD_MAX_S.get(code, HOLD_MAX_OTHER_S)
