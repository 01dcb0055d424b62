"""The sender against real brokers: what was written is committed once and in order, whatever is lost between."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from contracts.frames import GapReason, decode
from contracts.presence import State
from contracts.topics import GatewayAddress, Lane
from edge_agent.outbox.file import Entry, Outbox
from edge_agent.outbox.store import MemoryStore
from edge_agent.uplink.session import PRESENCE_S
from tests.integration.edge.frame_makers import event, tel_entry, telemetry
from tests.integration.edge.tiny_platform import TinyPlatform, tiny_platform
from tests.integration.edge.uplink_world import HERE, HandClock, all_committed, sending
from tests.integration.edge.waiting import wait_for
from tests.services.brokers import BrokerHandle

TEL, EVT, BULK = Lane.TEL, Lane.EVT, Lane.BULK


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    box = Outbox(tmp_path / "outbox.db", machine="machine-1", max_bytes=1 << 30)
    box.open()
    yield box
    box.close()


@pytest.fixture
def quick_stalls(monkeypatch: pytest.MonkeyPatch) -> None:
    """The waits of the protocol, a thousand times shorter for those who wait in a test."""
    monkeypatch.setattr("edge_agent.uplink.window.STALL_S", (0.3, 0.4, 0.5))


def write(outbox: Outbox, first: int, count: int, lane: Lane = TEL) -> None:
    outbox.write([tel_entry(float(k), lane=lane) for k in range(first, first + count)])


def test_everything_is_committed_in_order_and_the_outbox_is_empty(any_broker: BrokerHandle, outbox: Outbox) -> None:
    with tiny_platform(any_broker.url, HERE) as platform, sending(outbox, any_broker.device_url):
        write(outbox, 0, 500)
        outbox.write([Entry(EVT, event(k), 0) for k in range(20)])
        wait_for(all_committed(outbox))
        assert platform.values() == [float(k) for k in range(500)]
        assert platform.digest(TEL, outbox.ep) == int(outbox.sent()["tel"].digest, 16)
        assert platform.digest(EVT, outbox.ep) == int(outbox.sent()["evt"].digest, 16)
    outbox.write([])
    assert outbox.depth().frames == 0


def test_frames_stay_until_the_platform_has_committed_them(any_broker: BrokerHandle, outbox: Outbox) -> None:
    with tiny_platform(any_broker.url, HERE) as platform, sending(outbox, any_broker.device_url) as sender:
        platform.is_deaf = True
        write(outbox, 0, 30)
        wait_for(lambda: sender.counts.pubacks >= 30)
        assert outbox.depth().frames == 30


def test_a_broker_that_loses_everything_costs_nothing(any_broker: BrokerHandle, outbox: Outbox) -> None:
    with tiny_platform(any_broker.url, HERE) as platform, sending(outbox, any_broker.device_url) as sender:
        write(outbox, 0, 200)
        wait_for(lambda: len(platform.values()) >= 50)
        platform.is_deaf = True
        write(outbox, 200, 200)
        wait_for(lambda: sender.counts.pubacks > 210)
        any_broker.kill()
        any_broker.wipe()
        wait_for(lambda: not sender.is_connected)
        assert sender.is_offline
        write(outbox, 0, 100, BULK)
        platform.is_deaf = False
        any_broker.start()
        wait_for(all_committed(outbox), 40)
        assert platform.values() == [float(k) for k in range(400)]
        assert platform.values(BULK) == [float(k) for k in range(100)]


@pytest.mark.usefixtures("quick_stalls")
def test_frames_that_nobody_committed_come_again_without_a_reconnect(any_broker: BrokerHandle, outbox: Outbox) -> None:
    with tiny_platform(any_broker.url, HERE) as platform, sending(outbox, any_broker.device_url) as sender:
        platform.is_deaf = True
        write(outbox, 0, 150)
        wait_for(lambda: sender.counts.pubacks >= 150)
        platform.is_deaf = False
        wait_for(all_committed(outbox))
        assert sender.counts.go_backs > 0
        assert sender.counts.connects == 1
        assert platform.values() == [float(k) for k in range(150)]


def test_live_frames_overtake_a_backlog(any_broker: BrokerHandle, outbox: Outbox) -> None:
    write(outbox, 0, 2_000, BULK)
    write(outbox, 0, 10)
    with tiny_platform(any_broker.url, HERE) as platform, sending(outbox, any_broker.device_url):
        wait_for(lambda: len(platform.values()) == 10)
        assert len(platform.values(BULK)) < 2_000
        wait_for(all_committed(outbox), 40)


@pytest.mark.usefixtures("quick_stalls")
def test_a_frame_that_never_passes_is_replaced_by_a_declared_gap(any_broker: BrokerHandle, outbox: Outbox) -> None:
    class Picky(TinyPlatform):
        def _take(self, lane: Lane, frame: object) -> None:
            if getattr(frame, "x", None) == [3.0]:
                self._dirty = True  # dropped: the ack is said again, unchanged
                return
            super()._take(lane, frame)  # type: ignore[arg-type]

    with tiny_platform(any_broker.url, HERE, Picky) as platform, sending(outbox, any_broker.device_url) as sender:
        write(outbox, 0, 6)
        wait_for(all_committed(outbox), 40)
        assert sender.counts.refused == 1
        frames = platform.committed[TEL, outbox.ep]
        assert [(f.seq, f.gap and f.gap.reason) for f in frames] == [
            (1, None), (2, None), (3, None), (4, GapReason.REFUSED), (5, None), (6, None),
        ]  # fmt: skip
        assert platform.digest(TEL, outbox.ep) == int(outbox.sent()["tel"].digest, 16)


def test_a_restored_database_is_told_what_is_gone(any_broker: BrokerHandle, outbox: Outbox) -> None:
    with tiny_platform(any_broker.url, HERE) as platform, sending(outbox, any_broker.device_url):
        write(outbox, 0, 20)
        wait_for(all_committed(outbox))
        outbox.write([])
        platform.restore(TEL, 12)
        wait_for(lambda: platform.watermarks[TEL] == (outbox.ep, 20))
        gap = platform.committed[TEL, outbox.ep][-1].gap
        assert gap is not None
        assert (gap.from_, gap.to, gap.reason) == (13, 20, GapReason.RELEASED)
        write(outbox, 20, 5)
        wait_for(all_committed(outbox))
        assert platform.values()[-5:] == [20.0, 21.0, 22.0, 23.0, 24.0]


def test_a_platform_that_knows_more_than_the_file_gets_a_new_incarnation(
    any_broker: BrokerHandle, outbox: Outbox
) -> None:
    with tiny_platform(any_broker.url, HERE) as platform, sending(outbox, any_broker.device_url):
        write(outbox, 0, 5)
        wait_for(all_committed(outbox))
        old = outbox.ep
        platform.restore(TEL, 50)
        wait_for(lambda: outbox.ep != old)
        write(outbox, 100, 5)
        wait_for(all_committed(outbox))
        assert platform.watermarks[TEL] == (outbox.ep, 5)
        assert platform.values()[-1] == 104.0
        first = platform.committed[TEL, outbox.ep][0]
        assert first.prev is not None
        assert (first.prev.ep, first.prev.seq) == (old, 5)


def test_acks_of_another_incarnation_are_ignored(any_broker: BrokerHandle, outbox: Outbox) -> None:
    with tiny_platform(any_broker.url, HERE) as platform, sending(outbox, any_broker.device_url) as sender:
        platform.watermarks[TEL] = ("other1", 999)
        platform._dirty = True
        wait_for(lambda: sender.counts.foreign_acks > 0)
        assert outbox.marks()[TEL].committed == 0
        write(outbox, 0, 5)
        wait_for(all_committed(outbox))


def test_nobody_listens_and_nothing_is_lost(outbox: Outbox, broker: BrokerHandle) -> None:
    if broker.kind != "mosquitto":
        pytest.skip("only MQTT 5 says that nobody listens")
    with sending(outbox, broker.device_url) as sender:
        write(outbox, 0, 100)
        wait_for(lambda: sender.counts.holds >= 2)
        assert sender.counts.published < 100, "held, not poured out"
        with tiny_platform(broker.url, HERE) as platform:
            wait_for(all_committed(outbox), 40)
            assert platform.values() == [float(k) for k in range(100)]


def test_presence_tells_the_account_and_the_clock_and_the_end(any_broker: BrokerHandle, outbox: Outbox) -> None:
    write(outbox, 0, 3)
    with tiny_platform(any_broker.url, HERE) as platform:
        with sending(outbox, any_broker.device_url):
            wait_for(lambda: any(p.state is State.ONLINE for p in platform.presences))
            wait_for(all_committed(outbox))
        wait_for(lambda: platform.presences[-1].state is State.OFFLINE)
        online = next(p for p in platform.presences if p.state is State.ONLINE)
        assert online.sent["tel"].seq == 3
        assert online.sent["tel"].digest == outbox.sent()["tel"].digest
        assert online.utc is not None
        assert online.boot == HandClock().boot
        assert platform.presences[-1].since > 0


def test_presence_comes_again_as_soon_as_the_clock_can_be_believed(any_broker: BrokerHandle, outbox: Outbox) -> None:
    clock = HandClock(synced=False)
    with tiny_platform(any_broker.url, HERE) as platform, sending(outbox, any_broker.device_url, clock=clock):
        wait_for(lambda: any(p.state is State.ONLINE for p in platform.presences))
        assert platform.presences[-1].utc is None
        clock.synced = True
        wait_for(lambda: platform.presences[-1].utc is not None, PRESENCE_S / 2)


def test_a_recording_is_sent_from_memory_from_where_the_platform_stands(any_broker: BrokerHandle) -> None:
    def recording() -> MemoryStore:
        store = MemoryStore("abcd1234")
        for seq in range(1, 301):
            store.put(TEL, telemetry(float(seq), ep="abcd1234", seq=seq))
        return store

    with tiny_platform(any_broker.url, HERE) as platform:
        first = recording()
        with sending(first, any_broker.device_url):
            wait_for(all_committed(first))
        again = recording()
        again.put(TEL, telemetry(301.0, ep="abcd1234", seq=301))
        with sending(again, any_broker.device_url):
            wait_for(all_committed(again))
        assert platform.values() == [float(k) for k in range(1, 302)]
        assert platform.duplicates == 0, "the retained ack came first"


def test_payloads_leave_as_they_were_written(any_broker: BrokerHandle, outbox: Outbox) -> None:
    write(outbox, 0, 3)
    stored = [decode(TEL, each.payload) for each in outbox.read(TEL, 0, 9)]
    with tiny_platform(any_broker.url, HERE) as platform, sending(outbox, any_broker.device_url):
        wait_for(all_committed(outbox))
        assert list(map(msgspec.json.encode, platform.committed[TEL, outbox.ep])) == list(
            map(msgspec.json.encode, stored)
        )


def test_each_gateway_keeps_to_its_own_names(any_broker: BrokerHandle, tmp_path: Path) -> None:
    boxes = []
    for name in ("a", "b"):
        box = Outbox(tmp_path / f"{name}.db", machine="m", max_bytes=1 << 30)
        box.open()
        boxes.append(box)
    there = GatewayAddress("demo", "store-02", "gw-02")
    with (
        tiny_platform(any_broker.url, HERE),
        sending(boxes[0], any_broker.device_url),
        sending(boxes[1], any_broker.device_url, there),
    ):
        for box, k in itertools.product(boxes, range(3)):
            write(box, k, 1)
        wait_for(all_committed(boxes[0]))
        assert boxes[1].depth().frames == 3, "the ack of one gateway frees nothing of another"
    for box in boxes:
        box.close()
