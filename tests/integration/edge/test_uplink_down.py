"""Commands and configurations: acknowledged once they are stored, on both brokers, whatever happens between."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from contracts import topics
from contracts.topics import Down, Lane
from deploy.local.broker import Nats
from edge_agent.outbox.store import MemoryStore
from edge_agent.settings import parse_broker
from edge_agent.uplink.downlink import NotStoredError
from edge_agent.uplink.mqtt import DOWN_RECEIVE_MAX
from tests.integration.edge.frame_makers import telemetry
from tests.integration.edge.uplink_world import HERE, sending
from tests.integration.edge.waiting import wait_for
from tests.services.brokers import BrokerHandle
from tests.services.fake_broker import Manners, fake_broker

CMD, CFG = topics.down(HERE, Down.CMD), topics.down(HERE, Down.CFG)


class Keeper:
    """A consumer that stores what it is given, while its disk has room; ``gate`` stops it in the middle."""

    def __init__(self) -> None:
        self.stored: list[tuple[Down, bytes]] = []
        self.tried = 0
        self.is_full = False
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, kind: Down, payload: bytes) -> None:
        self.tried += 1
        assert self.gate.wait(20)
        if self.is_full:
            msg = "no space left on device"
            raise NotStoredError(msg)
        if payload == b"poison":
            msg = "a consumer with a defect"
            raise ValueError(msg)
        self.stored.append((kind, payload))


@contextmanager
def platform(url: str) -> Iterator[paho.Client]:
    """The platform's user, connected."""
    broker = parse_broker(url, "url")
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.username_pw_set(broker.username or "", broker.password)
    client.connect(broker.host, broker.port)
    client.loop_start()
    try:
        yield client
    finally:
        client.disconnect()
        client.loop_stop()


def tell(client: paho.Client, topic: str, payload: bytes, *, retain: bool = False) -> None:
    client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(10)


def store() -> MemoryStore:
    filled = MemoryStore("abcd1234")
    filled.put(Lane.TEL, telemetry(1.0, ep="abcd1234", seq=1))
    return filled


def test_commands_come_in_order_and_a_configuration_comes_with_every_connection(any_broker: BrokerHandle) -> None:
    with platform(any_broker.url) as client:
        tell(client, CFG, b"v7", retain=True)
        for _ in range(2):
            keeper = Keeper()
            with sending(store(), any_broker.device_url, on_down=keeper):
                wait_for(lambda: (Down.CFG, b"v7") in keeper.stored)  # noqa: B023 - waited for here
                tell(client, CMD, b"1")
                tell(client, CMD, b"2")
                wait_for(lambda: len(keeper.stored) == 3)  # noqa: B023 - waited for here
            assert keeper.stored[-2:] == [(Down.CMD, b"1"), (Down.CMD, b"2")]


def test_commands_wait_at_the_broker_for_a_gateway_that_is_away(any_broker: BrokerHandle) -> None:
    keeper = Keeper()
    with platform(any_broker.url) as client:
        with sending(store(), any_broker.device_url, on_down=keeper) as sender:
            wait_for(lambda: sender.counts.pubacks or sender.counts.holds)
        for number in range(30):
            tell(client, CMD, b"%d" % number)
        with sending(store(), any_broker.device_url, on_down=keeper):
            wait_for(lambda: len(keeper.stored) == 30)
    assert [payload for _, payload in keeper.stored] == [b"%d" % number for number in range(30)]


@pytest.fixture
def redelivering_broker(any_broker: BrokerHandle, monkeypatch: pytest.MonkeyPatch) -> BrokerHandle:
    """NATS gives out again what was not acknowledged after its ``ack_wait``: 5 minutes in our stacks, 2 s here."""
    if isinstance(any_broker.broker, Nats):
        given: dict[str, Any] = any_broker.broker._configuration()
        quick = given | {"mqtt": given["mqtt"] | {"ack_wait": "2s"}}
        monkeypatch.setattr(Nats, "_configuration", lambda _: quick)
        any_broker.stop()
        any_broker.start()
    return any_broker


def test_a_command_that_was_not_stored_yet_comes_again_to_the_next_life(redelivering_broker: BrokerHandle) -> None:
    """As when the agent is killed between receipt and fsync: nothing was acknowledged."""
    first, second = Keeper(), Keeper()
    with platform(redelivering_broker.url) as client:
        with sending(store(), redelivering_broker.device_url, on_down=first) as sender:
            wait_for(lambda: sender.counts.pubacks or sender.counts.holds)
            first.is_full = True
            tell(client, CMD, b"tare")
            wait_for(lambda: first.tried >= 1)
        with sending(store(), redelivering_broker.device_url, on_down=second):
            wait_for(lambda: second.stored == [(Down.CMD, b"tare")])
    assert first.stored == []


def test_what_could_not_be_stored_is_tried_again_and_what_follows_waits_behind_it(any_broker: BrokerHandle) -> None:
    keeper = Keeper()
    with platform(any_broker.url) as client, sending(store(), any_broker.device_url, on_down=keeper) as sender:
        wait_for(lambda: sender.counts.pubacks or sender.counts.holds)
        keeper.is_full = True
        for number in range(5):
            tell(client, CMD, b"%d" % number)
        wait_for(lambda: keeper.tried >= 2)
        keeper.is_full = False
        wait_for(lambda: len(keeper.stored) == 5)
        assert [payload for _, payload in keeper.stored] == [b"%d" % number for number in range(5)]
        assert sender.counts.connects == 1


def test_the_puback_of_a_command_follows_its_storing() -> None:
    keeper = Keeper()
    keeper.gate.clear()
    with fake_broker(Manners()) as broker, sending(store(), broker.url, on_down=keeper):
        wait_for(lambda: broker.filters)
        broker.send(CMD, b"tare", qos=1, mid=41)
        wait_for(lambda: keeper.tried == 1)
        assert broker.pubacks == []
        keeper.gate.set()
        wait_for(lambda: broker.pubacks == [41])
    assert keeper.stored == [(Down.CMD, b"tare")]


def test_a_consumer_with_a_defect_does_not_stop_the_readings() -> None:
    keeper = Keeper()
    with fake_broker(Manners()) as broker, sending(store(), broker.url, on_down=keeper) as sender:
        wait_for(lambda: broker.filters)
        broker.send(CMD, b"poison", qos=1, mid=1)
        broker.send(CMD, b"tare", qos=1, mid=2)
        wait_for(lambda: broker.pubacks == [1, 2])
        wait_for(lambda: sender.counts.pubacks == 1)
    assert keeper.stored == [(Down.CMD, b"tare")]


def test_what_nobody_listens_to_is_acknowledged_so_that_it_does_not_come_for_ever() -> None:
    with fake_broker(Manners()) as broker, sending(store(), broker.url) as sender:
        wait_for(lambda: broker.filters)
        broker.send(CMD, b"tare", qos=1, mid=7)
        wait_for(lambda: broker.pubacks == [7])
        assert sender.error is None


@pytest.mark.parametrize("count", [DOWN_RECEIVE_MAX + 20])
def test_a_broker_sends_no_more_than_we_have_room_for(broker: BrokerHandle, count: int) -> None:
    if broker.kind != "mosquitto":
        pytest.skip("only MQTT 5 has a receive maximum")
    keeper = Keeper()
    with platform(broker.url) as client, sending(store(), broker.device_url, on_down=keeper) as sender:
        wait_for(lambda: sender.counts.holds or sender.counts.pubacks)
        keeper.is_full = True
        for number in range(count):
            tell(client, CMD, b"%d" % number)
        keeper.is_full = False
        wait_for(lambda: len(keeper.stored) == count)
        assert [payload for _, payload in keeper.stored] == [b"%d" % number for number in range(count)]
