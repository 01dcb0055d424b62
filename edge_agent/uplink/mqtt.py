"""MQTT by paho: one ``Connection`` object for one connection, never reused.

paho sends what it has queued past any window when it reconnects by itself, so a lost connection is thrown away with
its client. Everything that happens is put into an inbox as an event that names its connection.
"""

import queue
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from contracts.presence import KEEPALIVE_S, WILL_DELAY_S
from edge_agent.settings import Broker

CONNECT_TIMEOUT_S: Final = 10.0
SESSION_EXPIRY_S: Final = 86_400
"""Commands wait so long at the broker for a gateway that is away (they carry their own expiry too)."""
INFLIGHT_MAX: Final = 128
"""Above the sender's own window, so that paho never queues."""
RECEIVE_MAXIMUM_DEFAULT: Final = 65_535
NO_SUBSCRIBERS: Final = 0x10
UNSUPPORTED_VERSION: Final = 0x84
INVALID_CLIENT_ID: Final = 0x85
NOT_AUTHORIZED: Final = 0x87
QUOTA_EXCEEDED: Final = 0x97
REASON_FAILURE: Final = 0x80


class Connected(NamedTuple):
    """The broker answered: ``code`` 0 is yes; ``receive_max`` is how many frames may await their PUBACK."""

    connection: "Connection"
    code: int
    reason: str
    receive_max: int


class Disconnected(NamedTuple):
    """The connection is over."""

    connection: "Connection"
    reason: str


class Puback(NamedTuple):
    """The broker has a message, or says why it will not have it."""

    connection: "Connection"
    mid: int
    code: int


class Message(NamedTuple):
    """Something on a topic that we subscribed; ``retained`` when it was older than the subscription."""

    connection: "Connection"
    topic: str
    payload: bytes
    retained: bool


class Wake(NamedTuple):
    """Look again: frames were written, or it is time to stop."""


Happening = Connected | Disconnected | Puback | Message | Wake
Inbox = queue.SimpleQueue[Happening]


class Will(NamedTuple):
    """What the broker publishes, retained, when we are gone without a word."""

    topic: str
    payload: bytes


class NotConnectedError(Exception):
    """The broker cannot be reached, or the connection is lost."""


class Connection:
    """One connection to a broker, by MQTT 5 or 3.1.1. ``open`` it, then wait for ``Connected``."""

    def __init__(self, broker: Broker, client_id: str, will: Will, inbox: Inbox, *, version5: bool) -> None:
        self._broker = broker
        self._inbox = inbox
        self._version5 = version5
        self._closed = False
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            clean_session=None if version5 else False,
            protocol=MQTTProtocolVersion.MQTTv5 if version5 else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
        )
        self._client.max_inflight_messages_set(INFLIGHT_MAX)
        self._client.connect_timeout = CONNECT_TIMEOUT_S
        if broker.username is not None:
            self._client.username_pw_set(broker.username, broker.password)
        if broker.tls:
            self._client.tls_set(ca_certs=None if broker.ca_file is None else str(broker.ca_file))
        self._client.will_set(will.topic, will.payload, qos=1, retain=True, properties=self._will_properties())
        self._client.on_connect = self._on_connect
        self._client.on_connect_fail = self._on_connect_fail
        self._client.on_disconnect = self._on_disconnect
        self._client.on_publish = self._on_publish
        self._client.on_message = self._on_message

    def open(self) -> None:
        """Connect; the broker's answer comes as ``Connected``. Raises NotConnectedError."""
        properties = None
        if self._version5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho left it untyped
            properties.SessionExpiryInterval = SESSION_EXPIRY_S
        try:
            self._client.connect(
                self._broker.host,
                self._broker.port,
                KEEPALIVE_S,
                clean_start=False if self._version5 else paho.MQTT_CLEAN_START_FIRST_ONLY,
                properties=properties,
            )
        except (OSError, ValueError) as error:
            msg = f"{self._broker!r}: {error}"
            raise NotConnectedError(msg) from error
        self._client.loop_start()

    def subscribe(self, topics: Sequence[str]) -> None:
        """Subscribe at QoS 1. Raises NotConnectedError."""
        code, _ = self._client.subscribe([(topic, 1) for topic in topics])
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise NotConnectedError(str(code))

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> int:
        """Publish at QoS 1; the message id, which its ``Puback`` names. Raises NotConnectedError."""
        if not self._client.is_connected():
            msg = "the connection is lost"
            raise NotConnectedError(msg)
        info = self._client.publish(topic, payload, qos=1, retain=retain)
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise NotConnectedError(str(info.rc))
        return info.mid

    def close(self) -> None:
        """Say good-bye, which takes the will back, and end the thread."""
        self._closed = True
        self._client.disconnect()
        self._client.loop_stop()

    def _will_properties(self) -> Properties | None:
        if not self._version5:
            return None
        properties = Properties(PacketTypes.WILLMESSAGE)  # type: ignore[no-untyped-call]  # paho left it untyped
        properties.WillDelayInterval = WILL_DELAY_S
        return properties

    # Called in paho's thread.

    def _on_connect(self, _c: paho.Client, _u: Any, _f: Any, reason: ReasonCode, properties: Any) -> None:
        receive_max = getattr(properties, "ReceiveMaximum", RECEIVE_MAXIMUM_DEFAULT)
        self._inbox.put(Connected(self, reason.value, str(reason), receive_max))

    def _on_connect_fail(self, _c: paho.Client, _u: Any) -> None:
        self._inbox.put(Disconnected(self, "cannot connect"))

    def _on_disconnect(self, _c: paho.Client, _u: Any, _f: Any, reason: ReasonCode, _p: Any) -> None:
        if not self._closed:
            self._inbox.put(Disconnected(self, str(reason)))

    def _on_publish(self, _c: paho.Client, _u: Any, mid: int, reason: ReasonCode, _p: Any) -> None:
        self._inbox.put(Puback(self, mid, reason.value))

    def _on_message(self, _c: paho.Client, _u: Any, message: paho.MQTTMessage) -> None:
        self._inbox.put(Message(self, message.topic, bytes(message.payload), message.retain))
