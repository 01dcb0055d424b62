"""Tells gateways what is committed: retained watermarks, at most one a second and gateway, the last never withheld.

A gateway that drains a backlog is told sooner, or its window of uncommitted frames would bound what it drains a second.

Only who owns the buckets may speak. A commit proves that; when the last one is a while ago, and after every reconnect,
the database is asked before anything is said, since what a stream remembers that was fenced off is old.
"""

import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import structlog
from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from contracts import acks, topics
from contracts.acks import ACK_INTERVAL_S, ACK_SOONER_FRAMES
from contracts.topics import Down, GatewayAddress, Lane
from stream import metrics
from stream.facts import LaneId
from stream.fence import Standing
from stream.sequence import LaneState
from stream.settings import MQTT_KEEPALIVE_S, MQTT_RECONNECT_S, Broker

log = structlog.get_logger()

ROUND_S: Final = 0.05
IN_FLIGHT_MAX: Final = 1_000
"""Acks that await their PUBACK; the rest wait here, where newer ones replace them."""
FLUSH_S: Final = 3.0
PROVEN_S: Final = 2.0
"""How long a commit, or the database's word, proves that the buckets are ours."""
ASK_AGAIN_S: Final = 1.0


@dataclass(slots=True)
class _Connection:
    """One connection with a client of its own: what paho still holds of it ends with it."""

    client: Client
    ready: threading.Event = field(default_factory=threading.Event)
    lost: threading.Event = field(default_factory=threading.Event)
    in_flight: int = 0


class AckPublisher:
    """Publishes watermarks from a thread of its own; ``start`` before use.

    ``client_id`` must differ between processes. ``lanes``: what is committed at the start, so that an ack always names
    every lane of its gateway (a retained message replaces the one before). ``standing`` asks whether the buckets are
    still ours.
    """

    def __init__(
        self, broker: Broker, client_id: str, lanes: Mapping[LaneId, LaneState], standing: Callable[[], Standing]
    ) -> None:
        self._committed: dict[tuple[str, str], dict[Lane, tuple[str, int]]] = {}
        for lane, state in lanes.items():
            if state.ep:
                self._committed.setdefault(lane[:2], {})[lane.lane] = (state.ep, state.seq)
        self._lock = threading.Lock()
        self._due: dict[GatewayAddress, None] = {}
        self._asked: dict[GatewayAddress, dict[Lane, str]] = {}
        self._told_at: dict[GatewayAddress, float] = {}
        self._untold_frames: dict[GatewayAddress, int] = {}
        self._proven_at = 0.0
        self._fenced = threading.Event()
        self._closing = threading.Event()
        self._broker = broker
        self._client_id = client_id
        self._standing = standing
        self._thread = threading.Thread(target=self._run, name="acks", daemon=True)

    @property
    def is_fenced(self) -> bool:
        """Whether the database said that the buckets are another's: nothing is published any more."""
        return self._fenced.is_set()

    def owes(self, address: GatewayAddress) -> bool:
        """Whether a gateway is still to be told something."""
        with self._lock:
            return address in self._due

    def start(self) -> None:
        """Connect in the background and begin to publish."""
        self._thread.start()

    def tell(self, address: GatewayAddress, watermarks: Mapping[Lane, tuple[str, int]]) -> None:
        """Publish these watermarks soon, changed or not. They must be committed, and the buckets ours just now.

        Within an incarnation a watermark never goes back: one that is told again because of a duplicate or a presence
        may be older than what the same epoch committed after it.
        """
        with self._lock:
            committed = self._committed.setdefault((address.tenant, address.gateway), {})
            for lane, (ep, seq) in watermarks.items():
                known = committed.get(lane)
                if known is None or known[0] != ep or seq > known[1]:
                    committed[lane] = (ep, seq)
                    before = known[1] if known is not None and known[0] == ep else 0
                    self._untold_frames[address] = self._untold_frames.get(address, 0) + seq - before
            self._due[address] = None
            self._proven_at = time.monotonic()

    def ask(self, address: GatewayAddress, incarnations: Mapping[Lane, str]) -> None:
        """Say to whom is connected that nothing of these incarnations is committed, so that they begin at 1.

        Not retained: what is retained stays what is committed, of the incarnation that is open.
        """
        with self._lock:
            self._asked.setdefault(address, {}).update(incarnations)

    def close(self) -> None:
        """Publish what is still withheld, for at most 3 s, and disconnect."""
        self._closing.set()
        self._thread.join(FLUSH_S + ROUND_S)

    # ------------------------------------------------------------- the thread

    def _run(self) -> None:
        shortest_s, longest_s = MQTT_RECONNECT_S
        pause_s = float(shortest_s)
        while not self._fenced.is_set():
            connection = self._connect()
            if connection is not None:
                if self._serve(connection):
                    pause_s = float(shortest_s)
                connection.client.disconnect()
                connection.client.loop_stop()
            if self._closing.wait(random.uniform(0, pause_s)):  # noqa: S311 - jitter, not a secret
                return
            pause_s = min(pause_s * 2, longest_s)

    def _connect(self) -> _Connection | None:
        connection = self._new_connection()
        try:
            connection.client.connect(self._broker.host, self._broker.port, MQTT_KEEPALIVE_S)
        except (OSError, ValueError) as error:
            log.warning("acks_unreachable", error=str(error))
            return None
        connection.client.loop_start()
        return connection

    def _serve(self, connection: _Connection) -> bool:
        """Publish over a connection until it is lost or nothing is left to say; returns whether it ever was one."""
        deadline: float | None = None
        while not connection.lost.wait(ROUND_S) and not self._fenced.is_set():
            now = time.monotonic()
            if self._closing.is_set():
                deadline = deadline or now + FLUSH_S
                if now > deadline or not connection.ready.is_set() or not self._has_more(connection):
                    break
            if connection.ready.is_set():
                self._publish_due(connection, now)
        return connection.ready.is_set()

    def _has_more(self, connection: _Connection) -> bool:
        with self._lock:
            return bool(self._due) or bool(self._asked) or connection.in_flight > 0

    def _publish_due(self, connection: _Connection, now: float) -> None:
        with self._lock:
            ready = [
                address
                for address in self._due | dict.fromkeys(self._asked)
                if self._closing.is_set()
                or now - self._told_at.get(address, 0.0) >= ACK_INTERVAL_S
                or self._untold_frames.get(address, 0) >= ACK_SOONER_FRAMES
            ]
        if not ready or not self._may_speak(connection, now):
            return
        for address in ready:
            if connection.in_flight >= IN_FLIGHT_MAX or not self._publish(connection, address, now):
                return

    def _may_speak(self, connection: _Connection, now: float) -> bool:
        if now - self._proven_at <= PROVEN_S:
            return True
        match self._standing():
            case Standing.HELD:
                self._proven_at = now
                return True
            case Standing.LOST:
                log.error("acks_fenced")
                self._fenced.set()
            case Standing.UNKNOWN:
                log.warning("acks_withheld", reason="the database is away")
                connection.lost.wait(ASK_AGAIN_S)
        return False

    def _publish(self, connection: _Connection, address: GatewayAddress, now: float) -> bool:
        """Tell a gateway what is due; False when the connection does not take it."""
        with self._lock:
            is_due = address in self._due
            self._due.pop(address, None)
            self._untold_frames.pop(address, None)
            asked = self._asked.pop(address, {})
            committed = dict(self._committed.get((address.tenant, address.gateway), {}))
            self._told_at[address] = now
        topic = topics.down(address, Down.ACK)
        sent = True
        if is_due:
            sent = self._send(connection, topic, acks.encode(committed), retain=True)
        unknown = {lane: (ep, 0) for lane, ep in asked.items() if committed.get(lane, ("", 0))[0] != ep}
        if sent and unknown:
            sent = self._send(connection, topic, acks.encode(committed | unknown), retain=False)
        if not sent:
            log.warning("ack_delayed", gateway=address.gateway)
            with self._lock:
                self._due[address] = None
        return sent

    def _send(self, connection: _Connection, topic: str, payload: bytes, *, retain: bool) -> bool:
        with self._lock:
            connection.in_flight += 1
        if connection.client.publish(topic, payload, qos=1, retain=retain).rc == MQTTErrorCode.MQTT_ERR_SUCCESS:
            metrics.ACKS.inc()
            return True
        # What paho keeps of it is dropped with this client; it stays due here.
        connection.lost.set()
        return False

    # ------------------------------------------------------------- paho's thread

    def _new_connection(self) -> _Connection:
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._client_id,
            clean_session=True,
            protocol=MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
        )
        if self._broker.user:
            client.username_pw_set(self._broker.user, self._broker.password)
        if self._broker.tls:
            client.tls_set()
        client.max_inflight_messages_set(IN_FLIGHT_MAX)
        connection = _Connection(client)

        def on_connect(
            _client: Client, _data: object, _flags: ConnectFlags, reason: ReasonCode, _properties: Properties | None
        ) -> None:
            if reason.is_failure:
                log.error("acks_refused", reason=str(reason))
                connection.lost.set()
                return
            with self._lock:
                # The broker may have lost what it retained: say everything again, once it is known that we may.
                self._due.update(dict.fromkeys(self._told_at))
                self._proven_at = 0.0
            connection.ready.set()

        def on_disconnect(
            _client: Client, _data: object, _flags: DisconnectFlags, reason: ReasonCode, _properties: Properties | None
        ) -> None:
            connection.lost.set()
            if not self._closing.is_set():
                log.warning("acks_disconnected", reason=str(reason))

        def on_publish(_client: Client, _data: object, _mid: int, _reason: ReasonCode, _properties: Properties) -> None:
            with self._lock:
                connection.in_flight -= 1

        client.on_connect = on_connect
        client.on_disconnect = on_disconnect
        client.on_publish = on_publish
        return connection
