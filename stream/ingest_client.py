"""paho's client with a read path for many small messages: by the buffer, not by the byte."""

import time
from collections.abc import Callable
from typing import Final, NamedTuple

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MessageType, MQTTErrorCode, MQTTProtocolVersion

from stream.facts import Message

READ_BYTES: Final = 256 * 1024
REST_S: Final = 0.002
"""Pause after a buffer that was not full, so that the next one carries many messages instead of a few."""
REFILLS_MAX: Final = 4
"""Buffers that are read from the socket before it is written to again."""
PARCEL_MESSAGES_MAX: Final = 1_000
TOPICS_CACHED_MAX: Final = 200_000
TOPIC_CACHED_MAX_BYTES: Final = 200
"""Ours are shorter; what anybody makes up may have 64 KiB."""
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


class IngestClient(Client):
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
                if len(self._buffer) < READ_BYTES:
                    time.sleep(REST_S)
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
