"""A broker that measures: how many publishes await their PUBACK, and what the client makes of any answer.

It speaks MQTT 5 and 3.1.1 over real sockets, to one client at a time, and does what a test's ``Manners`` say. Real
brokers never do most of it, and never on command.
"""

import select
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from tests.services import mqtt_packets as mqtt
from tests.services.mqtt_packets import Kind, Properties, Publish, Reader

IDLE_S = 0.01
"""Without a byte for so long, the client has sent all that it may."""


@dataclass
class Manners:
    """How one connection goes.

    ``puback`` gives the reason code for a publish, None for no answer. PUBACKs are withheld until the client has been
    silent for a moment, so that it sends all that it thinks it may; then ``batch`` of them go out.
    """

    code: int = 0
    limits: Properties = field(default_factory=dict)
    versions: tuple[int, ...] = (4, 5)
    hangs_up_on: tuple[int, ...] = ()
    puback: Callable[[Publish], int | None] = lambda _: 0
    batch: int = 1_000
    suback: int | None = None
    ends_after: int | None = None
    """Publishes after which the connection ends …"""
    ending: bytes = b""
    """… with these bytes, which may be half a packet or a DISCONNECT."""


class FakeBroker:
    """``manners`` are used one a connection, the last for all that follow; ``take`` gets what was PUBACKed well.

    ``send`` says something to the client; ``retained`` is said to who subscribes its topic.
    """

    def __init__(self, manners: list[Manners], take: Callable[[Publish], None] = lambda _: None) -> None:
        self._manners = deque(manners)
        self._take = take
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._outbox: deque[Publish] = deque()
        self._stopping = threading.Event()
        self.lock = threading.RLock()
        self.port = self._listener.getsockname()[1]
        self.retained: dict[str, bytes] = {}
        self.connects: list[tuple[int, str]] = []
        """Version and client id of each CONNECT."""
        self.filters: dict[str, int] = {}
        self.publishes: list[list[Publish]] = []
        """What was published, one list a connection."""
        self.most_awaiting: list[int] = []
        """The most that ever awaited their PUBACK, one figure a connection."""
        self.pubacks: list[int] = []
        """Packet ids that the client has acknowledged."""

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def send(self, topic: str, payload: bytes, *, qos: int = 0, mid: int = 0, retain: bool = False) -> None:
        with self.lock:
            self._outbox.append(Publish(topic, payload, mid, qos, retain, dup=False))

    def serve(self) -> None:
        while not self._stopping.is_set():
            if not select.select([self._listener], [], [], IDLE_S)[0]:
                continue
            connection, _ = self._listener.accept()
            manners = self._manners.popleft() if len(self._manners) > 1 else self._manners[0]
            with connection, suppress(ConnectionError):
                _Talk(self, connection, manners).run(self._stopping)

    def stop(self) -> None:
        self._stopping.set()

    def close(self) -> None:
        self._listener.close()

    def take(self, message: Publish) -> None:
        self._take(message)

    def next_message(self) -> Publish | None:
        with self.lock:
            return self._outbox.popleft() if self._outbox else None


class _Talk:
    """One connection."""

    def __init__(self, broker: FakeBroker, connection: socket.socket, manners: Manners) -> None:
        self._broker = broker
        self._connection = connection
        self._manners = manners
        self._reader = Reader()
        self._version = 5
        self._unanswered: deque[Publish] = deque()
        self._awaiting = 0
        self._is_over = False

    def run(self, stopping: threading.Event) -> None:
        while not self._is_over and not stopping.is_set():
            if select.select([self._connection], [], [], IDLE_S)[0]:
                data = self._connection.recv(1 << 16)
                if not data:
                    return
                self._reader.data += data
                with self._broker.lock:
                    self._handle_all()
                continue
            with self._broker.lock:
                self._answer()
                self._speak()

    def _handle_all(self) -> None:
        while (got := self._reader.take()) is not None:
            self._handle(*got)
            if self._is_over:
                return

    def _handle(self, first: int, body: bytes) -> None:
        match first >> 4:
            case Kind.CONNECT:
                self._connect(body)
            case Kind.SUBSCRIBE:
                mid, filters = mqtt.read_subscribe(self._version, body)
                self._broker.filters = filters
                codes = [qos if self._manners.suback is None else self._manners.suback for qos in filters.values()]
                self._connection.sendall(mqtt.suback(self._version, mid, codes))
                for topic in filters.keys() & self._broker.retained.keys():
                    self._broker.send(topic, self._broker.retained[topic], retain=True)
                self._speak()
            case Kind.PUBLISH:
                self._publish(mqtt.read_publish(self._version, first, body))
            case Kind.PUBACK:
                self._broker.pubacks.append(struct.unpack_from("!H", body)[0])
            case Kind.PINGREQ:
                self._connection.sendall(mqtt.packet(Kind.PINGRESP))
            case Kind.DISCONNECT:
                self._is_over = True
            case other:
                msg = f"a client sends no packet of kind {other}"
                raise AssertionError(msg)

    def _connect(self, body: bytes) -> None:
        self._version, client_id = mqtt.read_connect(body)
        broker, manners = self._broker, self._manners
        broker.connects.append((self._version, client_id))
        broker.publishes.append([])
        broker.most_awaiting.append(0)
        if self._version in manners.hangs_up_on:
            self._is_over = True
        elif self._version not in manners.versions:
            # As a broker of 3.1.1 answers who comes with 5.
            self._connection.sendall(mqtt.packet(Kind.CONNACK, b"\0\1"))
            self._is_over = True
        else:
            self._connection.sendall(mqtt.connack(self._version, manners.code, manners.limits))
            self._is_over = manners.code != 0

    def _publish(self, message: Publish) -> None:
        broker = self._broker
        broker.publishes[-1].append(message)
        self._unanswered.append(message)
        self._awaiting += 1
        broker.most_awaiting[-1] = max(broker.most_awaiting[-1], self._awaiting)
        if len(broker.publishes[-1]) == self._manners.ends_after:
            self._connection.sendall(self._manners.ending)
            self._is_over = True

    def _answer(self) -> None:
        for _ in range(min(self._manners.batch, len(self._unanswered))):
            message = self._unanswered.popleft()
            code = self._manners.puback(message)
            if code is None:
                continue
            if code < 0x80:
                self._broker.take(message)
            self._awaiting -= 1
            self._connection.sendall(mqtt.puback(message.mid, code if self._version == 5 else 0))

    def _speak(self) -> None:
        while (message := self._broker.next_message()) is not None:
            self._connection.sendall(mqtt.publish(self._version, message))


@contextmanager
def fake_broker(*manners: Manners, take: Callable[[Publish], None] = lambda _: None) -> Iterator[FakeBroker]:
    """A broker on a free port that treats its connections as told, the first one first."""
    broker = FakeBroker(list(manners) or [Manners()], take)
    thread = threading.Thread(target=broker.serve, name="fake-broker", daemon=True)
    thread.start()
    try:
        yield broker
    finally:
        broker.stop()
        thread.join(10)
        broker.close()
