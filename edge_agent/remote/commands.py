"""Commands as they arrive, and until when they may be acted on. Pure."""

from typing import Annotated, Any, Final

import msgspec

from contracts.commands import DOWN_MAX_BYTES, CommandKind
from contracts.frames import Milliseconds
from edge_agent.clock import Instant
from edge_agent.remote.store import StoredCommand

UNSYNCED_LIFE_MS: Final = 300_000
"""How long a command lives that came while nobody knew the time. Then its own ``expires`` says nothing."""


class CommandError(ValueError):
    """A payload that is no command, not even one of an unknown kind: there is no id to answer to."""


class _Received(msgspec.Struct, frozen=True):
    """As ``contracts.commands.Command``, but of any kind: an unknown one has an id, and so gets its answer."""

    id: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    kind: Annotated[str, msgspec.Meta(max_length=64)]
    expires: Milliseconds
    args: dict[str, Any] = {}


_DECODE = msgspec.json.Decoder(_Received).decode


def decode(payload: bytes, received: Instant, boot: str) -> StoredCommand:
    """Read a command. Raises CommandError."""
    if len(payload) > DOWN_MAX_BYTES:
        msg = f"command of {len(payload)} bytes is over {DOWN_MAX_BYTES}"
        raise CommandError(msg)
    try:
        told = _DECODE(payload)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        msg = f"not a command: {str(error)[:200]}"
        raise CommandError(msg) from error
    return StoredCommand(told.id, told.kind, told.args, told.expires, received, boot)


def kind_of(command: StoredCommand) -> CommandKind | None:
    """The kind, None for one that this version does not know."""
    try:
        return CommandKind(command.kind)
    except ValueError:
        return None


def is_expired(command: StoredCommand, now: Instant, boot: str) -> bool:
    """Whether it is too late to begin.

    By UTC when the clock can be believed now. Else by what has passed on the monotonic clock since it came: until
    ``expires`` if the clock could be believed then, for ``UNSYNCED_LIFE_MS`` if not. In another boot nobody can tell
    how old it is, so it is not acted on.
    """
    if now.synced:
        return now.utc_ms >= command.expires_ms
    if boot != command.boot:
        return True
    passed_ms = now.mono_ms - command.received.mono_ms
    if command.received.synced:
        return command.received.utc_ms + passed_ms >= command.expires_ms
    return passed_ms >= UNSYNCED_LIFE_MS
