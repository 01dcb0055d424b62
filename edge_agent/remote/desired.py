"""The desired configuration: whether it is tried, what it means for this gateway, what is in force after a start."""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import msgspec
import structlog

from contracts.commands import DOWN_MAX_BYTES, DesiredConfig, config_sha256
from contracts.errors import UserError
from edge_agent.remote.store import ConfigState, RemoteStore, StoredConfig
from edge_agent.settings import Settings, amend
from edge_agent.slots_file import Slot

DIED: Final = "the agent ended while this configuration was on trial; it went back by itself"

log = structlog.get_logger()
_DECODE = msgspec.json.Decoder(DesiredConfig).decode


class DesiredError(ValueError):
    """A payload that is no desired configuration."""


class InForce(NamedTuple):
    """What polls after a start. ``config`` None: edge.toml alone. ``memories``: what the inference knows."""

    settings: Settings
    config: StoredConfig | None
    memories: Mapping[str, bytes]


def decode(payload: bytes) -> DesiredConfig:
    """Read the payload of ``dn/…/cfg``. Raises DesiredError."""
    if len(payload) > DOWN_MAX_BYTES:
        msg = f"configuration of {len(payload)} bytes is over {DOWN_MAX_BYTES}"
        raise DesiredError(msg)
    try:
        return _DECODE(payload)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        msg = f"not a desired configuration: {str(error)[:200]}"
        raise DesiredError(msg) from error


def receive(store: RemoteStore, desired: DesiredConfig, at_ms: int) -> bool:
    """Store what arrived, to be tried; False when there is nothing to try. Raises StoreError.

    A retained message arrives with every connection, so what is known already is passed over in silence.
    """
    if store.knows_config(desired):
        return False
    error = _why_not(store, desired)
    if error:
        log.warning("config_refused", version=desired.version, error=error)
        store.refuse_unseen(desired, error, at_ms)
        return False
    return store.add_config(desired, at_ms)


def _why_not(store: RemoteStore, desired: DesiredConfig) -> str:
    """Why a configuration is not even tried, '' when it is."""
    try:
        sha256 = config_sha256(desired.config)
    except (OverflowError, TypeError, RecursionError) as error:
        return f"cannot be hashed: {error}"
    if sha256 != desired.sha256:
        return f"its SHA-256 is {sha256}, not {desired.sha256}"
    before = store.refused(sha256)
    if before is not None:
        return f"the same was refused as version {before.version}: {before.error}"
    applied = store.config(ConfigState.APPLIED)
    if applied is not None and desired.version < applied.version:
        return f"it is older than version {applied.version}, which is in force"
    return ""


def settings_of(base: Settings, config: StoredConfig) -> Settings:
    """The settings with a configuration. Raises UserError."""
    return amend(base, config.config, f"configuration {config.version}")


def settle_after_start(store: RemoteStore, base: Settings, kept: Mapping[str, bytes], at_ms: int) -> InForce:
    """What to poll by. A configuration that was on trial when the process ended is refused: it may be why.

    ``kept``: what the inference wrote last, perhaps under the configuration that is given up here. Raises StoreError.
    """
    died = store.config(ConfigState.TRYING)
    if died is not None:
        log.error("config_rolled_back", version=died.version, error=DIED)
        store.refuse_config(died, DIED, at_ms)
    settings, config = base, store.config(ConfigState.APPLIED)
    if config is not None:
        try:
            settings = settings_of(base, config)
        except UserError as error:
            # edge.toml was changed since: the gateway goes on with that, and says so.
            log.error("config_does_not_fit", version=config.version, error=error.message)  # noqa: TRY400 - the message says it
            store.refuse_config(config, error.message, at_ms)
            config = None
    if died is not None:
        kept = carry(kept, died.memories, _slots_of(base, died), settings.slots)
    return InForce(settings, config, kept)


def carry(
    now: Mapping[str, bytes], before: Mapping[str, bytes], slots_now: Iterable[Slot], slots_before: Iterable[Slot]
) -> dict[str, bytes]:
    """Memories with which to go back: a slot whose article was the same goes on, another goes back to what it knew."""
    articles = {slot.name: _article(slot) for slot in slots_now}
    kept = {}
    for slot in slots_before:
        source = now if articles.get(slot.name) == _article(slot) else before
        memory = source.get(slot.name) or before.get(slot.name)
        if memory is not None:
            kept[slot.name] = memory
    return kept


def _slots_of(base: Settings, config: StoredConfig) -> tuple[Slot, ...]:
    try:
        return settings_of(base, config).slots
    except UserError:
        return ()


def _article(slot: Slot) -> tuple[str, str, float]:
    return slot.channel, slot.sku, slot.unit_weight_g
