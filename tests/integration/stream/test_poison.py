"""Messages that no conforming gateway sends: each in quarantine with its own reason, and the stream lives."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import psycopg
import pytest
from paho.mqtt.enums import MQTTErrorCode

from contracts import topics
from contracts.frames import Event, EventFrame, EventKind, TelemetryFrame, encode
from contracts.topics import GatewayAddress, Lane
from deploy.local.broker import BrokerKind
from deploy.verify import verify
from simulators.poison import Poison, poisons
from tests.integration.stream.conftest import run_platform
from tests.integration.stream.running import ADDRESS, Device, Platform, connect_device, eventually
from tests.services.brokers import run_broker

UP = topics.up(ADDRESS, Lane.TEL)
HEAD = b'{"v":1,"ep":"aaaa","seq":%d,"t0":%d,"sync":1,'
BODY = b'"ch":["b1.weight_g"],"i":[0],"d":[0],"x":[1.5]}'


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def good(seq: int) -> bytes:
    return encode(
        TelemetryFrame(v=1, ep="aaaa", seq=seq, t0=now_ms(), ch=["b1.weight_g"], i=[0], d=[0], x=[float(seq)])
    )


def each(seq: int) -> list[Poison]:
    """The corpus as frame ``seq``, written now."""
    return poisons("aaaa", seq, now_ms())


@pytest.fixture
def corpus(platform: Platform, device: Device) -> tuple[Platform, Device]:
    """A running stream that has committed frame 1."""
    platform.start()
    device.publish(UP, good(1))
    eventually(lambda: platform.watermark() == 1, "frame 1")
    return platform, device


def test_every_poison_goes_to_quarantine_with_its_own_reason_and_the_stream_lives(
    corpus: tuple[Platform, Device],
) -> None:
    platform, device = corpus
    seq = 1
    for rows, name in enumerate([case.name for case in each(1)], 1):
        _, reason, payload, settled = next(case for case in each(seq + 1) if case.name == name)
        device.publish(UP, payload)
        eventually(lambda rows=rows: platform.one("SELECT count(*) FROM quarantine") == rows, name)  # type: ignore[misc]
        found, kept, size = platform.rows(
            "SELECT reason, payload, payload_bytes FROM quarantine ORDER BY quarantine_id DESC LIMIT 1"
        )[0]
        assert (name, found) == (name, reason)
        assert (bytes(kept), size) == (payload[: 64 * 1024], len(payload)), name
        seq += settled
        assert platform.watermark() == seq, name
    device.publish(UP, good(seq + 1))
    eventually(lambda: platform.watermark() == seq + 1, "the lane goes on")
    assert platform.one("SELECT count(*) FROM reading") == 2
    report = verify(platform.dsn)
    assert report.ok, report.broken


def test_ten_megabytes_are_refused_at_the_door_of_our_broker_and_nobody_else_feels_it(
    corpus: tuple[Platform, Device],
) -> None:
    platform, device = corpus
    with connect_device(platform.broker) as other:
        other.client.publish(UP, b"a" * 10_000_000, qos=1)
        eventually(lambda: not other.client.is_connected(), "the broker cuts the connection off")
    device.publish(UP, good(2))
    eventually(lambda: platform.watermark() == 2, "others go on")


def test_ten_megabytes_that_a_broker_lets_through_are_quarantined_by_their_size(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.local.broker.PACKET_MAX_BYTES", 16 * 1024**2)
    payload = HEAD % (2, now_ms()) + b'"ch":["' + b"a" * 10_000_000 + b'"]}'
    with (
        run_broker(BrokerKind.MOSQUITTO) as broker,
        run_platform(database, broker, tmp_path) as platform,
        connect_device(broker) as device,
    ):
        platform.start()
        device.publish(UP, good(1))
        device.publish(UP, payload)
        eventually(lambda: platform.rows("SELECT 1 FROM quarantine"), "it is in quarantine")
        assert platform.rows("SELECT reason, octet_length(payload), payload_bytes FROM quarantine") == [
            ("too_large", 64 * 1024, len(payload))
        ]
        device.publish(UP, good(2))
        eventually(lambda: platform.watermark() == 2, "the lane goes on")


FLOOD = int(os.environ.get("TEST_POISON_MESSAGES", "100000"))
GROWTH_MAX_MIB = 24
"""Allocators keep some of what a burst needed; a leak of the messages would be several times as much."""


def test_a_flood_of_poison_fills_neither_memory_nor_quarantine(
    corpus: tuple[Platform, Device], record_property: Callable[[str, object], None]
) -> None:
    platform, device = corpus
    assert platform.process is not None
    stream = psutil.Process(platform.process.pid)
    # Different each, so that nothing that is remembered of them can be shared.
    flood(platform, device, 0, FLOOD // 4)
    before = stream.memory_info().rss
    flood(platform, device, FLOOD // 4, FLOOD)
    grown_mib = (stream.memory_info().rss - before) / 1024**2
    record_property("rss_mib_after_a_quarter", round(before / 1024**2, 1))
    record_property("rss_mib_grown_since", round(grown_mib, 1))
    assert grown_mib < GROWTH_MAX_MIB
    # 20 samples an hour of each kind; the hour may turn meanwhile.
    assert platform.one("SELECT count(*) FROM quarantine") <= 2 * 20 * 3
    assert platform.watermark() == 1
    device.publish(UP, good(2))
    eventually(lambda: platform.watermark() == 2, "the lane goes on")


def flood(platform: Platform, device: Device, first: int, end: int) -> None:
    """Publish poison of three kinds without a place, and wait until the stream has seen it."""
    kinds = (b'{"v":1,"ep":"aaaa","seq":0,"n":%d}', b'{"n":%d,', b"[%d]")
    for n in range(first, end):
        payload = kinds[n % 3] % n + b" " * (1_000 * (n % 50 == 0))
        while device.client.publish(UP, payload, qos=1).rc == MQTTErrorCode.MQTT_ERR_QUEUE_SIZE:
            time.sleep(0.01)
    seen = "shelfpulse_quarantined_total"
    eventually(lambda: platform.metric(seen) >= end, f"{end:,} messages are seen", 60 + end / 500)


def test_a_frame_with_a_readable_place_is_settled_in_quarantine(platform: Platform, device: Device) -> None:
    platform.start()
    settled = [case for case in each(1) if case.settled]
    for seq, known in enumerate(settled, 1):
        device.publish(UP, next(case.payload for case in each(seq) if case.name == known.name))
    device.publish(UP, good(len(settled) + 1))
    eventually(lambda: device.told(Lane.TEL) == len(settled) + 1, "the watermark passes all of them")
    assert platform.rows("SELECT reason FROM quarantine ORDER BY seq") == [(case.reason,) for case in settled]
    assert platform.one("SELECT quarantined FROM ingest_watermark WHERE lane = 'tel'") == len(settled)
    # A clock that runs ahead is an alarm at once.
    assert platform.one("SELECT evidence->>'why' FROM anomaly") == "fast_clock"


def test_a_stranger_is_sampled_and_not_settled(platform: Platform, device: Device) -> None:
    platform.start()
    stranger = GatewayAddress("acme", "s1", "g9")
    moved = GatewayAddress("acme", "s2", "g1")
    device.publish(topics.up(stranger, Lane.TEL), good(1))
    device.publish(topics.up(moved, Lane.TEL), good(1))
    device.publish(topics.up(GatewayAddress("other", "s1", "g1"), Lane.TEL), good(1))
    device.publish("sp/v1/up/63/acme/s1/g1/tel", good(1))
    device.publish("sp/v1/up/1/acme/s1/G1/tel", good(1))
    eventually(lambda: platform.one("SELECT count(*) FROM quarantine") == 5, "a sample of each")
    assert platform.rows("SELECT reason, seq FROM quarantine ORDER BY reason") == [
        ("bad_topic", None),
        ("bad_topic", None),
        ("unknown_gateway", None),
        ("unknown_gateway", None),
        ("wrong_site", None),
    ]
    assert platform.rows("SELECT * FROM ingest_watermark") == []
    with psycopg.connect(platform.dsn) as connection:
        connection.execute("INSERT INTO gateway (tenant_id, gateway_id, site_id) VALUES ('acme', 'g9', 's1')")
    # Once registered its frames count, within the moment that NOTIFY takes.
    device.insist(
        topics.up(stranger, Lane.TEL),
        lambda: good(1),
        lambda: platform.watermark(gateway="g9") == 1,
        "the newly registered gateway is heard",
    )


def test_a_clone_is_an_alarm_and_never_acknowledged(platform: Platform, device: Device) -> None:
    platform.start()
    device.publish(UP, good(1))
    eventually(lambda: device.told(Lane.TEL) == 1, "the first ack")
    heard = len(device.heard)
    device.publish(UP, HEAD % (1, now_ms()) + BODY.replace(b"1.5", b"99.5"))
    eventually(lambda: platform.rows("SELECT 1 FROM quarantine WHERE reason = 'conflict'"), "the conflict")
    assert platform.rows("SELECT kind, evidence->>'why' FROM anomaly") == [("device_fault", "two_agents")]
    assert len(device.heard) == heard


def test_a_frame_that_the_database_refuses_is_found_and_the_rest_is_committed(
    platform: Platform, device: Device
) -> None:
    with psycopg.connect(platform.dsn) as connection:
        # Stands for whatever the checks do not foresee.
        connection.execute("ALTER TABLE shelf_event ADD CHECK (event_id <> 'bad')")
    platform.start()
    for seq in range(1, 8):
        event = Event(id="bad" if seq == 4 else f"e{seq}", d=0, slot="b1", kind=EventKind.SALE, units=-1, on_shelf=9)
        device.send(Lane.EVT, EventFrame(v=1, ep="aaaa", seq=seq, t0=now_ms(), ev=[event]))
    eventually(lambda: device.told(Lane.EVT) == 7, "all are settled")
    assert platform.rows("SELECT seq, reason FROM quarantine") == [(4, "refused_by_database")]
    assert platform.one("SELECT count(*) FROM shelf_event") == 6
    assert platform.rows("SELECT seq, frames, quarantined FROM ingest_watermark WHERE lane = 'evt'") == [(7, 7, 1)]


def test_a_text_that_the_database_cannot_hold_is_quarantined_before(platform: Platform, device: Device) -> None:
    platform.start()
    event = Event(id="e1", d=0, slot="b1", kind=EventKind.SALE, units=-1, on_shelf=9, why="a\x00b")
    device.send(Lane.EVT, EventFrame(v=1, ep="aaaa", seq=1, t0=now_ms(), ev=[event]))
    eventually(lambda: platform.watermark(Lane.EVT) == 1, "it is settled")
    assert platform.rows("SELECT reason FROM quarantine") == [("bad_body",)]
