"""Few MQTT connections for many gateways: the gateway's own client in an outer loop, one thread, a window of its own.

A fresh client for each connection, and nothing is published while disconnected: paho would send its whole queue past
any window when it connects.
"""

import select
import time
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Final, NamedTuple, Protocol
from urllib.parse import unquote, urlsplit

import structlog
from paho.mqtt import client as mqtt
from paho.mqtt.reasoncodes import ReasonCode

from contracts.acks import AWAITING_PUBACK_MAX
from contracts.errors import UserError
from contracts.presence import KEEPALIVE_S
from edge_agent.uplink.buffered_client import BufferedClient
from edge_agent.uplink.buffered_socket import BufferedSocket

RECONNECT_S: Final = (0.5, 15.0)
"""First and longest pause before connecting again; full jitter. Shorter than a gateway's: somebody waits for a test."""
CONNECT_TIMEOUT_S: Final = 5.0
CONNACK_TIMEOUT_S: Final = 10.0
SUBSCRIBE_MAX: Final = 200
"""Filters in one SUBSCRIBE."""
WAIT_S: Final = 0.02
"""Longest wait for the sockets, so that stalls and rates are looked at in time."""
MISC_EVERY_S: Final = 1.0

REFUSALS: Final = ("Bad user name or password", "Not authorized")
"""Answers to CONNECT that no retry will change."""

log = structlog.get_logger()


class Broker(NamedTuple):
    """Where the broker is and who we are there."""

    host: str
    port: int
    user: str
    password: str


class Message(NamedTuple):
    """Something to publish at QoS 1."""

    topic: str
    payload: bytes
    retain: bool = False


class Source(Protocol):
    """What a link publishes, and who hears what it receives."""

    def connected(self, now_s: float) -> None:
        """The link is up and subscribed: whatever was published before may be lost."""

    def next_message(self, now_s: float) -> Message | None:
        """The next thing to publish, None when there is nothing now."""

    def received(self, topic: str, payload: bytes, now_s: float) -> None:
        """A message on one of the subscribed topics."""

    def published(self) -> None:
        """The broker has confirmed one message."""


def parse_broker(url: str) -> Broker:
    """Read ``mqtt://user:password@host:port``. Raises UserError."""
    parts = urlsplit(url)
    try:
        port = parts.port or 1883
    except ValueError as error:
        msg = f"MQTT_URL: {error}"
        raise UserError(msg) from error
    if parts.scheme != "mqtt" or not parts.hostname:
        msg = "MQTT_URL must look like mqtt://user:password@host:port"
        raise UserError(msg)
    return Broker(parts.hostname, port, unquote(parts.username or ""), unquote(parts.password or ""))


class Link:
    """One connection that is made again for ever; ``turn`` does all the work and never blocks for long.

    At most ``window`` messages await their PUBACK. ``filters`` are subscribed before ``source.connected`` is called.
    """

    def __init__(
        self,
        broker: Broker,
        client_id: str,
        filters: Sequence[str],
        source: Source,
        rng: Random,
        *,
        window: int = AWAITING_PUBACK_MAX,
    ) -> None:
        assert 1 <= window <= AWAITING_PUBACK_MAX
        self._broker = broker
        self._client_id = client_id
        self._filters = filters
        self._source = source
        self._rng = rng
        self._window = window
        self._client: BufferedClient | None = None
        self._ready = False
        self._awaiting = 0
        self._suback_mids: set[int] = set()
        self._attempts = 0
        self._next_try_s = 0.0
        self._give_up_s = 0.0
        self._misc_s = 0.0
        self.connections = 0
        self.refusal = ""

    @property
    def idle(self) -> bool:
        """Whether the broker has confirmed everything that was published on this connection."""
        return self._ready and self._awaiting == 0

    def fileno(self) -> int:
        """Descriptor of the socket, -1 without one."""
        sock = self._buffer()
        return sock.fileno() if sock is not None else -1

    def wants_write(self) -> bool:
        """Whether bytes wait for the socket."""
        sock = self._buffer()
        return sock is not None and sock.unsent > 0

    def turn(self, now_s: float, *, readable: bool, writable: bool) -> None:  # noqa: ARG002 - a write just tries
        """Connect when it is time, read and write what is possible, and publish within the window."""
        client = self._client
        if client is None:
            if now_s >= self._next_try_s:
                self._connect(now_s)
            return
        # Each call may find that the connection is lost, and drop the client.
        if readable:
            self._read(client)
        if now_s >= self._misc_s and client is self._client:
            self._misc_s = now_s + MISC_EVERY_S
            client.loop_misc()
        if not self._ready and now_s >= self._give_up_s and client is self._client:
            self._lost("no answer to CONNECT or SUBSCRIBE")
        if self._ready:
            self._publish(now_s)
        self._flush()

    def close(self) -> None:
        """Leave, without a will."""
        client, self._client = self._client, None
        if client is not None:
            client.on_disconnect = None
            client.disconnect()
            if (sock := client.buffer()) is not None:
                sock.close()

    def _buffer(self) -> BufferedSocket | None:
        return self._client.buffer() if self._client is not None else None

    def _read(self, client: BufferedClient) -> None:
        """Every packet that came: no ``select`` would tell of those that lie in the buffer."""
        client.loop_read()
        while client is self._client and (sock := client.buffer()) is not None and sock.pending():
            client.loop_read()

    def _flush(self) -> None:
        if self._client is not None and self._client.want_write():
            self._client.loop_write()  # what was said within a callback, which paho keeps until then
        sock = self._buffer()
        try:
            if sock is not None:
                sock.flush()
        except OSError as error:
            self._lost(str(error))

    def _publish(self, now_s: float) -> None:
        client = self._client
        while client is not None and client is self._client and self._awaiting < self._window:
            message = self._source.next_message(now_s)
            if message is None:
                return
            self._awaiting += 1
            try:
                client.send_publish(message.topic.encode(), message.payload, retain=message.retain)
            except ConnectionError as error:
                self._lost(f"publish: {error}")

    def _connect(self, now_s: float) -> None:
        client = BufferedClient(self._client_id, self._on_puback, version5=False, clean=True)
        client.connect_timeout = CONNECT_TIMEOUT_S
        if self._broker.user:
            client.username_pw_set(self._broker.user, self._broker.password)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        self._client = client
        self._awaiting = 0
        self._give_up_s = now_s + CONNACK_TIMEOUT_S
        try:
            client.connect(self._broker.host, self._broker.port, keepalive=KEEPALIVE_S)
        except OSError as error:
            self._lost(str(error))

    def _lost(self, why: str) -> None:
        client, self._client = self._client, None
        if client is None:
            return
        client.on_disconnect = None
        client.disconnect()
        if (sock := client.socket()) is not None:
            sock.close()
        if self._ready:
            self._attempts = 0
            log.info("connection_lost", client=self._client_id, why=why)
        self._ready = False
        longest_s = min(RECONNECT_S[1], RECONNECT_S[0] * 2**self._attempts)
        self._attempts = min(self._attempts + 1, 16)
        self._next_try_s = time.monotonic() + self._rng.uniform(0, longest_s)

    def _on_connect(self, client: mqtt.Client, _data: Any, _flags: Any, reason: ReasonCode, _props: Any) -> None:
        if client is not self._client:
            return
        if reason.is_failure:
            if reason in REFUSALS:
                self.refusal = str(reason)
            self._lost(str(reason))
            return
        self._suback_mids = set()
        for start in range(0, len(self._filters), SUBSCRIBE_MAX):
            # QoS 0: acks are cumulative and published again; NATS keeps a consumer for each filter of QoS 1.
            _, mid = client.subscribe([(name, 0) for name in self._filters[start : start + SUBSCRIBE_MAX]])
            if mid is not None:
                self._suback_mids.add(mid)
        if not self._filters:
            self._open()

    def _on_subscribe(self, client: mqtt.Client, _data: Any, mid: int, _reasons: Any, _props: Any) -> None:
        if client is not self._client:
            return
        self._suback_mids.discard(mid)
        if not self._suback_mids:
            self._open()

    def _open(self) -> None:
        self._ready = True
        self._attempts = 0
        self.connections += 1
        self._source.connected(time.monotonic())

    def _on_puback(self, _mid: int, _code: int) -> None:
        self._awaiting -= 1
        self._source.published()

    def _on_message(self, client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        if client is self._client:
            self._source.received(message.topic, bytes(message.payload), time.monotonic())

    def _on_disconnect(self, client: mqtt.Client, _data: Any, _flags: Any, reason: ReasonCode, _props: Any) -> None:
        if client is self._client:
            self._lost(str(reason))


class Driven(Protocol):
    """A connection that ``drive`` turns."""

    @property
    def refusal(self) -> str:
        """Why the broker will never have us, or ''."""

    def fileno(self) -> int:
        """Descriptor of the socket, -1 without one."""

    def wants_write(self) -> bool:
        """Whether bytes wait for the socket."""

    def turn(self, now_s: float, *, readable: bool, writable: bool) -> None:
        """Do what is to be done now, without waiting."""


def drive(links: Sequence[Driven], going: Callable[[float], bool], *, rest_s: float = 0.0) -> None:
    """Turn the links while ``going(monotonic seconds)`` says so. Raises UserError when the broker refuses us.

    ``rest_s``: a pause between two rounds, so that a round finds more to do.
    """
    while going(time.monotonic()):
        by_fd = {fd: link for link in links if (fd := link.fileno()) >= 0}
        wanting = [fd for fd, link in by_fd.items() if link.wants_write()]
        readable, writable, _ = select.select(list(by_fd), wanting, [], WAIT_S)
        now_s = time.monotonic()
        for link in links:
            fd = link.fileno()
            link.turn(now_s, readable=fd in readable, writable=fd in writable)
            if link.refusal:
                msg = f"the broker refuses the connection: {link.refusal}"
                raise UserError(msg, "check the user and password in MQTT_URL")
        if rest_s:
            time.sleep(rest_s)
