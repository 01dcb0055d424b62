"""What a gateway is told over a real broker."""

import threading
import time

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from contracts import acks, topics
from contracts.topics import Down, GatewayAddress, Lane
from deploy.local.deadline import wait_until
from stream.ack_publisher import AckPublisher
from stream.fence import Standing
from stream.settings import Broker, StreamSettings
from tests.services.brokers import BrokerHandle

ADDRESS = GatewayAddress("acme", "store-01", "gw-1")
DEADLINE_S = 20


@pytest.fixture
def where(broker: BrokerHandle) -> Broker:
    return StreamSettings(dsn="postgresql://unused", mqtt_url=broker.url).broker


def last_told(where: Broker, publisher: AckPublisher, wanted: acks.Watermark) -> list[acks.Watermark]:
    """Watermarks of lane evt that a gateway hears from now on, up to ``wanted``."""
    heard: list[acks.Watermark] = []
    done, subscribed = threading.Event(), threading.Event()
    client = Client(CallbackAPIVersion.VERSION2, client_id="acme.gw-1")
    client.username_pw_set(where.user, where.password)

    def on_message(_client: Client, _data: object, message: MQTTMessage) -> None:
        heard.append(acks.decode(bytes(message.payload)).a[Lane.EVT])
        if heard[-1] == wanted:
            done.set()

    def on_connect(client: Client, *_: object) -> None:
        client.subscribe(topics.down(ADDRESS, Down.ACK), qos=1)

    client.on_message = on_message
    client.on_connect = on_connect
    client.on_subscribe = lambda *_: subscribed.set()
    client.connect(where.host, where.port)
    client.loop_start()
    try:
        assert subscribed.wait(DEADLINE_S)
        publisher.start()
        assert done.wait(DEADLINE_S), heard
        publisher.close()
    finally:
        client.disconnect()
        client.loop_stop()
    return heard


def test_a_watermark_told_again_late_does_not_take_back_a_newer_one(where: Broker) -> None:
    publisher = AckPublisher(where, "acks-under-test", {}, lambda: Standing.HELD)
    publisher.tell(ADDRESS, {Lane.EVT: ("k3v9q2", 5)})
    publisher.tell(ADDRESS, {Lane.EVT: ("k3v9q2", 3)})
    assert last_told(where, publisher, ("k3v9q2", 5)) == [("k3v9q2", 5)]


def test_a_new_incarnation_begins_below_the_old_one(where: Broker) -> None:
    publisher = AckPublisher(where, "acks-under-test", {}, lambda: Standing.HELD)
    publisher.tell(ADDRESS, {Lane.EVT: ("k3v9q2", 5)})
    publisher.tell(ADDRESS, {Lane.EVT: ("m4w0r3", 1)})
    assert last_told(where, publisher, ("m4w0r3", 1)) == [("m4w0r3", 1)]


def retained(where: Broker, within_s: float = DEADLINE_S) -> acks.Watermark | None:
    """What a gateway that connects now is told about lane evt; None when nothing is retained."""
    heard: list[acks.Watermark] = []
    done = threading.Event()
    client = Client(CallbackAPIVersion.VERSION2)
    client.username_pw_set(where.user, where.password)

    def on_message(_client: Client, _data: object, message: MQTTMessage) -> None:
        heard.append(acks.decode(bytes(message.payload)).a[Lane.EVT])
        done.set()

    client.on_message = on_message
    client.on_connect = lambda client, *_: client.subscribe(topics.down(ADDRESS, Down.ACK), qos=1)
    client.connect(where.host, where.port)
    client.loop_start()
    try:
        done.wait(within_s)
    finally:
        client.disconnect()
        client.loop_stop()
    return heard[-1] if heard else None


def test_what_was_told_is_told_again_to_a_broker_that_forgot_it(where: Broker, broker: BrokerHandle) -> None:
    publisher = AckPublisher(where, "acks-under-test", {}, lambda: Standing.HELD)
    publisher.tell(ADDRESS, {Lane.EVT: ("k3v9q2", 5)})
    publisher.start()
    try:
        assert wait_until(lambda: retained(where, 0.5) == ("k3v9q2", 5), DEADLINE_S)
        broker.kill()
        broker.wipe()
        broker.start()
        assert wait_until(lambda: retained(where, 0.5) == ("k3v9q2", 5), DEADLINE_S)
    finally:
        publisher.close()


def test_a_stream_that_was_fenced_off_says_nothing_after_a_reconnect(where: Broker, broker: BrokerHandle) -> None:
    standing = [Standing.HELD]
    deposed = AckPublisher(where, "acks-under-test", {}, lambda: standing[0])
    deposed.tell(ADDRESS, {Lane.EVT: ("k3v9q2", 5)})
    deposed.start()
    owner = AckPublisher(where, "acks-of-the-owner", {}, lambda: Standing.HELD)
    try:
        assert wait_until(lambda: retained(where, 0.5) == ("k3v9q2", 5), DEADLINE_S)
        standing[0] = Standing.UNKNOWN
        broker.kill()
        broker.wipe()
        broker.start()
        owner.tell(ADDRESS, {Lane.EVT: ("k3v9q2", 9)})
        owner.start()
        assert wait_until(lambda: retained(where, 0.5) == ("k3v9q2", 9), DEADLINE_S)
        standing[0] = Standing.LOST
        assert wait_until(lambda: deposed.is_fenced, DEADLINE_S)
        assert retained(where) == ("k3v9q2", 9)
    finally:
        owner.close()
        deposed.close()
    assert retained(where) == ("k3v9q2", 9)


def test_a_gateway_is_told_once_a_second_and_the_last_is_not_withheld(where: Broker) -> None:
    publisher = AckPublisher(where, "acks-under-test", {}, lambda: Standing.HELD)
    done = threading.Event()

    def commit() -> None:
        for seq in range(1, 101):
            publisher.tell(ADDRESS, {Lane.EVT: ("k3v9q2", seq)})
            done.wait(0.01)

    committing = threading.Thread(target=commit)
    committing.start()
    heard = last_told(where, publisher, ("k3v9q2", 100))
    committing.join()
    # A hundred commits within a second or little more.
    assert len(heard) <= 10


def test_a_gateway_that_drains_a_backlog_is_told_as_soon_as_half_its_window_is_committed(where: Broker) -> None:
    publisher = AckPublisher(where, "acks-under-test", {}, lambda: Standing.HELD)
    publisher.tell(ADDRESS, {Lane.EVT: ("k3v9q2", 1)})
    halves, took_s = 16, [0.0]

    def commit() -> None:
        assert wait_until(lambda: not publisher.owes(ADDRESS), DEADLINE_S)
        began_s = time.monotonic()
        for number in range(1, halves + 1):
            publisher.tell(ADDRESS, {Lane.EVT: ("k3v9q2", 1 + number * acks.ACK_SOONER_FRAMES)})
            assert wait_until(lambda: not publisher.owes(ADDRESS), DEADLINE_S)
        took_s[0] = time.monotonic() - began_s

    committing = threading.Thread(target=commit)
    committing.start()
    last_told(where, publisher, ("k3v9q2", 1 + halves * acks.ACK_SOONER_FRAMES))
    committing.join()
    # One a second would take all of the intervals.
    assert 0 < took_s[0] < halves * acks.ACK_INTERVAL_S / 2
