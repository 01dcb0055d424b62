"""Messages that no conforming gateway sends: each in quarantine with its own reason, and the stream lives."""

import time

import psycopg
import pytest

from contracts import topics
from contracts.frames import Event, EventFrame, EventKind, TelemetryFrame, encode
from contracts.topics import GatewayAddress, Lane
from tests.integration.stream.running import ADDRESS, Device, Platform, eventually

UP = topics.up(ADDRESS, Lane.TEL)
HEAD = b'{"v":1,"ep":"aaaa","seq":%d,"t0":%d,"sync":1,'
BODY = b'"ch":["b1.weight_g"],"i":[0],"d":[0],"x":[1.5]}'


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def good(seq: int) -> bytes:
    return encode(
        TelemetryFrame(v=1, ep="aaaa", seq=seq, t0=now_ms(), ch=["b1.weight_g"], i=[0], d=[0], x=[float(seq)])
    )


def poisons(seq: int) -> list[tuple[str, str, bytes, bool]]:
    """Name, reason, payload, and whether it has a readable place and is settled; all as frame ``seq``."""
    head = HEAD % (seq, now_ms())
    return [
        ("malformed", "bad_json", b'{"v":1,"ep":"aaaa","seq":', False),
        ("deep", "bad_json", b"[" * 60_000, False),
        ("large", "too_large", head + b'"ch":["' + b"a" * 66_000 + b'"]}', False),
        ("not utf-8", "bad_body", head + b'"ch":["\xff\xfe.weight_g"],"i":[0],"d":[0],"x":[1.5]}', False),
        ("nan", "bad_body", head + b'"ch":["b1.weight_g"],"i":[0],"d":[0],"x":[NaN]}', False),
        ("huge number", "bad_body", head + b'"ch":["b1.weight_g"],"i":[0],"d":[0],"x":[1e999]}', False),
        ("bool as number", "bad_body", head + b'"ch":["b1.weight_g"],"i":[0],"d":[0],"x":[true]}', True),
        ("nul in a name", "bad_body", head + b'"ch":["b1\\u0000.weight_g"],"i":[0],"d":[0],"x":[1.5]}', True),
        ("columns differ", "bad_columns", head + b'"ch":["b1.weight_g"],"i":[0,0],"d":[0],"x":[1.5]}', True),
        ("far future", "bad_time", HEAD % (seq, now_ms() + 3_600_000) + BODY, True),
        ("1970", "bad_time", HEAD % (seq, 5_000) + BODY, True),
        ("no clock", "unsynced", (HEAD % (seq, 5_000)).replace(b'"sync":1', b'"sync":0') + BODY, True),
    ]


@pytest.mark.parametrize("case", [case[0] for case in poisons(1)])
def test_poison_goes_to_quarantine_and_the_stream_lives(case: str, platform: Platform, device: Device) -> None:
    platform.start()
    device.publish(UP, good(1))
    _, reason, payload, settled = next(each for each in poisons(2) if each[0] == case)
    device.publish(UP, payload)
    eventually(lambda: platform.rows("SELECT 1 FROM quarantine"), "it is in quarantine")
    found, kept, size = platform.rows("SELECT reason, payload, payload_bytes FROM quarantine")[0]
    # Which of the two a broken text is, its decoder decides; it has a reason of its own in any case.
    assert found == reason or (not settled and found in {"bad_json", "bad_body"})
    assert bytes(kept) == payload[: 64 * 1024]
    assert size == len(payload)
    settled = platform.watermark() == 2
    device.publish(UP, good(3 if settled else 2))
    eventually(lambda: platform.watermark() == (3 if settled else 2), "the lane goes on")
    assert platform.one("SELECT count(*) FROM reading") == 2


def test_a_frame_with_a_readable_place_is_settled_in_quarantine(platform: Platform, device: Device) -> None:
    platform.start()
    settled = [each for each in poisons(1) if each[3]]
    for seq, (name, _, _, _) in enumerate(settled, 1):
        device.publish(UP, next(each[2] for each in poisons(seq) if each[0] == name))
    device.publish(UP, good(len(settled) + 1))
    eventually(lambda: device.told(Lane.TEL) == len(settled) + 1, "the watermark passes all of them")
    assert platform.rows("SELECT reason FROM quarantine ORDER BY seq") == [(each[1],) for each in settled]
    assert platform.one("SELECT quarantined FROM ingest_watermark WHERE lane = 'tel'") == len(settled)
    # A clock that runs ahead is an alarm at once.
    assert platform.one("SELECT evidence->>'why' FROM anomaly") == "fast_clock"


def test_a_stranger_is_sampled_and_not_settled(platform: Platform, device: Device) -> None:
    platform.start()
    stranger = GatewayAddress("acme", "s1", "g9")
    moved = GatewayAddress("acme", "s2", "g1")
    device.publish(topics.up(stranger, Lane.TEL), good(1))
    device.publish(topics.up(moved, Lane.TEL), good(1))
    device.publish("sp/v1/up/63/acme/s1/g1/tel", good(1))
    device.publish("sp/v1/up/1/acme/s1/G1/tel", good(1))
    eventually(lambda: platform.one("SELECT count(*) FROM quarantine") == 4, "a sample of each")
    assert platform.rows("SELECT reason, seq FROM quarantine ORDER BY reason") == [
        ("bad_topic", None),
        ("bad_topic", None),
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
