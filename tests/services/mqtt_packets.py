"""The few MQTT packets that a broker needs to speak with a gateway, in versions 3.1.1 and 5. For tests."""

import struct
from dataclasses import dataclass, field
from enum import IntEnum


class Kind(IntEnum):
    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    SUBSCRIBE = 8
    SUBACK = 9
    PINGREQ = 12
    PINGRESP = 13
    DISCONNECT = 14


class Property(IntEnum):
    """Properties of CONNACK and DISCONNECT, by MQTT 5, section 2.2.2.2."""

    SERVER_KEEP_ALIVE = 0x13
    SERVER_REFERENCE = 0x1C
    RECEIVE_MAXIMUM = 0x21
    TOPIC_ALIAS_MAXIMUM = 0x22
    MAXIMUM_QOS = 0x24
    RETAIN_AVAILABLE = 0x25
    MAXIMUM_PACKET_SIZE = 0x27


_FORMATS = {
    Property.SERVER_KEEP_ALIVE: "!H",
    Property.RECEIVE_MAXIMUM: "!H",
    Property.TOPIC_ALIAS_MAXIMUM: "!H",
    Property.MAXIMUM_QOS: "!B",
    Property.RETAIN_AVAILABLE: "!B",
    Property.MAXIMUM_PACKET_SIZE: "!I",
}
Properties = dict[Property, int | str]


@dataclass(frozen=True)
class Publish:
    topic: str
    payload: bytes
    mid: int
    qos: int
    retain: bool
    dup: bool


@dataclass
class Reader:
    """Cuts packets out of what arrives."""

    data: bytearray = field(default_factory=bytearray)

    def take(self) -> tuple[int, bytes] | None:
        """First byte and body of the next whole packet."""
        length, at = 0, 1
        for byte in self.data[1:5]:
            length |= (byte & 0x7F) << 7 * (at - 1)
            at += 1
            if not byte & 0x80:
                break
        else:
            return None
        if len(self.data) < at + length:
            return None
        first, body = self.data[0], bytes(self.data[at : at + length])
        del self.data[: at + length]
        return first, body


def packet(kind: Kind, body: bytes = b"", flags: int = 0) -> bytes:
    length, encoded = len(body), bytearray()
    while True:
        length, byte = length >> 7, length & 0x7F
        encoded.append(byte | (0x80 if length else 0))
        if not length:
            return bytes([kind << 4 | flags]) + bytes(encoded) + body


def text(value: str) -> bytes:
    return struct.pack("!H", len(value.encode())) + value.encode()


def properties(given: Properties) -> bytes:
    body = b""
    for key, value in given.items():
        body += bytes([key]) + (text(value) if isinstance(value, str) else struct.pack(_FORMATS[key], value))
    assert len(body) < 128
    return bytes([len(body)]) + body


def connack(version: int, code: int, given: Properties | None = None) -> bytes:
    return packet(Kind.CONNACK, bytes([0, code]) + (properties(given or {}) if version == 5 else b""))


def suback(version: int, mid: int, codes: list[int]) -> bytes:
    return packet(Kind.SUBACK, struct.pack("!H", mid) + (b"\0" if version == 5 else b"") + bytes(codes))


def puback(mid: int, code: int = 0) -> bytes:
    return packet(Kind.PUBACK, struct.pack("!H", mid) + (bytes([code]) if code else b""))


def disconnect(code: int, given: Properties | None = None) -> bytes:
    return packet(Kind.DISCONNECT, bytes([code]) + properties(given or {}))


def publish(version: int, message: Publish) -> bytes:
    body = text(message.topic)
    if message.qos:
        body += struct.pack("!H", message.mid)
    if version == 5:
        body += b"\0"
    flags = message.dup << 3 | message.qos << 1 | message.retain
    return packet(Kind.PUBLISH, body + message.payload, flags)


def read_connect(body: bytes) -> tuple[int, str]:
    """Version and client id."""
    version, at = body[6], 10
    if version == 5:
        at += 1 + body[at]
    length = struct.unpack_from("!H", body, at)[0]
    return version, body[at + 2 : at + 2 + length].decode()


def read_subscribe(version: int, body: bytes) -> tuple[int, dict[str, int]]:
    """Packet id, and the QoS wanted for each filter."""
    at, filters = 2, {}
    if version == 5:
        at += 1 + body[at]
    while at < len(body):
        length = struct.unpack_from("!H", body, at)[0]
        filters[body[at + 2 : at + 2 + length].decode()] = body[at + 2 + length] & 3
        at += 3 + length
    return struct.unpack_from("!H", body)[0], filters


def read_publish(version: int, first: int, body: bytes) -> Publish:
    length = struct.unpack_from("!H", body)[0]
    topic, at = body[2 : 2 + length].decode(), 2 + length
    qos, mid = first >> 1 & 3, 0
    if qos:
        mid, at = struct.unpack_from("!H", body, at)[0], at + 2
    if version == 5:
        at += 1 + body[at]
    return Publish(topic, body[at:], mid, qos, bool(first & 1), bool(first & 8))
