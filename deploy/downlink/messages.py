"""Rows of the database as messages to gateways. Pure."""

from datetime import datetime
from math import ceil
from typing import Any, Final, NamedTuple

import msgspec

from contracts import topics
from contracts.commands import Command, CommandKind, DesiredConfig
from contracts.topics import Down, GatewayAddress

ENCODE: Final = msgspec.json.Encoder(order="sorted").encode


class Outgoing(NamedTuple):
    """A message to be published at QoS 1. ``expires_s``: the broker forgets it after so long (MQTT 5); None: never."""

    topic: str
    payload: bytes
    retain: bool
    expires_s: int | None


class DueCommand(NamedTuple):
    """A row of DUE_COMMANDS."""

    command_id: str
    tenant: str
    site: str
    gateway: str
    kind: str
    args: dict[str, Any]
    expires_at: datetime


class CurrentConfig(NamedTuple):
    """A row of DUE_CONFIGS or CURRENT_CONFIGS."""

    tenant: str
    site: str
    gateway: str
    version: int
    config: dict[str, Any]
    sha256: str


def command_message(due: DueCommand, now: datetime) -> Outgoing:
    """A command: not retained, and no older than it may be when a gateway hears it."""
    command = Command(
        id=due.command_id,
        kind=CommandKind(due.kind),
        expires=int(due.expires_at.timestamp() * 1_000),
        args=due.args,
    )
    topic = topics.down(GatewayAddress(due.tenant, due.site, due.gateway), Down.CMD)
    left_s = max(1, ceil((due.expires_at - now).total_seconds()))
    return Outgoing(topic, ENCODE(command), retain=False, expires_s=left_s)


def config_message(current: CurrentConfig) -> Outgoing:
    """A desired configuration: retained, in the place of the one before."""
    desired = DesiredConfig(version=current.version, sha256=current.sha256, config=current.config)
    address = GatewayAddress(current.tenant, current.site, current.gateway)
    return Outgoing(topics.down(address, Down.CFG), ENCODE(desired), retain=True, expires_s=None)
