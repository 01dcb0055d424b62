"""A real stream process between a real broker and a real PostgreSQL, and a device that speaks to it."""

import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from contracts import acks, topics
from contracts.frames import AnyFrame, encode
from contracts.topics import Down, GatewayAddress, Lane
from deploy.local.deadline import wait_until
from stream.settings import parse_mqtt_url
from tests.services.brokers import BrokerHandle

ROOT = Path(__file__).parents[3]
ADDRESS = GatewayAddress("acme", "s1", "g1")
WAIT_S = 60.0
START_S = 90.0


def eventually(condition: Callable[[], Any], what: str, within_s: float = WAIT_S) -> None:
    """Wait for a condition, or fail saying which."""
    assert wait_until(lambda: bool(condition()), within_s), f"not within {within_s:.0f} s: {what}"


@dataclass
class Platform:
    """A database with a small registry, and the stream process under test."""

    dsn: str
    broker: BrokerHandle
    state: Path
    port: int
    processes: int = 1
    process: subprocess.Popen[bytes] | None = None
    extra: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def spawn(self, port: int) -> subprocess.Popen[bytes]:
        """Start one more stream process with the same settings."""
        return subprocess.Popen(
            [sys.executable, "-m", "stream.main", "run", "--processes", str(self.processes)],
            cwd=ROOT,
            env={
                **os.environ,
                "SHELFPULSE_DSN": self.dsn,
                "MQTT_URL": self.broker.url,
                "SHELFPULSE_STATE": str(self.state),
                "SHELFPULSE_METRICS_PORT": str(port),
            },
        )

    def start(self) -> None:
        """Start the stream and wait until it can take frames."""
        self.process = self.spawn(self.port)
        eventually(self.is_ready, "the stream is ready", START_S)

    def is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"the stream ended with {self.process.returncode}"
        return self.is_healthy()

    def is_alive(self) -> bool:
        assert self.process is not None
        return self.process.poll() is None

    def is_healthy(self) -> bool:
        """Whether every process says that it is."""
        return all(_is_healthy(self.port + index) for index in range(self.processes))

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def children(self) -> list[int]:
        """Ids of the processes of a stream of several."""
        assert self.process is not None
        pid = self.process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def metric(self, name: str, index: int = 0) -> float:
        """Sum of a metric of one process over its labels."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port + index}/metrics", timeout=5) as answer:
            text = answer.read().decode()
        return sum(float(value) for value in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.MULTILINE))

    def rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            return connection.execute(statement.encode(), values).fetchall()

    def one(self, statement: str, *values: object) -> Any:
        return self.rows(statement, *values)[0][0]

    def watermark(self, lane: Lane = Lane.TEL, gateway: str = "g1") -> int:
        found = self.rows(
            "SELECT seq FROM ingest_watermark WHERE gateway_id = %s AND lane = %s AND NOT closed", gateway, lane
        )
        return found[0][0] if found else 0


def _is_healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError):
        return False


@dataclass
class Device:
    """A gateway reduced to its MQTT client: publishes what it is given, hears the acks."""

    client: Client
    heard: list[acks.Ack]

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        self.client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(WAIT_S)

    def send(self, lane: Lane, frame: AnyFrame, address: GatewayAddress = ADDRESS) -> None:
        self.publish(topics.up(address, lane), encode(frame))

    def insist(self, topic: str, payload: Callable[[], bytes], until: Callable[[], bool], what: str) -> None:
        """Publish again and again, as a gateway does that hears nothing, until a condition holds."""

        def once_more() -> bool:
            self.publish(topic, payload())
            return until()

        eventually(once_more, what)

    def told(self, lane: Lane) -> int:
        """Newest watermark that was heard for a lane."""
        return max((ack.a[lane][1] for ack in self.heard if lane in ack.a), default=0)


@contextmanager
def connect_device(broker: BrokerHandle) -> Iterator[Device]:
    heard: list[acks.Ack] = []
    where = parse_mqtt_url(broker.device_url)
    client = Client(CallbackAPIVersion.VERSION2)
    client.username_pw_set(where.user, where.password)
    client.on_message = lambda _client, _data, message: heard.append(acks.decode(bytes(message.payload)))
    client.on_connect = lambda client, *_: client.subscribe(topics.down(ADDRESS, Down.ACK), 1)
    client.max_inflight_messages_set(500)
    client.connect(where.host, where.port)
    client.loop_start()
    eventually(client.is_connected, "the device is connected")
    try:
        yield Device(client, heard)
    finally:
        client.disconnect()
        client.loop_stop()
