"""What the platform asks of a gateway: a desired configuration, and commands that act once."""

import hashlib
from enum import StrEnum
from typing import Annotated, Any, Final

import msgspec

from contracts.frames import Milliseconds

DOWN_MAX_BYTES: Final = 64 * 1024


class CommandKind(StrEnum):
    """Commands that an agent knows."""

    TARE = "tare"
    IDENTIFY = "identify"
    REFILL_CHECK = "refill_check"
    RESTART = "restart"
    UPDATE = "update"


class Command(msgspec.Struct, frozen=True):
    """Payload of ``dn/…/cmd``. The agent stores ``id`` before it acts; ``expires`` is ms since 1970 UTC."""

    id: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    kind: CommandKind
    expires: Milliseconds
    args: dict[str, Any] = {}


class DesiredConfig(msgspec.Struct, frozen=True):
    """Payload of ``dn/…/cfg``, retained. ``sha256`` is that of the canonical JSON of ``config``."""

    version: Annotated[int, msgspec.Meta(ge=0)]
    sha256: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
    config: dict[str, Any]


def canonical(config: dict[str, Any]) -> bytes:
    """JSON of a configuration with sorted keys and without white space: what its ``sha256`` is made of."""
    return msgspec.json.encode(config, order="sorted")


def config_sha256(config: dict[str, Any]) -> str:
    """SHA-256 of the canonical JSON, in hexadecimal."""
    return hashlib.sha256(canonical(config)).hexdigest()
