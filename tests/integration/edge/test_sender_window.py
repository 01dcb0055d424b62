"""The sender against a broker that measures and misbehaves: windows hold, nothing is lost, lanes keep their order."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import pytest
from structlog.testing import capture_logs

from contracts import acks, topics
from contracts.acks import AWAITING_PUBACK_MAX, UNCOMMITTED_MAX
from contracts.frames import AnyFrame, decode
from contracts.topics import Down, Lane
from edge_agent.outbox.store import MemoryStore
from edge_agent.uplink.counts import Alarm
from tests.integration.edge.frame_makers import telemetry
from tests.integration.edge.uplink_world import HERE, all_committed, sending
from tests.integration.edge.waiting import wait_for
from tests.services.fake_broker import FakeBroker, Manners, fake_broker
from tests.services.mqtt_packets import Property, Publish, disconnect, puback

EP = "abcd1234"
TEL, BULK = Lane.TEL, Lane.BULK


REFUSALS = AWAITING_PUBACK_MAX + 2
"""A whole window, and two tries with one frame."""


def backlog(frames: int, lane: Lane = TEL, store: MemoryStore | None = None) -> MemoryStore:
    store = store or MemoryStore(EP)
    for seq in range(1, frames + 1):
        store.put(lane, telemetry(float(seq), ep=EP, seq=seq))
    return store


def frames_of(published: list[Publish], lane: Lane = TEL) -> list[int]:
    """Sequence numbers of what was published to a lane."""
    topic = topics.up(HERE, lane)
    return [decode(lane, each.payload).seq for each in published if each.topic == topic]


@dataclass
class Platform:
    """Commits what a fake broker took, in order and once, and says so through it."""

    committed: dict[Lane, list[int]] = field(default_factory=lambda: {lane: [] for lane in Lane})
    loses: Callable[[], bool] = lambda: False

    def take(self, message: Publish) -> None:
        if not message.topic.startswith("sp/v1/up/") or self.loses():
            return
        lane = topics.parse_up(message.topic).lane
        frame: AnyFrame = decode(lane, message.payload)
        done = self.committed[lane]
        if frame.seq == len(done) + 1:
            done.append(frame.seq)

    def acknowledge(self, broker: FakeBroker) -> None:
        payload = acks.encode({lane: (EP, len(done)) for lane, done in self.committed.items()})
        topic = topics.down(HERE, Down.ACK)
        with broker.lock:
            broker.retained[topic] = payload
            broker.send(topic, payload)


@contextmanager
def platform_behind(
    *manners: Manners, loses: Callable[[], bool] = lambda: False
) -> Iterator[tuple[FakeBroker, Platform]]:
    platform = Platform(loses=loses)
    with fake_broker(*manners, take=platform.take) as broker:
        yield broker, platform


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The waits of the protocol, a hundred times shorter for those who wait in a test."""
    monkeypatch.setattr("edge_agent.uplink.window.STALL_S", (0.15, 0.3, 0.6))
    monkeypatch.setattr("edge_agent.uplink.window.HOLD_FIRST_S", 0.05)
    monkeypatch.setattr("edge_agent.uplink.session.GREETING_S", 0.05)
    monkeypatch.setattr("edge_agent.uplink.sender.slow_delay_s", lambda attempt, _jitter: 0.3 + 0.01 * attempt)


@pytest.mark.parametrize("receive_max", [1, 2, 19, 64, 65_535])
def test_never_more_than_the_broker_allows_await_their_puback(receive_max: int) -> None:
    """With a backlog of 10,000 on connect, which is when a careless client pours out its queue."""
    manners = Manners(limits={Property.RECEIVE_MAXIMUM: receive_max}, batch=max(1, receive_max // 3))
    store = backlog(10_000)
    with platform_behind(manners) as (broker, platform), sending(store, broker.url) as sender:
        wait_for(lambda: sender.counts.pubacks >= min(300, 20 * receive_max))
        platform.acknowledge(broker)
        wait_for(lambda: store.marks()[TEL].committed > 0)
    assert max(broker.most_awaiting) == min(receive_max, AWAITING_PUBACK_MAX), "all of it is used, and no more"


def test_mqtt_3_says_nothing_of_a_window_and_gets_the_protocols_own() -> None:
    with platform_behind(Manners(versions=(4,))) as (broker, _), sending(backlog(10_000), broker.url) as sender:
        wait_for(lambda: sender.counts.pubacks >= 500)
    assert max(broker.most_awaiting) == AWAITING_PUBACK_MAX
    assert [version for version, _ in broker.connects] == [5, 4], "5 is tried first"


def test_at_most_4096_frames_are_out_before_the_platform_speaks() -> None:
    with platform_behind() as (broker, platform), sending(backlog(10_000), broker.url) as sender:
        wait_for(lambda: sender.counts.pubacks == UNCOMMITTED_MAX)
        assert frames_of(broker.publishes[-1]) == list(range(1, UNCOMMITTED_MAX + 1))
        platform.acknowledge(broker)
        wait_for(lambda: sender.counts.pubacks == 2 * UNCOMMITTED_MAX)


def test_a_broker_that_withholds_pubacks_gets_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_agent.uplink.session.PUBACK_TIMEOUT_S", 1.5)
    silent = Manners(puback=lambda _: None)
    with platform_behind(silent) as (broker, _), sending(backlog(1_000), broker.url) as sender:
        wait_for(lambda: broker.most_awaiting[:1] == [AWAITING_PUBACK_MAX])
        wait_for(lambda: sender.counts.connects >= 2)
    assert broker.most_awaiting[0] == AWAITING_PUBACK_MAX, "and is given up, though it answers pings"


def test_live_frames_go_before_a_backlog() -> None:
    store = backlog(20, TEL, backlog(5_000, BULK))
    with platform_behind(Manners(batch=1)) as (broker, _), sending(store, broker.url) as sender:
        wait_for(lambda: sender.counts.pubacks >= 30)
        published = [each.topic for each in broker.publishes[0] if "/up/" in each.topic]
    assert published[:21] == [topics.up(HERE, TEL)] * 20 + [topics.up(HERE, BULK)]


@pytest.mark.usefixtures("short_waits")
def test_a_new_connection_begins_behind_the_watermark_with_a_fresh_window() -> None:
    drops = Manners(ends_after=200, batch=40)
    store = backlog(1_000)
    with platform_behind(drops, Manners()) as (broker, platform), sending(store, broker.url):
        wait_for(lambda: len(broker.connects) == 1 and len(broker.publishes[0]) == 200)
        platform.acknowledge(broker)
        wait_for(lambda: len(broker.connects) == 2)
        wait_for(lambda: len(frames_of(broker.publishes[1])) > 0)
        assert (
            frames_of(broker.publishes[1])[0] == len(platform.committed[TEL]) + 1 or store.marks()[TEL].committed == 0
        )
    assert not any(each.dup for each in broker.publishes[1]), "nothing of the old client's queue"


@pytest.mark.usefixtures("short_waits")
@pytest.mark.parametrize(
    ("code", "alarm"), [(0x10, None), (0x97, None), (0x80, None), (0x87, Alarm.DENIED), (0x90, Alarm.DENIED)]
)
def test_a_refused_publish_is_held_and_comes_again_in_order(code: int, alarm: Alarm | None) -> None:
    answers = iter([code] * REFUSALS)

    def answer(message: Publish) -> int:
        return next(answers, 0) if "/up/" in message.topic else 0

    store = backlog(200)
    with (
        capture_logs() as logs,
        platform_behind(Manners(puback=answer)) as (broker, platform),
        sending(store, broker.url) as sender,
    ):
        wait_for(lambda: len(platform.committed[TEL]) == 200)
        platform.acknowledge(broker)
        wait_for(all_committed(store))
        assert sender.counts.holds == REFUSALS
        again = AWAITING_PUBACK_MAX * sender.counts.go_backs  # a slow machine: no ack for a while
        assert sender.counts.published <= REFUSALS + 200 + again, "held, not poured out"
        assert sender.alarms == {}, "over, now that frames are taken"
    told = {entry["alarm"] for entry in logs if entry["event"] == "uplink_alarm"}
    assert told == ({alarm.value} if alarm else set())


@pytest.mark.usefixtures("short_waits")
@pytest.mark.parametrize("code", [0x86, 0x87, 0x8A])
def test_a_broker_that_does_not_let_us_in_raises_one_alarm_and_is_asked_slowly(code: int) -> None:
    refusing = [Manners(code=code)] * 3
    with capture_logs() as logs, fake_broker(*refusing, Manners()) as broker, sending(backlog(5), broker.url) as sender:
        wait_for(lambda: Alarm.REFUSED in sender.alarms)
        wait_for(lambda: sender.is_connected)
        assert sender.alarms == {}
    assert len(broker.connects) == 4
    assert [entry["alarm"] for entry in logs if entry["event"] == "uplink_alarm"] == ["refused"]


@pytest.mark.usefixtures("short_waits")
@pytest.mark.parametrize(
    ("code", "alarm"),
    [
        (0x8E, Alarm.TAKEN_OVER),
        (0x9C, Alarm.MOVED),
        (0x9D, Alarm.MOVED),
        (0x95, Alarm.REFUSED),
        (0x8B, None),
        (0x89, None),
    ],
)
def test_a_broker_that_ends_the_connection_is_understood(code: int, alarm: Alarm | None) -> None:
    ended = Manners(ends_after=3, ending=disconnect(code))
    store = backlog(100)
    with (
        capture_logs() as logs,
        platform_behind(ended, Manners()) as (broker, platform),
        sending(store, broker.url),
    ):
        wait_for(lambda: len(platform.committed[TEL]) == 100)
        platform.acknowledge(broker)
        wait_for(all_committed(store))
    assert [entry["alarm"] for entry in logs if entry["event"] == "uplink_alarm"] == ([alarm.value] if alarm else [])


@pytest.mark.usefixtures("short_waits")
def test_another_broker_is_named_in_the_alarm_and_not_followed() -> None:
    elsewhere = Manners(code=0x9D, limits={Property.SERVER_REFERENCE: "evil.example:1883"})
    with fake_broker(elsewhere) as broker, sending(backlog(1), broker.url) as sender:
        wait_for(lambda: Alarm.MOVED in sender.alarms)
        assert "evil.example:1883" in sender.alarms[Alarm.MOVED]
        wait_for(lambda: len(broker.connects) >= 2)


@pytest.mark.usefixtures("short_waits")
@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ({Property.MAXIMUM_QOS: 0}, "QoS 0 only"),
        ({Property.RETAIN_AVAILABLE: 0}, "no retained messages"),
        ({Property.MAXIMUM_PACKET_SIZE: 512}, "packets of 512 bytes"),
    ],
)
def test_a_broker_that_cannot_do_what_the_protocol_needs_gets_nothing(
    limits: dict[Property, int | str], told: str
) -> None:
    with fake_broker(Manners(limits=limits)) as broker, sending(backlog(5), broker.url) as sender:
        wait_for(lambda: told in sender.alarms.get(Alarm.UNFIT, ""))
    assert broker.publishes[0] == []


def test_a_frame_over_the_brokers_packet_size_holds_its_lane_only() -> None:
    store = backlog(3)
    store.put(TEL, telemetry(4.0, ep=EP, seq=4, readings=2_000))
    backlog(5, BULK, store)
    small = Manners(limits={Property.MAXIMUM_PACKET_SIZE: 8_000})
    with platform_behind(small) as (broker, platform), sending(store, broker.url) as sender:
        wait_for(lambda: Alarm.UNFIT in sender.alarms)
        wait_for(lambda: len(platform.committed[BULK]) == 5)
        assert platform.committed[TEL] == [1, 2, 3]
        assert sender.counts.connects == 1


def test_a_subscription_that_is_denied_is_an_alarm() -> None:
    with fake_broker(Manners(suback=0x87)) as broker, sending(backlog(5), broker.url) as sender:
        wait_for(lambda: topics.down(HERE, Down.ACK) in sender.alarms.get(Alarm.DENIED, ""))


@pytest.mark.usefixtures("short_waits")
def test_a_broker_that_hangs_up_on_mqtt_5_is_spoken_to_in_3() -> None:
    with platform_behind(Manners(hangs_up_on=(5,))) as (broker, _), sending(backlog(5), broker.url) as sender:
        wait_for(lambda: sender.counts.pubacks >= 5)
    assert [version for version, _ in broker.connects] == [5, 4]


@pytest.mark.usefixtures("short_waits")
def test_once_mqtt_5_has_worked_a_hang_up_does_not_take_it_back() -> None:
    manners = (Manners(ends_after=2), Manners(hangs_up_on=(5,)), Manners())
    with platform_behind(*manners) as (broker, _), sending(backlog(50), broker.url) as sender:
        wait_for(lambda: sender.counts.connects == 2)
    assert [version for version, _ in broker.connects] == [5, 5, 5]


@pytest.mark.usefixtures("short_waits")
def test_a_client_id_that_is_refused_is_tried_without_the_full_stop() -> None:
    with platform_behind(Manners(code=0x85), Manners()) as (broker, _), sending(backlog(1), broker.url) as sender:
        wait_for(lambda: sender.is_connected)
    assert [client_id for _, client_id in broker.connects] == ["demo.gw-01", "demo/gw-01"]


def test_an_ack_of_another_incarnation_of_our_own_lane_is_an_alarm() -> None:
    store = backlog(5)
    with platform_behind() as (broker, platform), sending(store, broker.url) as sender:
        wait_for(lambda: len(platform.committed[TEL]) == 5)
        platform.acknowledge(broker)
        wait_for(all_committed(store))
        broker.send(topics.down(HERE, Down.ACK), acks.encode({TEL: ("other123", 7)}))
        wait_for(lambda: Alarm.TAKEN_OVER in sender.alarms)


def test_an_old_ack_that_is_delivered_again_does_not_look_like_a_platform_that_went_back() -> None:
    store = backlog(5)
    with capture_logs() as logs, platform_behind() as (broker, platform), sending(store, broker.url) as sender:
        wait_for(lambda: len(platform.committed[TEL]) == 5)
        platform.acknowledge(broker)
        wait_for(all_committed(store))
        broker.send(topics.down(HERE, Down.ACK), acks.encode({TEL: (EP, 2)}), retain=True)
        wait_for(lambda: sender.counts.acks == 2)
    assert store.gaps == []
    assert [entry["seq"] for entry in logs if entry["event"] == "ack_older"] == [2]


def test_the_topics_of_a_gateway_are_subscribed_acks_without_a_queue() -> None:
    with fake_broker() as broker:
        with sending(backlog(1), broker.url, on_down=lambda _kind, _payload: None) as sender:
            wait_for(lambda: sender.is_connected and broker.filters)
        wanted = {topics.down(HERE, kind): 0 if kind is Down.ACK else 1 for kind in Down}
        assert broker.filters == wanted


def rough_manners(rng: random.Random) -> Manners:
    """A connection that goes wrong somehow."""
    codes = rng.choices([0, 0x10, 0x97, 0x80, None], [20, 1, 1, 1, rng.randint(0, 1)], k=997)
    position = iter(range(10**9))
    limits: dict[Property, int | str] = {}
    if rng.random() < 0.7:
        limits[Property.RECEIVE_MAXIMUM] = rng.choice([1, 2, 7, 20, 64, 300])
    return Manners(
        code=rng.choices([0, 0x88, 0x97], [6, 1, 1])[0],
        limits=limits,
        versions=rng.choice([(4, 5), (4, 5), (5,), (4,)]),
        hangs_up_on=rng.choice([(), (), (), (5,)]),
        puback=lambda _: codes[next(position) % len(codes)],
        batch=rng.randint(1, 80),
        ends_after=rng.randint(1, 250),
        ending=rng.choice(
            [b"", puback(1)[:3], disconnect(0x8B), disconnect(0x89), b"\x30\x7f\0", b"\xff\xff\xff\xff\xff"]
        ),
    )


@pytest.mark.usefixtures("short_waits")
@pytest.mark.parametrize("seed", range(8))
def test_whatever_a_broker_does_nothing_is_lost_and_every_lane_keeps_its_order(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # While frames are held, one PUBACK that never comes fills the window.
    monkeypatch.setattr("edge_agent.uplink.session.PUBACK_TIMEOUT_S", 1.5)
    rng = random.Random(seed)
    counts = {lane: rng.randint(0, 400) for lane in (TEL, BULK)}
    store = MemoryStore(EP)
    for lane, count in counts.items():
        backlog(count, lane, store)
    manners = [*(rough_manners(rng) for _ in range(rng.randint(2, 6))), Manners()]
    losses = iter([rng.random() < 0.1 for _ in range(200)])
    is_lost = partial(next, losses, False)  # noqa: FBT003 - what ``next`` gives at the end
    with (
        platform_behind(*manners, loses=is_lost) as (broker, platform),
        sending(store, broker.url, jitter=lambda: 0.05),
    ):

        def is_done() -> bool:
            platform.acknowledge(broker)
            return all_committed(store)()

        wait_for(is_done, 60)
    for lane, count in counts.items():
        assert platform.committed[lane] == list(range(1, count + 1))
        assert_without_holes([seq for published in broker.publishes for seq in frames_of(published, lane)])
    assert store.gaps == [], "no frame was given up"
    for number, (version, _) in enumerate(broker.connects):
        announced = manners[min(number, len(manners) - 1)].limits if version == 5 else {}
        assert broker.most_awaiting[number] <= min(
            AWAITING_PUBACK_MAX, int(announced.get(Property.RECEIVE_MAXIMUM, AWAITING_PUBACK_MAX))
        )


def assert_without_holes(seqs: list[int]) -> None:
    """A lane goes on by one, or goes back; it never leaves out what was not sent before."""
    highest = 0
    for seq in seqs:
        assert seq <= highest + 1
        highest = max(highest, seq)
