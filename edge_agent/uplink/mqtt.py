"""MQTT by paho: one ``Connection`` object for one connection, never reused, driven by the thread that owns it.

paho sends what it has queued past any window when it reconnects by itself, so a lost connection is thrown away with
its client. It has no thread of its own here: ``wait`` reads, writes, keeps alive, and tells what happened.
"""

import contextlib
import selectors
import socket
import ssl
import time
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import paho.mqtt.client as paho
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from contracts.commands import DOWN_MAX_BYTES
from contracts.presence import KEEPALIVE_S, WILL_DELAY_S
from edge_agent.settings import Broker
from edge_agent.uplink.buffered_client import BufferedClient
from edge_agent.uplink.buffered_socket import BufferedSocket
from edge_agent.uplink.counts import Alarm
from edge_agent.uplink.reasons import Reaction
from edge_agent.uplink.tls import client_context, describe, is_refusal

CONNECT_TIMEOUT_S: Final = 10.0
SESSION_EXPIRY_S: Final = 86_400
"""Commands wait so long at the broker for a gateway that is away (they carry their own expiry too)."""
DOWN_RECEIVE_MAX: Final = 16
"""Commands that the broker may send us before we have stored and acknowledged the first (MQTT 5)."""
DOWN_PACKET_MAX_BYTES: Final = DOWN_MAX_BYTES + 1_024
"""What the platform may say to us, with its topic (MQTT 5): the broker drops what is larger."""
RECEIVE_MAXIMUM_DEFAULT: Final = 65_535
QOS_MAX_DEFAULT: Final = 2
MISC_EVERY_S: Final = 1.0
PACKETS_MAX: Final = 256
"""Packets that are read before it is time to write again."""
_PUBLISH_OVERHEAD_BYTES: Final = 10
"""First byte, length (4), length of the topic (2), packet id (2), no properties (1)."""


class Limits(NamedTuple):
    """What the broker announced (MQTT 5; else the widest)."""

    receive_max: int = RECEIVE_MAXIMUM_DEFAULT
    packet_max_bytes: int | None = None
    qos_max: int = QOS_MAX_DEFAULT
    retains: bool = True


class Connected(NamedTuple):
    """The broker answered: ``code`` 0 is yes. ``reference`` names another broker, when it sends us there."""

    code: int
    reason: str
    limits: Limits
    reference: str = ""


class Subscribed(NamedTuple):
    """The broker's answers to a subscription, one a topic: the QoS granted, or a failure of 0x80 or above."""

    codes: tuple[int, ...]


class Disconnected(NamedTuple):
    """The connection is over. ``code`` is the broker's reason, None when it gave none; ``is_tls``: TLS broke it."""

    reason: str
    code: int | None = None
    reference: str = ""
    is_tls: bool = False


class Puback(NamedTuple):
    """The broker has a message, or says why it will not have it."""

    mid: int
    code: int


class Message(NamedTuple):
    """Something on a topic that we subscribed. ``is_live``: said now, not kept for us or sent again.

    ``acknowledge`` it by ``mid`` when it was of QoS 1 (``mid`` above 0).
    """

    topic: str
    payload: bytes
    is_live: bool
    mid: int


Happening = Connected | Subscribed | Disconnected | Puback | Message


class Will(NamedTuple):
    """What the broker publishes, retained, when we are gone without a word."""

    topic: str
    payload: bytes


class NotConnectedError(Exception):
    """The broker cannot be reached, or the connection is lost; ``reaction`` says how soon to try again.

    ``alarm`` is raised when that is slowly.
    """

    def __init__(self, reason: str, reaction: Reaction = Reaction.RETRY, alarm: Alarm = Alarm.UNTRUSTED) -> None:
        super().__init__(reason)
        self.reaction = reaction
        self.alarm = alarm


class Waker:
    """Ends a ``wait`` from another thread. One for all connections of a sender."""

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.settimeout(0)
        self._writer.settimeout(0)
        self._is_set = False

    def fileno(self) -> int:
        """Descriptor, readable once woken."""
        return self._reader.fileno()

    def wake(self) -> None:
        """End the wait that goes on, or the next one; from any thread, and after ``close`` too."""
        if not self._is_set:
            self._is_set = True
            with contextlib.suppress(OSError):
                self._writer.send(b"\0")

    def clear(self) -> None:
        """Take the call; before looking at what it was about."""
        with contextlib.suppress(BlockingIOError):
            self._reader.recv(64)
        # Last: who wakes before this line is answered by the look that follows, who wakes after it writes again.
        self._is_set = False

    def close(self) -> None:
        """Give the descriptors back."""
        self._reader.close()
        self._writer.close()


class Connection:
    """One connection to a broker, by MQTT 5 or 3.1.1. ``open`` it, then ``wait`` for ``Connected``.

    Messages are acknowledged by hand. All methods are for one thread; ``waker`` ends a ``wait`` from others.
    """

    def __init__(self, broker: Broker, client_id: str, will: Will, waker: Waker, *, version5: bool) -> None:
        self._broker = broker
        self._waker = waker
        self._version5 = version5
        self._happened: list[Happening] = []
        self._selector = selectors.DefaultSelector()
        self._selector.register(waker, selectors.EVENT_READ)
        self._socket: BufferedSocket | None = None
        self._misc_s = 0.0
        self._packet_max_bytes: int | None = None
        self._client = BufferedClient(client_id, self._on_puback, version5=version5)
        self._client.connect_timeout = CONNECT_TIMEOUT_S
        if broker.username is not None:
            self._client.username_pw_set(broker.username, broker.password)
        self._client.will_set(will.topic, will.payload, qos=1, retain=True, properties=self._will_properties())
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_disconnect = self._on_disconnect
        self._client.on_message = self._on_message

    def open(self) -> None:
        """Connect, which may take ``CONNECT_TIMEOUT_S``; the broker's answer comes as ``Connected``.

        Raises NotConnectedError.
        """
        try:
            if self._broker.tls:
                self._client.tls_set_context(client_context(self._broker))
            self._client.connect(
                self._broker.host,
                self._broker.port,
                KEEPALIVE_S,
                clean_start=False if self._version5 else paho.MQTT_CLEAN_START_FIRST_ONLY,
                properties=self._connect_properties(),
            )
        except (OSError, ValueError) as error:
            text = describe(error) if isinstance(error, OSError) else str(error)
            reaction = Reaction.RETRY_SLOWLY if isinstance(error, ssl.SSLError) else Reaction.RETRY
            raise NotConnectedError(text, reaction) from error
        opened = self._client.buffer()
        assert opened is not None
        self._socket = opened
        self._selector.register(opened, selectors.EVENT_READ)

    def subscribe(self, topics: Sequence[tuple[str, int]]) -> None:
        """Subscribe at the QoS given with each topic; ``Subscribed`` answers. Raises NotConnectedError."""
        code, _ = self._client.subscribe(list(topics))
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise NotConnectedError(str(code))

    def fits(self, topic: str, payload: bytes) -> bool:
        """Whether the broker takes a packet of this size."""
        size = len(topic) + len(payload) + _PUBLISH_OVERHEAD_BYTES
        return self._packet_max_bytes is None or size <= self._packet_max_bytes

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> int:
        """Publish at QoS 1 with the next ``wait``; the message id, which its ``Puback`` names.

        Raises NotConnectedError.
        """
        try:
            return self._client.send_publish(topic.encode(), payload, retain=retain)
        except ConnectionError as error:
            raise NotConnectedError(str(error)) from error

    def acknowledge(self, mid: int) -> None:
        """Send the PUBACK of a ``Message`` with the next ``wait``."""
        self._client.ack(mid, 1)

    def wait(self, timeout_s: float) -> list[Happening]:
        """Write what was said, and wait until something happens, the waker is used or the time is over."""
        sock = self._socket
        if sock is not None and not self._happened:
            self._flush(sock)
        if sock is not None and not self._happened:
            wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if sock.unsent else 0)
            if self._selector.get_key(sock).events != wanted:
                self._selector.modify(sock, wanted)
            is_readable = sock.pending() > 0
            for key, ready in self._selector.select(0 if is_readable else timeout_s):
                if key.fileobj is self._waker:
                    self._waker.clear()
                elif ready & selectors.EVENT_READ:
                    is_readable = True
            packets = PACKETS_MAX if is_readable else 0
            while packets and self._client.socket() is sock:
                self._client.loop_read()
                packets = packets - 1 if sock.pending() else 0
            now_s = time.monotonic()
            if now_s >= self._misc_s:
                self._misc_s = now_s + MISC_EVERY_S
                self._client.loop_misc()
        happened, self._happened = self._happened, []
        return happened

    def put_back(self, happened: Sequence[Happening]) -> None:
        """Give them out again with the next ``wait``: who was waiting for something else did not look at them."""
        self._happened[:0] = happened

    def close(self) -> None:
        """Say good-bye, which takes the will back, as far as the network takes it at once."""
        self._client.on_disconnect = None
        self._client.disconnect()
        if self._socket is not None:
            self._selector.unregister(self._socket)
            self._socket.close()
            self._socket = None
        self._selector.close()

    def _flush(self, sock: BufferedSocket) -> None:
        try:
            sock.flush()
        except OSError as error:
            self._happened.append(Disconnected(describe(error), is_tls=is_refusal(error)))

    def _connect_properties(self) -> Properties | None:
        if not self._version5:
            return None
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho left it untyped
        properties.SessionExpiryInterval = SESSION_EXPIRY_S
        properties.ReceiveMaximum = DOWN_RECEIVE_MAX
        properties.MaximumPacketSize = DOWN_PACKET_MAX_BYTES
        return properties

    def _will_properties(self) -> Properties | None:
        if not self._version5:
            return None
        properties = Properties(PacketTypes.WILLMESSAGE)  # type: ignore[no-untyped-call]  # paho left it untyped
        properties.WillDelayInterval = WILL_DELAY_S
        return properties

    # Called by paho within ``wait``.

    def _on_connect(self, _c: paho.Client, _u: Any, _f: Any, reason: ReasonCode, properties: Any) -> None:
        limits = Limits(
            receive_max=getattr(properties, "ReceiveMaximum", RECEIVE_MAXIMUM_DEFAULT),
            packet_max_bytes=getattr(properties, "MaximumPacketSize", None),
            qos_max=getattr(properties, "MaximumQoS", QOS_MAX_DEFAULT),
            retains=bool(getattr(properties, "RetainAvailable", 1)),
        )
        self._packet_max_bytes = limits.packet_max_bytes
        self._happened.append(
            Connected(reason.value, str(reason), limits, str(getattr(properties, "ServerReference", "")))
        )

    def _on_subscribe(self, _c: paho.Client, _u: Any, _mid: int, reasons: list[ReasonCode], _p: Any) -> None:
        self._happened.append(Subscribed(tuple(reason.value for reason in reasons)))

    def _on_disconnect(self, _c: paho.Client, _u: Any, flags: Any, reason: ReasonCode, properties: Any) -> None:
        error = None if self._socket is None else self._socket.error
        if flags.is_disconnect_packet_from_server:
            reference = str(getattr(properties, "ServerReference", ""))
            gone = Disconnected(str(reason), reason.value, reference)
        elif error is not None:
            gone = Disconnected(describe(error), is_tls=is_refusal(error))
        else:
            gone = Disconnected(str(reason))
        self._happened.append(gone)

    def _on_puback(self, mid: int, code: int) -> None:
        self._happened.append(Puback(mid, code))

    def _on_message(self, _c: paho.Client, _u: Any, message: paho.MQTTMessage) -> None:
        is_live = not (message.retain or message.dup)
        mid = message.mid if message.qos else 0
        self._happened.append(Message(message.topic, bytes(message.payload), is_live, mid))
