"""A connection to the broker that publishes and waits: paho, a fresh client for each connection.

MQTT 5 where the broker has it: messages expire there, and a PUBACK says whether anybody listens. Else 3.1.1.
"""

import secrets
import threading
import time
from collections.abc import Sequence
from enum import Enum
from typing import Any, Final

import structlog
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from deploy.downlink.messages import Outgoing
from stream.settings import Broker

CONNECT_S: Final = 5.0
PUBACK_S: Final = 5.0
KEEPALIVE_S: Final = 15
IN_FLIGHT_MAX: Final = 100
"""Messages that await their PUBACK; ``publish`` takes no more at once."""
NO_SUBSCRIBERS: Final = 0x10

log = structlog.get_logger()


class Delivery(Enum):
    """What became of a message."""

    TAKEN = "taken"
    """The broker has it."""
    UNHEARD = "unheard"
    """The broker has it, and nobody to give it to."""
    REFUSED = "refused"
    LOST = "lost"
    """No answer came."""


class Link:
    """One connection at a time, used from one thread. ``connections`` counts those that were made."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._name = f"shelfpulse-downlink-{secrets.token_hex(4)}"
        self._version5 = True
        self._five_worked = False
        self._client: Client | None = None
        self._greeted = threading.Event()
        self._lost = threading.Event()
        self._answers = threading.Condition()
        self._codes: dict[int, int] = {}
        self._refusal = ""
        self.connections = 0

    @property
    def is_connected(self) -> bool:
        """Whether the connection stands, as far as we know."""
        return self._client is not None and not self._lost.is_set()

    def connect(self) -> bool:
        """Connect anew; whether the broker let us in. Takes CONNECT_S at most, twice that for its host."""
        self.close()
        client = self._client = self._new_client()
        try:
            client.connect(self._broker.host, self._broker.port, KEEPALIVE_S)
        except (OSError, ValueError) as error:
            log.warning("downlink_unreachable", error=str(error))
            self._client = None
            return False
        client.loop_start()
        if self._greeted.wait(CONNECT_S) and not self._refusal and not self._lost.is_set():
            self.connections += 1
            self._five_worked |= self._version5
            log.info("downlink_connected", mqtt="5" if self._version5 else "3.1.1")
            return True
        log.warning("downlink_refused", reason=self._refusal or "no answer", mqtt="5" if self._version5 else "3.1.1")
        if not self._five_worked:
            # Brokers without MQTT 5 say so in many ways, or hang up.
            self._version5 = not self._version5
        self.close()
        return False

    def publish(self, messages: Sequence[Outgoing]) -> list[Delivery]:
        """Publish at QoS 1 and wait for the answers, PUBACK_S at most."""
        assert len(messages) <= IN_FLIGHT_MAX, f"{len(messages)} messages at once"
        client = self._client
        if client is None or not client.is_connected():
            self._lost.set()
            return [Delivery.LOST] * len(messages)
        mids = [self._send(client, message) for message in messages]
        wanted = {mid for mid in mids if mid is not None}
        deadline_s = time.monotonic() + PUBACK_S
        with self._answers:
            while not wanted <= self._codes.keys() and not self._lost.is_set():
                if not self._answers.wait(deadline_s - time.monotonic()):
                    break
            codes = [None if mid is None else self._codes.pop(mid, None) for mid in mids]
        if None in codes:
            # Whatever the reason: what this client has queued must not be sent by it later.
            self.close()
        return [_delivery(code) for code in codes]

    def close(self) -> None:
        """Say good-bye and forget the connection."""
        client, self._client = self._client, None
        if client is not None:
            client.disconnect()
            client.loop_stop()
        self._greeted.clear()
        self._lost.clear()
        self._refusal = ""
        self._codes.clear()

    def _send(self, client: Client, message: Outgoing) -> int | None:
        properties = None
        if self._version5 and message.expires_s is not None:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho left it untyped
            properties.MessageExpiryInterval = message.expires_s
        info = client.publish(message.topic, message.payload, 1, message.retain, properties)
        return info.mid if info.rc == MQTTErrorCode.MQTT_ERR_SUCCESS else None

    def _new_client(self) -> Client:
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._name,
            clean_session=None if self._version5 else True,
            protocol=MQTTProtocolVersion.MQTTv5 if self._version5 else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
        )
        client.connect_timeout = CONNECT_S
        client.max_inflight_messages_set(IN_FLIGHT_MAX)
        if self._broker.user:
            client.username_pw_set(self._broker.user, self._broker.password)
        if self._broker.tls:
            client.tls_set()
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        return client

    # Called in paho's thread; a client that was closed is no longer ours to hear.

    def _on_connect(self, client: Client, _data: Any, _flags: Any, reason: ReasonCode, _properties: Any) -> None:
        if client is self._client:
            self._refusal = str(reason) if reason.is_failure else ""
            self._greeted.set()

    def _on_disconnect(self, client: Client, _data: Any, _flags: Any, reason: ReasonCode, _properties: Any) -> None:
        if client is self._client:
            log.warning("downlink_lost", reason=str(reason))
            self._lost.set()
            self._greeted.set()
            with self._answers:
                self._answers.notify_all()

    def _on_publish(self, client: Client, _data: Any, mid: int, reason: ReasonCode, _properties: Any) -> None:
        with self._answers:
            if client is self._client:
                self._codes[mid] = reason.value
                self._answers.notify_all()


def _delivery(code: int | None) -> Delivery:
    if code is None:
        return Delivery.LOST
    if code == NO_SUBSCRIBERS:
        return Delivery.UNHEARD
    return Delivery.REFUSED if code >= 0x80 else Delivery.TAKEN  # noqa: PLR2004 - MQTT's bound between yes and no
