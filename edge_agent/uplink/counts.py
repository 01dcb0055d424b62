"""What a sender did, and what troubles it: read from any thread, by health, metrics and tests."""

from dataclasses import dataclass
from enum import StrEnum


@dataclass(slots=True)
class SenderCounts:
    """What the sender did since it was made."""

    published: int = 0
    pubacks: int = 0
    acks: int = 0
    foreign_acks: int = 0
    go_backs: int = 0
    holds: int = 0
    refused: int = 0
    connects: int = 0
    failures: int = 0


class Alarm(StrEnum):
    """What will not mend itself: somebody has to look after the gateway or its broker."""

    REFUSED = "refused"
    """The broker does not let us in: credentials, certificate, a ban."""
    UNTRUSTED = "untrusted"
    """TLS failed: its certificate is not to be trusted, or ours is not trusted there."""
    TAKEN_OVER = "taken_over"
    """Another client came with our name, or another agent writes our lanes."""
    MOVED = "moved"
    """The broker sends us to another one."""
    UNFIT = "unfit"
    """The broker cannot do what the protocol needs: QoS 1, retained messages, packets of our size."""
    DENIED = "denied"
    """The broker lets us in, and denies a topic."""
