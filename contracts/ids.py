"""Identifiers on the wire, and how derived ids are made.

Names of tenants, sites, gateways, devices and slots share one alphabet, so that they fit into an
MQTT topic, a file name and a URL without escaping.
"""

import re
import uuid
import zlib
from typing import Annotated, Final, NewType

import msgspec

IDENTIFIER_PATTERN: Final = r"^[a-z0-9][a-z0-9_-]{0,31}$"
CHANNEL_PATTERN: Final = r"^[a-z0-9][a-z0-9_-]{0,31}\.[a-z0-9][a-z0-9_]{0,31}$"
BUCKETS: Final = 64
"""Number of ordering domains. Part of the topic, so it can never change within a protocol version."""

# msgspec searches with Python's re, where $ also matches before a final newline; \Z does not.
STRICT_IDENTIFIER_PATTERN: Final = IDENTIFIER_PATTERN.removesuffix("$") + r"\Z"
STRICT_CHANNEL_PATTERN: Final = CHANNEL_PATTERN.removesuffix("$") + r"\Z"

Identifier = Annotated[str, msgspec.Meta(pattern=STRICT_IDENTIFIER_PATTERN)]
Channel = Annotated[str, msgspec.Meta(pattern=STRICT_CHANNEL_PATTERN)]
"""``device.metric`` with the unit as the metric's suffix, for instance ``bay03.weight_g``."""

Bucket = NewType("Bucket", int)

_IDENTIFIER = re.compile(STRICT_IDENTIFIER_PATTERN)
_CHANNEL = re.compile(STRICT_CHANNEL_PATTERN)
_NAMESPACE: Final = uuid.UUID("6f1c7b0e-5d0a-5b8e-9c5b-0a4f6f0c2d11")


def is_identifier(text: str) -> bool:
    """Whether ``text`` may name a tenant, site, gateway, device or slot."""
    return _IDENTIFIER.fullmatch(text) is not None


def is_channel(text: str) -> bool:
    """Whether ``text`` is ``device.metric``."""
    return _CHANNEL.fullmatch(text) is not None


def device_of(channel: str) -> str:
    """Device part of a channel: ``bay03`` of ``bay03.weight_g``."""
    return channel.partition(".")[0]


def metric_of(channel: str) -> str:
    """Metric part of a channel: ``weight_g`` of ``bay03.weight_g``."""
    return channel.partition(".")[2]


def bucket_of(gateway: str) -> Bucket:
    """Ordering domain of a gateway, 0 … 63: crc32 of its UTF-8 name modulo 64."""
    return Bucket(zlib.crc32(gateway.encode()) % BUCKETS)


def client_id(tenant: str, gateway: str) -> str:
    """MQTT client id of a gateway; unique among tenants."""
    return f"{tenant}.{gateway}"


def username(tenant: str, gateway: str) -> str:
    """MQTT user name of a gateway."""
    return f"{tenant}/{gateway}"


def derived_id(*parts: str | int) -> uuid.UUID:
    """UUIDv5 of facts that the stream derives, equal whenever the same frames are replayed.

    ``parts`` must identify the fact by content (tenant, kind, place, start), never by arrival.
    """
    return uuid.uuid5(_NAMESPACE, "\x1f".join(str(part) for part in parts))
