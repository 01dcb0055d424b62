"""A persistent MQTT session that is acknowledged by hand, many messages at a time.

MQTT 3.1.1: paho reads it 1.7 times as fast as 5, NATS speaks nothing newer, and what 5 adds for a subscriber (flow
control by Receive Maximum) is had by not reading the socket while the queue is full.
"""

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

import numpy as np
import structlog
from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags
from paho.mqtt.enums import CallbackAPIVersion, MessageType, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from stream import metrics
from stream.facts import Message
from stream.settings import MQTT_KEEPALIVE_S, MQTT_RECONNECT_S, QUEUE_MESSAGES_MAX, Broker

log = structlog.get_logger()

READ_BYTES: Final = 256 * 1024
ROOM_CHECK_S: Final = 0.1
CLOSE_S: Final = 3.0
REFILLS_MAX: Final = 4
"""Buffers that are read from the socket before it is written to again."""
PARCEL_MESSAGES_MAX: Final = 1_000
TOPICS_CACHED_MAX: Final = 200_000
TOPIC_CACHED_MAX_BYTES: Final = 200
"""Ours are shorter; what anybody makes up may have 64 KiB."""
_PUBACK: Final = np.dtype([("head", ">u2"), ("mid", ">u2")])
_PUBACK_HEAD: Final = 0x4002
_PUBLISH: Final = int(MessageType.PUBLISH)
_QOS: Final = 0x06
"""Bits of a PUBLISH's first byte."""
_NEW: Final = tuple.__new__
_PUBLISH_MIN_BYTES: Final = 6
"""Head, length, an empty topic, a packet id."""


class Parcel(NamedTuple):
    """Messages that came together, in order of receipt; ``mids`` mean nothing on another connection."""

    messages: list[Message]
    mids: list[int]
    client: Client


class MqttSession:
    """One session with a fixed client id; the broker keeps it, and what we have not acknowledged, while we are away.

    ``start`` connects in the background and goes on connecting, with back-off, until ``close``.
    """

    def __init__(self, broker: Broker, name: str, client_id: str, filters: Iterable[str]) -> None:
        self._broker = broker
        self._name = name
        self._client_id = client_id
        self._filters = [(topic, 1) for topic in filters]
        self._queue: deque[Parcel] = deque()
        self._waiting = 0
        self._counting = threading.Lock()
        self._room = threading.Event()
        self._closing = threading.Event()
        self._lost = threading.Event()
        self._client: Client | None = None
        self._thread = threading.Thread(target=self._stay_connected, name=f"mqtt-{name}", daemon=True)

    @property
    def waiting(self) -> int:
        """Messages that wait to be taken."""
        return self._waiting

    def start(self) -> None:
        """Connect in the background."""
        metrics.HEALTH.report(self._name, ready=False)
        self._thread.start()

    def take(self, most: int) -> list[Parcel]:
        """Waiting parcels of at most ``most`` messages in all, in order of receipt. Never blocks."""
        taken: list[Parcel] = []
        with self._counting:
            while self._queue and len(self._queue[0].mids) <= most:
                parcel = self._queue.popleft()
                taken.append(parcel)
                most -= len(parcel.mids)
                self._waiting -= len(parcel.mids)
        if taken:
            self._room.set()
        return taken

    def acknowledge(self, parcels: Iterable[Parcel]) -> None:
        """Send PUBACK in order of receipt; what came by an earlier connection is left out, it comes again."""
        client = self._client
        if client is None:
            return
        mids = [mid for parcel in parcels if parcel.client is client for mid in parcel.mids]
        if not mids:
            return
        packets = np.empty(len(mids), _PUBACK)
        packets["head"] = _PUBACK_HEAD
        packets["mid"] = mids
        # One write for all: paho's ack() wakes its thread for each message, which costs more than reading it.
        client._packet_queue(MessageType.PUBACK, packets.tobytes(), 0, 0)  # noqa: SLF001 - no public call takes many

    def close(self) -> None:
        """Send what is queued (PUBACKs too) and disconnect; the broker keeps the session."""
        self._closing.set()
        self._room.set()
        if self._client is not None:
            self._client.disconnect()
        self._lost.set()
        self._thread.join(CLOSE_S)

    # ------------------------------------------------------------- the connection's thread

    def _stay_connected(self) -> None:
        shortest_s, longest_s = MQTT_RECONNECT_S
        pause_s = float(shortest_s)
        while not self._closing.is_set():
            self._lost.clear()
            client = self._new_client()
            try:
                client.connect(self._broker.host, self._broker.port, MQTT_KEEPALIVE_S)
            except (OSError, ValueError) as error:
                log.warning("mqtt_unreachable", partition=self._name, error=str(error))
            else:
                client.loop_start()
                self._lost.wait()
                client.loop_stop()
                if client.heard:
                    pause_s = float(shortest_s)
            self._forget(client)
            self._closing.wait(random.uniform(0, pause_s))  # noqa: S311 - jitter, not a secret
            pause_s = min(pause_s * 2, longest_s)

    def _new_client(self) -> "_IngestClient":
        """A fresh client a connection: a PUBACK meant for one can never be sent by the next."""
        client = _IngestClient(self._client_id, self._on_parcel)
        if self._broker.user:
            client.username_pw_set(self._broker.user, self._broker.password)
        if self._broker.tls:
            client.tls_set()
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_disconnect = self._on_disconnect
        return client

    def _on_connect(
        self, client: Client, _data: object, flags: ConnectFlags, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        assert isinstance(client, _IngestClient)
        if reason.is_failure:
            log.error("mqtt_refused", partition=self._name, reason=str(reason))
            self._lost.set()
            return
        client.heard = True
        self._client = client
        # Subscribing again is harmless, and brings the retained presences.
        client.subscribe(self._filters)
        log.info("mqtt_connected", partition=self._name, session_present=flags.session_present)

    def _on_subscribe(
        self, _client: Client, _data: object, _mid: int, reasons: list[ReasonCode], _properties: Properties | None
    ) -> None:
        if any(reason.is_failure for reason in reasons):
            log.error("mqtt_subscription_refused", partition=self._name, reasons=[str(reason) for reason in reasons])
            self._lost.set()
            return
        metrics.HEALTH.report(self._name, ready=True)

    def _on_disconnect(
        self,
        _client: Client,
        _data: object,
        _flags: DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if not self._closing.is_set():
            log.warning("mqtt_lost", partition=self._name, reason=str(reason))
        self._lost.set()

    def _forget(self, client: Client) -> None:
        """Drop what came by a connection that is gone and was not taken yet: the broker sends it again."""
        metrics.HEALTH.report(self._name, ready=False)
        if self._client is client:
            self._client = None
        with self._counting:
            self._queue.clear()
            self._waiting = 0

    def _on_parcel(self, parcel: Parcel) -> None:
        """Queue messages; wait while the queue is full, so that TCP holds the broker back."""
        while self._waiting >= QUEUE_MESSAGES_MAX and not self._closing.is_set():
            self._room.clear()
            self._room.wait(ROOM_CHECK_S)
        with self._counting:
            self._queue.append(parcel)
            self._waiting += len(parcel.mids)


class _IngestClient(Client):
    """paho with a read path for many small messages: it reads the socket by the buffer, not by the byte.

    Overrides three internals of paho 2 and leaves its protocol alone; the integration tests run it against real
    brokers, so that a change in paho shows.
    """

    def __init__(self, client_id: str, receive: Callable[[Parcel], None]) -> None:
        super().__init__(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            clean_session=False,
            protocol=MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        self.heard = False
        self._receive = receive
        self._buffer = b""
        self._at = 0
        self._refills = 0
        self._topics: dict[bytes, str] = {}

    def loop_read(self, max_packets: int = 1) -> MQTTErrorCode:
        """Handle every packet of what one ``select`` announced."""
        del max_packets
        self._refills = REFILLS_MAX
        while self._sock is not None:
            if self._in_packet["command"] == 0:
                self._receive_whole()
            rc = self._packet_read()
            if rc == MQTTErrorCode.MQTT_ERR_AGAIN:
                return MQTTErrorCode.MQTT_ERR_SUCCESS
            if rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
                return self._loop_rc_handle(rc)
        return MQTTErrorCode.MQTT_ERR_NO_CONN

    def _receive_whole(self) -> None:
        """Hand on the messages that lie whole in the buffer; whatever else is next there goes paho's way."""
        while True:
            found, self._at = whole_publishes(self._buffer, self._at, PARCEL_MESSAGES_MAX)
            if not found:
                return
            received_ms, topic_of = time.time_ns() // 1_000_000, self._topic
            # A named tuple's own constructor is written in Python, and takes three times as long.
            messages = [_NEW(Message, (topic_of(topic), payload, received_ms)) for topic, _, payload in found]
            self._receive(Parcel(messages, [mid for _, mid, _ in found], self))
            with self._msgtime_mutex:
                self._last_bytes_received = time.monotonic()

    def _sock_recv(self, bufsize: int) -> bytes:
        at, buffer = self._at, self._buffer
        if at == len(buffer):
            if self._refills == 0:
                # Let the loop write and keep alive before it reads on.
                raise BlockingIOError
            self._refills -= 1
            buffer, at = super()._sock_recv(READ_BYTES), 0
            self._buffer = buffer
        self._at = min(at + bufsize, len(buffer))
        return buffer[at : self._at]

    def _handle_publish(self) -> MQTTErrorCode:
        packet = self._in_packet["packet"]
        topic_end = 2 + (packet[0] << 8 | packet[1])
        if self._in_packet["command"] & _QOS:
            mid = packet[topic_end] << 8 | packet[topic_end + 1]
            topic, payload = self._topic(bytes(packet[2:topic_end])), bytes(packet[topic_end + 2 :])
            self._receive(Parcel([Message(topic, payload, time.time_ns() // 1_000_000)], [mid], self))
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _topic(self, name: bytes) -> str:
        topic = self._topics.get(name)
        if topic is None:
            if len(name) > TOPIC_CACHED_MAX_BYTES:
                return name.decode(errors="replace")
            if len(self._topics) >= TOPICS_CACHED_MAX:
                self._topics.clear()
            # The decoder refuses what is not a topic of ours, so nothing is lost by replacing what is not UTF-8.
            topic = self._topics[name] = name.decode(errors="replace")
        return topic


def whole_publishes(buffer: bytes, at: int, most: int) -> tuple[list[tuple[bytes, int, bytes]], int]:
    """Topic, packet id and payload of each PUBLISH that lies whole at ``at`` (MQTT 3.1.1, section 3.3), and their end.

    At most ``most``. Stops before a packet that is another one, has no packet id (QoS 0), is not all there, or makes no
    sense.
    """
    found: list[tuple[bytes, int, bytes]] = []
    available = len(buffer)
    while available - at >= _PUBLISH_MIN_BYTES and len(found) < most:
        head = buffer[at]
        if head & 0xF0 != _PUBLISH or not head & _QOS:
            break
        length, start = buffer[at + 1], at + 2
        if length & 0x80:
            length, start = _length(buffer, at + 1)
        end = start + length
        if end > available or length < _PUBLISH_MIN_BYTES - 2:
            break
        mid_at = start + 2 + (buffer[start] << 8 | buffer[start + 1])
        if mid_at + 2 > end:
            break
        found.append((buffer[start + 2 : mid_at], buffer[mid_at] << 8 | buffer[mid_at + 1], buffer[mid_at + 2 : end]))
        at = end
    return found, at


def _length(buffer: bytes, at: int) -> tuple[int, int]:
    """Remaining length of a packet and where it begins; of a length that is cut or too long, one that never fits."""
    length = 0
    for place, byte in enumerate(buffer[at : at + 4]):
        length |= (byte & 0x7F) << 7 * place
        if not byte & 0x80:
            return length, at + place + 1
    return len(buffer), at
