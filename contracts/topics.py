"""MQTT topics of protocol version 1.

| topic                                                    | who publishes | retained |
|----------------------------------------------------------|---------------|----------|
| ``sp/v1/up/{bucket}/{tenant}/{site}/{gateway}/{lane}``   | gateway       | no       |
| ``sp/v1/raw/{tenant}/{site}/{gateway}``                  | plain device  | no       |
| ``sp/v1/st/{tenant}/{site}/{gateway}``                   | gateway, will | yes      |
| ``sp/v1/dn/{tenant}/{site}/{gateway}/{ack|cfg|cmd}``     | platform      | ack, cfg |

All at QoS 1.
"""

from enum import StrEnum
from typing import Final, NamedTuple

from contracts.ids import BUCKETS, Bucket, bucket_of, is_identifier

ROOT: Final = "sp/v1"
UP_FILTER: Final = f"{ROOT}/up/+/+/+/+/+"
RAW_FILTER: Final = f"{ROOT}/raw/+/+/+"
PRESENCE_FILTER: Final = f"{ROOT}/st/+/+/+"
DOWN_FILTER: Final = f"{ROOT}/dn/+/+/+/+"

_UP_LEVELS: Final = 8
_PLAIN_LEVELS: Final = 6


class Lane(StrEnum):
    """An ordered stream of frames of one gateway."""

    EVT = "evt"
    """Decisions of the edge: sales, restocks, counts."""
    TEL = "tel"
    """Readings taken while connected."""
    BULK = "bulk"
    """Readings taken while offline; drained behind the live lanes."""
    RSP = "rsp"
    """Answers to commands and configurations."""


class Down(StrEnum):
    """What the platform says to a gateway."""

    ACK = "ack"
    CFG = "cfg"
    CMD = "cmd"


class GatewayAddress(NamedTuple):
    """Where a gateway stands: names from its own topic, not yet checked against the registry."""

    tenant: str
    site: str
    gateway: str


class UpTopic(NamedTuple):
    """A parsed ``up`` topic."""

    bucket: Bucket
    address: GatewayAddress
    lane: Lane


class TopicError(ValueError):
    """A topic that no conforming client can have published."""


def up(address: GatewayAddress, lane: Lane) -> str:
    """Topic on which a gateway publishes the frames of one lane."""
    return f"{ROOT}/up/{bucket_of(address.gateway)}/{_path(address)}/{lane}"


def bucket_filter(bucket: int) -> str:
    """Filter for all frames of one bucket."""
    return f"{ROOT}/up/{bucket}/+/+/+/+"


def raw(address: GatewayAddress) -> str:
    """Topic for plain devices without an outbox."""
    return f"{ROOT}/raw/{_path(address)}"


def presence(address: GatewayAddress) -> str:
    """Topic of a gateway's retained presence and of its last will."""
    return f"{ROOT}/st/{_path(address)}"


def down(address: GatewayAddress, kind: Down) -> str:
    """Topic on which the platform talks to one gateway."""
    return f"{ROOT}/dn/{_path(address)}/{kind}"


def parse_up(topic: str) -> UpTopic:
    """Parse an ``up`` topic; the bucket must be the one that the gateway's name gives.

    Raises TopicError.
    """
    levels = topic.split("/")
    if len(levels) != _UP_LEVELS or levels[:3] != ["sp", "v1", "up"]:
        msg = f"not an up topic: {topic[:200]!r}"
        raise TopicError(msg)
    bucket, lane = levels[3], levels[7]
    address = _address(levels[4:7], topic)
    try:
        known_lane = Lane(lane)
    except ValueError:
        msg = f"unknown lane {lane[:32]!r}"
        raise TopicError(msg) from None
    expected = bucket_of(address.gateway)
    if bucket != str(expected):
        msg = f"bucket {bucket[:8]!r} is not {expected}, the one of gateway {address.gateway!r} (crc32 % {BUCKETS})"
        raise TopicError(msg)
    return UpTopic(expected, address, known_lane)


def parse_plain(topic: str, kind: str) -> GatewayAddress:
    """Parse a ``raw`` or ``st`` topic. Raises TopicError."""
    levels = topic.split("/")
    if len(levels) != _PLAIN_LEVELS or levels[:3] != ["sp", "v1", kind]:
        msg = f"not a {kind} topic: {topic[:200]!r}"
        raise TopicError(msg)
    return _address(levels[3:6], topic)


def _path(address: GatewayAddress) -> str:
    return f"{address.tenant}/{address.site}/{address.gateway}"


def _address(levels: list[str], topic: str) -> GatewayAddress:
    if not all(is_identifier(level) for level in levels):
        msg = f"identifiers are [a-z0-9][a-z0-9_-]{{0,31}}: {topic[:200]!r}"
        raise TopicError(msg)
    return GatewayAddress(*levels)
