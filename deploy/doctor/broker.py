"""Checks of the MQTT broker: reachable, closed to strangers, and with room for what we need of it."""

import threading
import uuid
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple, Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from contracts.acks import AWAITING_PUBACK_MAX
from contracts.errors import UserError
from contracts.frames import FRAME_MAX_BYTES
from contracts.topics import ROOT
from deploy.doctor.finding import Finding, fail, ok, skip, warn
from stream.settings import parse_mqtt_url

WAIT_S: Final = 5.0
PROBE_MESSAGES: Final = 1_200
"""More than the thousand that Mosquitto keeps for an absent session by default."""
PROBE_EXPIRY_S: Final = 60
PROBE_INFLIGHT: Final = 20
"""Messages that a probe publishes before it waits for their acknowledgement."""
DEFAULT_RECEIVE_MAXIMUM: Final = 65_535
_OTHER_PROTOCOL: Final = (0x01, 0x84)
"""Unsupported protocol version, as MQTT 3.1.1 and as MQTT 5 say it."""


class Address(NamedTuple):
    """Where a broker is, who we are to it, and which MQTT it speaks."""

    host: str
    port: int
    user: str
    password: str
    tls: bool
    protocol: MQTTProtocolVersion = MQTTProtocolVersion.MQTTv5


class Hello(NamedTuple):
    """Answer to a connection: the reason code, and the limits that the broker sets."""

    reason: ReasonCode
    limits: dict[str, Any]


class SilenceError(Exception):
    """The broker cannot be reached, or does not answer in time."""


def check(url: str) -> Iterator[Finding]:
    """All checks of the broker at ``url``."""
    try:
        address = Address(*parse_mqtt_url(url))
    except UserError as error:
        yield fail("broker", error.message, "an address looks like mqtt://user:password@host:1883")
        return
    place = f"{address.host}:{address.port}"
    try:
        address, hello = _agree(address)
    except SilenceError as error:
        yield fail("broker", f"{place}: {error}", "start it (`shelfpulse up`), or correct MQTT_URL")
        return
    if hello.reason.is_failure:
        remedy = "correct user and password in MQTT_URL"
        yield fail("broker", f"{place} refuses {address.user or 'a client without a name'}: {hello.reason}", remedy)
        return
    yield ok("broker", f"{place} takes {address.user or 'a client without a name'}, {address.protocol.name}")
    yield _check_strangers(address)
    yield from _check_limits(hello.limits)
    yield _check_queue(address)


def greet(address: Address) -> Hello:
    """Connect once and read the answer. Raises SilenceError."""
    with _Session(address, clean=True) as session:
        return session.hello


def _agree(address: Address) -> tuple[Address, Hello]:
    """The newest MQTT that the broker speaks, and its answer. Raises SilenceError."""
    try:
        hello = greet(address)
    except SilenceError:
        # A broker that knows 3.1.1 alone may just hang up on 5.
        older = address._replace(protocol=MQTTProtocolVersion.MQTTv311)
        return older, greet(older)
    if hello.reason.value in _OTHER_PROTOCOL:
        older = address._replace(protocol=MQTTProtocolVersion.MQTTv311)
        return older, greet(older)
    return address, hello


def _check_strangers(address: Address) -> Finding:
    try:
        hello = greet(address._replace(user="", password=""))
    except SilenceError:
        return ok("anonymous clients", "the broker closes the connection on them")
    if hello.reason.is_failure:
        return ok("anonymous clients", f"refused: {hello.reason}")
    remedy = "allow_anonymous false (mosquitto), or users with permissions (NATS): anyone can publish readings"
    return fail("anonymous clients", "a client without credentials is let in", remedy)


def _check_limits(limits: dict[str, Any]) -> Iterator[Finding]:
    receive = limits.get("ReceiveMaximum", DEFAULT_RECEIVE_MAXIMUM)
    if receive < AWAITING_PUBACK_MAX:
        what = f"{receive}: gateways have up to {AWAITING_PUBACK_MAX} frames under way"
        yield warn("broker receive maximum", what, "raise max_inflight_messages (mosquitto)")
    else:
        yield ok("broker receive maximum", str(receive))
    size = limits.get("MaximumPacketSize")
    if size is not None and size <= FRAME_MAX_BYTES:
        what = f"{size} bytes: frames have up to {FRAME_MAX_BYTES}"
        yield fail("broker packet size", what, "raise max_packet_size (mosquitto)")
    else:
        yield ok("broker packet size", "no limit" if size is None else f"{size} bytes")
    if limits.get("MaximumQoS", 2) < 1:
        yield fail("broker QoS", "the broker offers QoS 0 alone", "frames need QoS 1: allow it")
    if limits.get("RetainAvailable", 1) != 1:
        yield fail("broker retain", "the broker keeps no retained messages", "acks and presence need them: allow them")


def _check_queue(address: Address) -> Finding:
    try:
        kept = _kept_for_absent(address)
    except SilenceError as error:
        return skip("broker queue", f"could not be probed: {error}")
    what = f"{kept} of {PROBE_MESSAGES} messages kept for an absent session"
    if kept < PROBE_MESSAGES:
        remedy = "raise max_queued_messages (mosquitto) or the stream's limits (NATS): a short outage causes resends"
        return warn("broker queue", what, remedy)
    return ok("broker queue", what)


def _kept_for_absent(address: Address) -> int:
    """Messages that a persistent session finds after an absence. The probe's session is removed at the end."""
    name = f"doctor-{uuid.uuid4().hex[:12]}"
    topic = f"{ROOT}/doctor/{name}"
    try:
        with _Session(address, name=name, clean=False) as absent:
            absent.subscribe(topic)
        with _Session(address, clean=True) as publisher:
            publisher.publish(topic, PROBE_MESSAGES)
        with _Session(address, name=name, clean=False) as back:
            return back.receive(PROBE_MESSAGES)
    finally:
        with _Session(address, name=name, clean=True):
            pass


class _Session:
    """One MQTT 5 connection in its own thread; leaving the context closes it."""

    def __init__(self, address: Address, *, clean: bool, name: str = "") -> None:
        self._address = address
        self._clean = clean
        self._speaks_5 = address.protocol is MQTTProtocolVersion.MQTTv5
        self._changed = threading.Condition()
        self._hello: Hello | None = None
        self._error = ""
        self._subscribed = False
        self._acknowledged = 0
        self._received = 0
        client_id = name or f"doctor-{uuid.uuid4().hex[:12]}"
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id,
            clean_session=None if self._speaks_5 else clean,
            protocol=address.protocol,
        )
        if address.user:
            client.username_pw_set(address.user, address.password)
        if address.tls:
            client.tls_set()
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        client.on_disconnect = self._on_disconnect
        self._client = client

    def __enter__(self) -> Self:
        try:
            self._connect()
        except OSError as error:
            raise SilenceError(str(error)) from error
        self._client.loop_start()
        try:
            self._wait(lambda: self._hello is not None, "no answer to CONNECT")
        except SilenceError:
            self._client.loop_stop()
            raise
        return self

    def __exit__(self, *_exception: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    @property
    def hello(self) -> Hello:
        """The broker's answer."""
        assert self._hello is not None
        return self._hello

    def subscribe(self, topic: str) -> None:
        """Subscribe at QoS 1 and wait for the answer. Raises SilenceError."""
        self._client.subscribe(topic, qos=1)
        self._wait(lambda: self._subscribed, "no answer to SUBSCRIBE")

    def publish(self, topic: str, count: int) -> None:
        """Publish empty messages at QoS 1, few at a time. Raises SilenceError."""
        for number in range(count):
            self._wait(lambda sent=number: sent - self._acknowledged < PROBE_INFLIGHT, "no PUBACK")  # type: ignore[misc]
            self._client.publish(topic, b"", qos=1)
        self._wait(lambda: self._acknowledged == count, "no PUBACK")

    def receive(self, count: int) -> int:
        """Messages received until there are ``count``, or no more came for a second."""
        seen = -1
        with self._changed:
            while self._received < count and self._received != seen:
                seen = self._received
                self._changed.wait_for(lambda: self._received >= count, timeout=1.0)
            return self._received

    def _connect(self) -> None:
        if not self._speaks_5:
            self._client.connect(self._address.host, self._address.port)
            return
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho's constructor has no types
        properties.SessionExpiryInterval = 0 if self._clean else PROBE_EXPIRY_S
        self._client.connect(self._address.host, self._address.port, clean_start=self._clean, properties=properties)

    def _wait(self, condition: Callable[[], bool], otherwise: str) -> None:
        with self._changed:
            if not self._changed.wait_for(lambda: condition() or bool(self._error), timeout=WAIT_S):
                raise SilenceError(otherwise)
            if not condition():
                raise SilenceError(self._error)

    def _on_connect(
        self, _client: mqtt.Client, _data: object, _flags: object, reason: ReasonCode, properties: Properties | None
    ) -> None:
        with self._changed:
            self._hello = Hello(reason, {} if properties is None else _limits(properties))
            self._changed.notify_all()

    def _on_subscribe(
        self, _client: mqtt.Client, _data: object, _mid: int, reasons: list[ReasonCode], _properties: object
    ) -> None:
        with self._changed:
            refused = [str(reason) for reason in reasons if reason.is_failure]
            self._error = f"SUBSCRIBE was refused: {refused[0]}" if refused else self._error
            self._subscribed = not refused
            self._changed.notify_all()

    def _on_publish(
        self, _client: mqtt.Client, _data: object, _mid: int, reason: ReasonCode, _properties: object
    ) -> None:
        with self._changed:
            if reason.is_failure:
                self._error = f"PUBLISH was refused: {reason}"
            self._acknowledged += 1
            self._changed.notify_all()

    def _on_message(self, _client: mqtt.Client, _data: object, _message: mqtt.MQTTMessage) -> None:
        with self._changed:
            self._received += 1
            self._changed.notify_all()

    def _on_disconnect(
        self, _client: mqtt.Client, _data: object, _flags: object, reason: ReasonCode, _properties: object
    ) -> None:
        with self._changed:
            self._error = f"disconnected: {reason}"
            self._changed.notify_all()


def _limits(properties: Properties) -> dict[str, Any]:
    names = ("ReceiveMaximum", "MaximumPacketSize", "MaximumQoS", "RetainAvailable")
    return {name: getattr(properties, name) for name in names if hasattr(properties, name)}
