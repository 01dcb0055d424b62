"""The sender through a bad network to real brokers: half-open connections are noticed, and nothing is lost."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from contracts.topics import Lane
from edge_agent.outbox.store import MemoryStore
from edge_agent.settings import Broker, parse_broker
from simulators.faults import Direction, FaultProxy, running_proxy
from tests.integration.edge.frame_makers import telemetry
from tests.integration.edge.tiny_platform import TinyPlatform, tiny_platform
from tests.integration.edge.uplink_world import HERE, all_committed, sending
from tests.integration.edge.waiting import wait_for
from tests.services.brokers import BrokerHandle

EP = "abcd1234"
KEEPALIVE_S = 1
NOTICED_S = 2 * KEEPALIVE_S + 3
"""A ping after one keepalive, its answer missed after another; looked at once a second."""


@pytest.fixture
def short_keepalive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_agent.uplink.mqtt.KEEPALIVE_S", KEEPALIVE_S)


def put(store: MemoryStore, first: int, count: int, readings: int = 1) -> None:
    for seq in range(first, first + count):
        store.put(Lane.TEL, telemetry(float(seq), ep=EP, seq=seq, readings=readings))


@contextmanager
def behind_proxy(handle: BrokerHandle) -> Iterator[tuple[FaultProxy, Broker, TinyPlatform]]:
    """The gateway comes through the proxy, the platform does not."""
    device = parse_broker(handle.device_url, "url")
    with tiny_platform(handle.url, HERE) as platform, running_proxy(device.host, device.port) as proxy:
        yield proxy, replace(device, port=proxy.port), platform


@pytest.mark.usefixtures("short_keepalive")
@pytest.mark.parametrize("directions", [{Direction.UP}, {Direction.DOWN}, set(Direction)], ids=["up", "down", "both"])
@pytest.mark.parametrize("traffic", ["idle", "busy"])
def test_a_half_open_connection_is_noticed_within_two_keepalives(
    any_broker: BrokerHandle, directions: set[Direction], traffic: str
) -> None:
    store = MemoryStore(EP)
    put(store, 1, 20)
    with behind_proxy(any_broker) as (proxy, broker, platform), sending(store, broker) as sender:
        wait_for(all_committed(store))
        proxy.blackholes = frozenset(directions)
        if traffic == "busy":
            put(store, 21, 500)
        started_s = time.monotonic()
        wait_for(lambda: not sender.is_connected, NOTICED_S)
        assert time.monotonic() - started_s >= KEEPALIVE_S / 2, "not for another reason"
        if traffic == "idle":
            put(store, 21, 500)
        proxy.cut()
        proxy.blackholes = frozenset()
        wait_for(all_committed(store), 30)
        assert platform.values() == [float(seq) for seq in range(1, 521)]


def test_a_sender_that_somebody_waits_for_does_not_sit_out_its_pause(broker: BrokerHandle) -> None:
    store = MemoryStore(EP)
    put(store, 1, 20)
    with behind_proxy(broker) as (proxy, address, _platform):
        proxy.refusing = True
        # A number that is none: a pause of a quarter of an hour at once.
        with sending(store, address, jitter=lambda: 1_000.0) as sender:
            wait_for(lambda: sender.counts.failures == 1, 30)
            proxy.refusing = False
            sender.hurry()
            wait_for(all_committed(store), 60)


def test_a_sender_in_front_of_a_black_hole_stops_at_once(broker: BrokerHandle) -> None:
    store = MemoryStore(EP)
    put(store, 1, 20)
    with behind_proxy(broker) as (proxy, address, _platform):
        with sending(store, address) as sender:
            wait_for(all_committed(store))
            proxy.blackholes = frozenset(Direction)
            put(store, 21, 2_000, readings=50)
            wait_for(lambda: sender.counts.published > 20)
            started_s = time.monotonic()
        assert time.monotonic() - started_s < 5


@pytest.mark.parametrize("fault", ["latency", "slices", "thin line"])
def test_a_slow_network_slows_and_loses_nothing(any_broker: BrokerHandle, fault: str) -> None:
    store = MemoryStore(EP)
    put(store, 1, 300, readings=10)
    with behind_proxy(any_broker) as (proxy, broker, platform):
        proxy.latency_s = 0.3 if fault == "latency" else 0.0
        proxy.slice_bytes = 60 if fault == "slices" else 0
        proxy.bytes_per_s = 30_000 if fault == "thin line" else 0
        with sending(store, broker) as sender:
            wait_for(all_committed(store), 60)
            assert sender.counts.connects == 1
            assert platform.duplicates == 0, "the retained ack was waited for, and nothing sent twice"
        assert len(platform.committed[Lane.TEL, EP]) == 300


def test_connections_that_are_reset_again_and_again_cost_nothing(any_broker: BrokerHandle) -> None:
    store = MemoryStore(EP)
    with behind_proxy(any_broker) as (proxy, broker, platform), sending(store, broker, jitter=lambda: 0.02) as sender:
        for number in range(6):
            wait_for(lambda: sender.is_connected)
            put(store, 1 + 200 * number, 200)
            wait_for(lambda number=number: len(platform.values()) > 200 * number)  # type: ignore[misc]  # bound here
            proxy.cut()
        wait_for(all_committed(store), 40)
        assert platform.values() == [float(seq) for seq in range(1, 1_201)]
