"""Tells gateways what is committed: retained watermarks, at most one a second and gateway, the last never withheld."""

import threading
import time
from collections.abc import Mapping
from typing import Final

import structlog
from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessageInfo
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from contracts import acks, topics
from contracts.acks import ACK_INTERVAL_S
from contracts.topics import Down, GatewayAddress, Lane
from stream import metrics
from stream.facts import LaneId
from stream.sequence import LaneState
from stream.settings import MQTT_KEEPALIVE_S, MQTT_RECONNECT_S, Broker

log = structlog.get_logger()

ROUND_S: Final = 0.05
IN_FLIGHT_MAX: Final = 1_000
"""Acks that await their PUBACK; the rest wait here, where newer ones replace them."""
FLUSH_S: Final = 3.0


class AckPublisher:
    """Publishes watermarks from a thread of its own; ``start`` before use.

    ``client_id`` must differ between processes. ``lanes``: what is committed at the start, so that an ack always names
    every lane of its gateway (a retained message replaces the one before).
    """

    def __init__(self, broker: Broker, client_id: str, lanes: Mapping[LaneId, LaneState]) -> None:
        self._committed: dict[tuple[str, str], dict[Lane, tuple[str, int]]] = {}
        for lane, state in lanes.items():
            if state.ep:
                self._committed.setdefault(lane[:2], {})[lane.lane] = (state.ep, state.seq)
        self._lock = threading.Lock()
        self._due: dict[GatewayAddress, None] = {}
        self._told_at: dict[GatewayAddress, float] = {}
        self._in_flight = 0
        self._connected = threading.Event()
        self._closing = threading.Event()
        self._broker = broker
        self._client = self._new_client(client_id)
        self._thread = threading.Thread(target=self._run, name="acks", daemon=True)

    def start(self) -> None:
        """Connect in the background and begin to publish."""
        self._client.connect_async(self._broker.host, self._broker.port, MQTT_KEEPALIVE_S)
        self._client.loop_start()
        self._thread.start()

    def tell(self, address: GatewayAddress, watermarks: Mapping[Lane, tuple[str, int]]) -> None:
        """Publish these watermarks soon, changed or not. They must be committed.

        Within an incarnation a watermark never goes back: one that is told again because of a duplicate or a presence
        may be older than what the same epoch committed after it.
        """
        with self._lock:
            committed = self._committed.setdefault((address.tenant, address.gateway), {})
            for lane, (ep, seq) in watermarks.items():
                known = committed.get(lane)
                if known is None or known[0] != ep or seq > known[1]:
                    committed[lane] = (ep, seq)
            self._due[address] = None

    def close(self) -> None:
        """Publish what is still withheld, for at most 3 s, and disconnect."""
        self._closing.set()
        self._thread.join(FLUSH_S)
        self._client.disconnect()
        self._client.loop_stop()

    def _run(self) -> None:
        deadline: float | None = None
        while True:
            now = time.monotonic()
            if self._closing.is_set():
                deadline = deadline or now + FLUSH_S
                if now > deadline or not self._connected.is_set() or (not self._due and self._in_flight == 0):
                    return
            self._publish_due(now)
            time.sleep(ROUND_S)

    def _publish_due(self, now: float) -> None:
        if not self._connected.is_set():
            return
        with self._lock:
            ready = [
                address
                for address in self._due
                if self._closing.is_set() or now - self._told_at.get(address, 0.0) >= ACK_INTERVAL_S
            ]
        for address in ready:
            if self._in_flight >= IN_FLIGHT_MAX:
                return
            with self._lock:
                del self._due[address]
                payload = acks.encode(self._committed[address.tenant, address.gateway])
                self._told_at[address] = now
                self._in_flight += 1
            sent = self._client.publish(topics.down(address, Down.ACK), payload, qos=1, retain=True)
            if sent.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
                self._give_back(address, sent)
                return
            metrics.ACKS.inc()

    def _give_back(self, address: GatewayAddress, sent: MQTTMessageInfo) -> None:
        log.warning("ack_delayed", gateway=address.gateway, rc=int(sent.rc))
        with self._lock:
            self._due[address] = None
            self._in_flight -= 1

    def _new_client(self, client_id: str) -> Client:
        client = Client(
            CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=True, protocol=MQTTProtocolVersion.MQTTv311
        )
        if self._broker.user:
            client.username_pw_set(self._broker.user, self._broker.password)
        if self._broker.tls:
            client.tls_set()
        client.reconnect_delay_set(*MQTT_RECONNECT_S)
        client.max_inflight_messages_set(IN_FLIGHT_MAX)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        return client

    def _on_connect(
        self, _client: Client, _data: object, _flags: ConnectFlags, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        if reason.is_failure:
            log.error("acks_refused", reason=str(reason))
            return
        with self._lock:
            # The broker may have lost what it retained: say everything again.
            for address in self._told_at:
                self._due[address] = None
        self._connected.set()

    def _on_disconnect(
        self,
        _client: Client,
        _data: object,
        _flags: DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        self._connected.clear()
        if not self._closing.is_set():
            log.warning("acks_disconnected", reason=str(reason))

    def _on_publish(
        self, _client: Client, _data: object, _mid: int, _reason: ReasonCode, _properties: Properties
    ) -> None:
        with self._lock:
            self._in_flight -= 1
