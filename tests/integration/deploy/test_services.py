"""The fixtures that all other tests stand on, and the configuration of the real services behind them."""

import itertools
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote, urlsplit

import paho.mqtt.client as paho
import psycopg
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from deploy.local.deadline import wait_until
from tests.services.brokers import BrokerHandle
from tests.services.databases import Server

_names = itertools.count()


class Client:
    """A paho client that remembers what it received."""

    def __init__(self, url: str, name: str = "", *, clean: bool = True, password: str | None = None) -> None:
        parts = urlsplit(url)
        self.received: list[tuple[str, bytes]] = []
        self.reason = threading.Event()
        self.refused = False
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=name or f"test-{next(_names)}", clean_session=clean
        )
        if parts.username:
            self._client.username_pw_set(unquote(parts.username), password or unquote(parts.password or ""))
        self._client.on_connect = self._connected
        self._client.on_message = lambda _client, _data, message: self.received.append(
            (message.topic, bytes(message.payload))
        )
        self._client.connect("127.0.0.1", parts.port or 0)
        self._client.loop_start()
        assert self.reason.wait(10)

    def _connected(self, _client: paho.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self.refused = bool(reason.is_failure)
        self.reason.set()

    def subscribe(self, topic: str) -> None:
        done = threading.Event()
        self._client.on_subscribe = lambda *_: done.set()
        self._client.subscribe(topic, qos=1)
        assert done.wait(10)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> bool:
        """Publish at QoS 1; whether the broker took it within a second."""
        message = self._client.publish(topic, payload, qos=1, retain=retain)
        return wait_until(message.is_published, 1)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def connect() -> Any:
    clients: list[Client] = []

    def make(*args: Any, **options: Any) -> Client:
        clients.append(Client(*args, **options))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


Connect = Callable[..., Client]


def test_each_test_gets_a_fresh_migrated_database(database: str) -> None:
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT count(*) FROM tenant").fetchone() == (0,)


def test_a_killed_database_starts_again_with_what_it_had(own_postgres_server: Server) -> None:
    with psycopg.connect(own_postgres_server.dsn, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS n")
    own_postgres_server.kill()
    assert (own_postgres_server.postgres.data / "postmaster.pid").exists()
    own_postgres_server.start()
    with psycopg.connect(own_postgres_server.dsn) as connection:
        assert connection.execute("SELECT n FROM kept").fetchone() == (42,)


def test_a_pid_file_that_names_another_living_process_is_cleared(own_postgres_server: Server) -> None:
    pid_file = own_postgres_server.postgres.data / "postmaster.pid"
    own_postgres_server.kill()
    lines = pid_file.read_text().splitlines()
    pid_file.write_text("\n".join(["1", *lines[1:]]) + "\n")
    own_postgres_server.start()
    assert pid_file.read_text().splitlines()[0] == str(own_postgres_server.children[0].pid)


def test_the_database_refuses_a_wrong_password(postgres_server: Server) -> None:
    wrong = postgres_server.dsn.replace(":test@", ":wrong@")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(wrong)


def test_the_broker_refuses_a_client_without_a_password(any_broker: BrokerHandle, connect: Connect) -> None:
    assert connect(f"mqtt://127.0.0.1:{any_broker.port}").refused
    assert connect(any_broker.url, password="wrong").refused
    assert not connect(any_broker.url).refused


def test_a_device_speaks_up_and_hears_what_is_sent_down(any_broker: BrokerHandle, connect: Connect) -> None:
    platform, device = connect(any_broker.url), connect(any_broker.device_url)
    platform.subscribe("sp/v1/up/#")
    device.subscribe("sp/v1/dn/t/s/g/ack")
    assert device.publish("sp/v1/up/1/t/s/g/tel", b"up")
    assert platform.publish("sp/v1/dn/t/s/g/ack", b"down", retain=True)
    assert wait_until(lambda: platform.received == [("sp/v1/up/1/t/s/g/tel", b"up")], 10)
    assert wait_until(lambda: device.received == [("sp/v1/dn/t/s/g/ack", b"down")], 10)


def test_a_device_neither_speaks_down_nor_hears_its_neighbours(any_broker: BrokerHandle, connect: Connect) -> None:
    platform, device = connect(any_broker.url), connect(any_broker.device_url)
    platform.subscribe("sp/v1/#")
    device.subscribe("sp/v1/up/#")
    device.publish("sp/v1/dn/t/s/g/cmd", b"forged")
    spy = connect(any_broker.device_url)
    assert spy.publish("sp/v1/st/t/s/g", b"seen")
    assert wait_until(lambda: ("sp/v1/st/t/s/g", b"seen") in platform.received, 10)
    assert [topic for topic, _ in platform.received] == ["sp/v1/st/t/s/g"]
    assert platform.publish("sp/v1/up/1/t/s/g/tel", b"private")
    assert wait_until(lambda: ("sp/v1/up/1/t/s/g/tel", b"private") in platform.received, 10)
    assert device.received == []


def test_a_queue_outlives_a_restart_of_the_broker(any_broker: BrokerHandle, connect: Connect) -> None:
    absent = connect(any_broker.url, "absent", clean=False)
    absent.subscribe("sp/v1/up/#")
    absent.close()
    device = connect(any_broker.device_url)
    for number in range(20):
        assert device.publish("sp/v1/up/1/t/s/g/tel", b"%d" % number)
    device.close()
    any_broker.stop()
    any_broker.start()
    back = connect(any_broker.url, "absent", clean=False)
    assert wait_until(lambda: len(back.received) == 20, 10)
    assert [int(payload) for _, payload in back.received] == list(range(20))


def test_a_wiped_broker_has_forgotten_what_was_retained(any_broker: BrokerHandle, connect: Connect) -> None:
    platform = connect(any_broker.url)
    assert platform.publish("sp/v1/dn/t/s/g/ack", b"old", retain=True)
    platform.close()
    any_broker.kill()
    any_broker.wipe()
    any_broker.start()
    device, platform = connect(any_broker.device_url), connect(any_broker.url)
    device.subscribe("sp/v1/dn/#")
    assert platform.publish("sp/v1/dn/t/s/g/ack", b"new", retain=True)
    assert wait_until(lambda: bool(device.received), 10)
    assert [payload for _, payload in device.received] == [b"new"]
