"""A bare MQTT 3.1.1 client that only publishes at QoS 1, many packets a write.

paho takes 60 µs and more for a message, which is more than a broker does with it. This one does what the specification
asks of a publisher (CONNECT, PUBLISH with packet ids, PUBACK, PINGREQ, a bounded window) and no more.
"""

import socket
import time
from collections.abc import Sequence
from random import Random
from typing import Final, NamedTuple, Protocol

import structlog

from simulators.links import CONNACK_TIMEOUT_S, CONNECT_TIMEOUT_S, RECONNECT_S, Broker

WINDOW: Final = 1_024
"""Messages that await their PUBACK: a link speaks for hundreds of devices, each of which has one on its way."""
BATCH: Final = 64
"""Less room than this in the window is left to grow, so that a write carries many messages."""
KEEPALIVE_S: Final = 60
PING_AFTER_S: Final = 20.0
READ_BYTES: Final = 64 * 1024
_IDS: Final = [number.to_bytes(2) for number in range(65_536)]
_PINGREQ: Final = b"\xc0\x00"
_DISCONNECT: Final = b"\xe0\x00"
_CONNACK: Final = 0x20
_CONNACK_BYTES: Final = 4
_PUBACK_HEAD: Final = b"\x40\x02"
_PUBACK_BYTES: Final = 4
_PINGRESP: Final = b"\xd0\x00"
_REFUSALS: Final = {4: "Bad user name or password", 5: "Not authorized"}

log = structlog.get_logger()


class Publish(NamedTuple):
    """What stands before the packet id of a PUBLISH (``publish_head``), and behind it."""

    head: bytes
    payload: bytes


class Publisher(Protocol):
    """What a plain link publishes."""

    def connected(self) -> None:
        """The link is up: what was published before and is not confirmed may be lost."""

    def next_batch(self, room: int, now_s: float) -> Sequence[Publish]:
        """What to publish now, at most ``room``."""

    def confirmed(self, count: int, now_s: float) -> None:
        """The broker has confirmed the ``count`` oldest."""


def publish_head(topic: str, payload_bytes: int) -> bytes:
    """Fixed header and topic of a PUBLISH at QoS 1 (MQTT 3.1.1, section 3.3)."""
    name = _text(topic)
    return b"\x32" + _length(len(name) + 2 + payload_bytes) + name


class PlainLink:
    """One connection that is made again for ever; ``turn`` does all the work, and blocks for a connect alone."""

    def __init__(self, broker: Broker, client_id: str, publisher: Publisher, rng: Random) -> None:
        self._broker = broker
        self._client_id = client_id
        self._publisher = publisher
        self._rng = rng
        self._socket: socket.socket | None = None
        self._ready = False
        self._awaiting = 0
        self._id = 0
        self._in = b""
        self._out = b""
        self._attempts = 0
        self._next_try_s = 0.0
        self._give_up_s = 0.0
        self._wrote_s = 0.0
        self.connections = 0
        self.refusal = ""

    def fileno(self) -> int:
        """Descriptor of the socket, -1 without one."""
        return -1 if self._socket is None else self._socket.fileno()

    def wants_write(self) -> bool:
        """Whether bytes wait for the socket."""
        return bool(self._out)

    def turn(self, now_s: float, *, readable: bool, writable: bool) -> None:
        """Connect when it is time, read and write what is possible, and publish within the window."""
        if self._socket is None:
            if now_s >= self._next_try_s:
                self._connect(now_s)
            return
        try:
            if readable:
                self._read(self._socket, now_s)
            if writable and self._out:
                self._write(self._socket, now_s)
            if self._ready:
                self._publish(self._socket, now_s)
            elif now_s >= self._give_up_s:
                self._lost("no answer to CONNECT")
        except OSError as error:
            self._lost(str(error))

    def close(self) -> None:
        """Leave, without a will."""
        if self._socket is not None:
            try:
                self._socket.sendall(_DISCONNECT)
            except OSError as error:
                log.info("connection_lost", client=self._client_id, why=str(error))
            self._socket.close()
            self._socket = None

    def _connect(self, now_s: float) -> None:
        self._in = self._out = b""
        self._awaiting = 0
        self._give_up_s = now_s + CONNACK_TIMEOUT_S
        try:
            self._socket = socket.create_connection((self._broker.host, self._broker.port), CONNECT_TIMEOUT_S)
            self._socket.setblocking(False)  # noqa: FBT003 - the name of the call says what
            self._out = _connect_packet(self._client_id, self._broker)
            self._write(self._socket, now_s)
        except OSError as error:
            self._lost(str(error))

    def _read(self, sock: socket.socket, now_s: float) -> None:
        try:
            data = sock.recv(READ_BYTES)
        except BlockingIOError:
            return
        if not data:
            self._lost("closed by the broker")
            return
        self._in += data
        if not self._ready:
            self._open()
        if self._ready:
            self._take_answers(now_s)

    def _open(self) -> None:
        """Take the answer to CONNECT (section 3.2)."""
        if len(self._in) < _CONNACK_BYTES:
            return
        code = self._in[3]
        if self._in[0] != _CONNACK or code:
            self.refusal = _REFUSALS.get(code, "")
            self._lost(f"CONNECT is refused with {code}")
            return
        self._in = self._in[_CONNACK_BYTES:]
        self._ready = True
        self._attempts = 0
        self.connections += 1
        self._publisher.connected()

    def _take_answers(self, now_s: float) -> None:
        """Count PUBACKs (section 3.4), which come in the order of the publishes."""
        data, at, count = self._in, 0, 0
        while len(data) - at >= _PUBACK_BYTES or data[at:] == _PINGRESP:
            if data.startswith(_PUBACK_HEAD, at):
                count += 1
                at += _PUBACK_BYTES
            elif data.startswith(_PINGRESP, at):
                at += len(_PINGRESP)
            else:
                self._lost(f"unexpected packet {data[at]:#x}")
                return
        self._in = data[at:]
        self._awaiting -= count
        self._publisher.confirmed(count, now_s)

    def _publish(self, sock: socket.socket, now_s: float) -> None:
        room = WINDOW - self._awaiting
        if self._out or room < BATCH:
            return
        batch = self._publisher.next_batch(room, now_s)
        if batch:
            number = self._id
            pieces: list[bytes] = []
            for head, payload in batch:
                number = number % 65_535 + 1
                pieces += (head, _IDS[number], payload)
            self._id = number
            self._awaiting += len(batch)
            self._out = b"".join(pieces)
        elif now_s - self._wrote_s > PING_AFTER_S:
            self._out = _PINGREQ
        if self._out:
            self._write(sock, now_s)

    def _write(self, sock: socket.socket, now_s: float) -> None:
        try:
            sent = sock.send(self._out)
        except BlockingIOError:
            return
        self._out = self._out[sent:]
        self._wrote_s = now_s

    def _lost(self, why: str) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._ready:
            log.info("connection_lost", client=self._client_id, why=why)
        self._ready = False
        self._out = b""
        longest_s = min(RECONNECT_S[1], RECONNECT_S[0] * 2**self._attempts)
        self._attempts = min(self._attempts + 1, 16)
        self._next_try_s = time.monotonic() + self._rng.uniform(0, longest_s)


def _connect_packet(client_id: str, broker: Broker) -> bytes:
    """CONNECT with a clean session (section 3.1)."""
    flags = 0x02 | (0xC0 if broker.user else 0)
    body = _text("MQTT") + bytes([4, flags]) + KEEPALIVE_S.to_bytes(2) + _text(client_id)
    if broker.user:
        body += _text(broker.user) + _text(broker.password)
    return b"\x10" + _length(len(body)) + body


def _text(text: str) -> bytes:
    encoded = text.encode()
    return len(encoded).to_bytes(2) + encoded


def _length(number: int) -> bytes:
    """Remaining length (section 2.2.3)."""
    encoded = bytearray()
    while True:
        number, low = divmod(number, 128)
        encoded.append(low | (0x80 if number else 0))
        if not number:
            return bytes(encoded)
