"""Frames that are settled before their content can be stored: clocks repaired later, quarantine tried again."""

import time

import psycopg
import pytest

from contracts import frames as wire
from contracts import topics
from contracts.frames import Answer, AnswerFrame, Event, EventFrame, EventKind, TelemetryFrame
from contracts.presence import Presence, State, encode
from contracts.topics import Lane
from deploy.verify import verify
from tests.integration.stream.running import ADDRESS, Device, Platform, eventually

HELD = "SELECT count(*) FROM unsynced_frame"


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def unsynced(seq: int, mono: int, boot: str = "b00t", n: int = 2) -> TelemetryFrame:
    return TelemetryFrame(
        v=1, ep="aaaa", seq=seq, t0=5_000, sync=0, boot=boot, mono=mono, ch=["b1.weight_g"], i=[0] * n,
        d=list(range(n)), x=[float(seq)] * n,
    )  # fmt: skip


def anchor(device: Device, utc_ms: int, mono: int, boot: str = "b00t") -> None:
    presence = Presence(v=1, state=State.ONLINE, since=utc_ms, boot=boot, mono=mono, utc=utc_ms)
    device.publish(topics.presence(ADDRESS), encode(presence), retain=True)


def times_ms(platform: Platform, value: float) -> list[int]:
    found = platform.rows(
        "SELECT (extract(epoch FROM time) * 1000)::bigint FROM reading WHERE value = %s ORDER BY time", value
    )
    return [row[0] for row in found]


def assert_proven(platform: Platform) -> None:
    report = verify(platform.dsn)
    assert report.ok, report.broken


@pytest.mark.parametrize("lane", [Lane.TEL, Lane.BULK])
def test_readings_without_a_clock_are_settled_at_once_and_stored_when_their_boot_is_anchored(
    lane: Lane, platform: Platform, device: Device
) -> None:
    platform.start()
    for seq in (1, 2, 3):
        device.send(lane, unsynced(seq, seq * 1_000))
    eventually(lambda: device.told(lane) == 3, "they are acknowledged")
    assert platform.one(HELD) == 3
    assert platform.one("SELECT count(*) FROM quarantine") == 0
    assert_proven(platform)
    utc_ms = now_ms()
    anchor(device, utc_ms, 9_000)
    eventually(lambda: platform.one(HELD) == 0, "they are released")
    assert times_ms(platform, 2.0) == [utc_ms - 7_000, utc_ms - 6_999]
    assert platform.one("SELECT count(*) FROM reading") == 6
    assert platform.one("SELECT readings FROM ingest_watermark WHERE lane = %s", lane) == 6
    assert_proven(platform)


def test_frames_of_another_boot_go_on_waiting(platform: Platform, device: Device) -> None:
    platform.start()
    device.send(Lane.TEL, unsynced(1, 1_000, "one"))
    device.send(Lane.TEL, unsynced(2, 1_000, "two"))
    eventually(lambda: platform.watermark() == 2, "both are settled")
    anchor(device, now_ms(), 9_000, "two")
    eventually(lambda: platform.one(HELD) == 1, "one is released")
    assert platform.one("SELECT boot FROM unsynced_frame") == "one"
    # An outbox may hold frames of the boot before the one that presence speaks of.
    anchor(device, now_ms(), 9_000, "one")
    anchor(device, now_ms(), 9_000, "three")
    eventually(lambda: platform.one(HELD) == 0, "the other is released")
    device.send(Lane.TEL, unsynced(3, 2_000, "two"))
    eventually(lambda: times_ms(platform, 3.0), "a boot of before is still known")
    assert_proven(platform)


def test_a_later_anchor_of_the_same_boot_counts_for_what_is_not_repaired_yet(
    platform: Platform, device: Device
) -> None:
    platform.start()
    wrong_ms, right_ms = now_ms() - 3_600_000, now_ms()
    anchor(device, wrong_ms, 9_000)
    device.send(Lane.TEL, unsynced(1, 9_000, n=1))
    eventually(lambda: times_ms(platform, 1.0), "the first is stored")
    anchor(device, right_ms, 9_000)
    eventually(lambda: platform.rows("SELECT 1 FROM clock_anchor WHERE zero_at > now() - interval '1 min'"), "newer")
    device.send(Lane.TEL, unsynced(2, 9_000, n=1))
    eventually(lambda: times_ms(platform, 2.0), "the second is stored")
    assert times_ms(platform, 1.0) == [wrong_ms]
    assert times_ms(platform, 2.0) == [right_ms]


def test_an_event_without_a_clock_moves_the_shelf_at_once_and_gets_its_time_later(
    platform: Platform, device: Device
) -> None:
    platform.start()
    event = Event(id="e1", d=500, slot="b1", kind=EventKind.SALE, units=-1, on_shelf=7)
    device.send(Lane.EVT, EventFrame(v=1, ep="aaaa", seq=1, t0=5_000, sync=0, boot="b00t", mono=1_000, ev=[event]))
    eventually(lambda: device.told(Lane.EVT) == 1, "it is acknowledged")
    assert platform.one("SELECT on_shelf FROM shelf_position") == 7
    assert platform.one("SELECT synced FROM shelf_event") is False
    utc_ms = now_ms() - 60_000
    anchor(device, utc_ms, 2_000)
    eventually(lambda: platform.one("SELECT synced FROM shelf_event"), "its time is repaired")
    assert platform.one("SELECT (extract(epoch FROM time) * 1000)::bigint FROM shelf_event") == utc_ms - 500
    assert platform.one(HELD) == 0
    assert_proven(platform)


def test_an_answer_needs_no_clock(platform: Platform, device: Device) -> None:
    with psycopg.connect(platform.dsn) as connection:
        connection.execute(
            "INSERT INTO command (command_id, tenant_id, gateway_id, kind, expires_at)"
            " VALUES ('c1', 'acme', 'g1', 'identify', now() + interval '1 hour')"
        )
    platform.start()
    answer = Answer(cmd="c1", state="done", result={"blinked": 3})
    device.send(Lane.RSP, AnswerFrame(v=1, ep="aaaa", seq=1, t0=5_000, sync=0, boot="b00t", mono=1, rs=[answer]))
    eventually(lambda: device.told(Lane.RSP) == 1, "it is acknowledged")
    assert platform.rows("SELECT state, result FROM command") == [("done", {"blinked": 3})]
    assert platform.one(HELD) == 0


def test_what_waited_for_seven_days_goes_to_quarantine_and_an_anchor_brings_it_back(
    platform: Platform, device: Device
) -> None:
    platform.start()
    event = Event(id="e1", d=0, slot="b1", kind=EventKind.SALE, units=-1, on_shelf=7)
    device.send(Lane.TEL, unsynced(1, 1_000))
    device.send(Lane.EVT, EventFrame(v=1, ep="aaaa", seq=1, t0=5_000, sync=0, boot="b00t", mono=1_000, ev=[event]))
    eventually(lambda: platform.one(HELD) == 2, "they wait")
    with psycopg.connect(platform.dsn) as connection:
        connection.execute("UPDATE unsynced_frame SET received_at = received_at - interval '8 days'")
    eventually(lambda: platform.one(HELD) == 0, "they wait no longer")
    assert platform.rows("SELECT lane, seq, reason, state FROM quarantine") == [("tel", 1, "unsynced", "held")]
    assert platform.one("SELECT synced FROM shelf_event") is False
    assert_proven(platform)
    anchor(device, now_ms(), 9_000)
    eventually(lambda: platform.rows("SELECT 1 FROM clock_anchor"), "the anchor")
    retry(platform)
    eventually(lambda: platform.one("SELECT state FROM quarantine") == "retried", "it is retried")
    assert platform.one("SELECT count(*) FROM reading") == 2
    assert_proven(platform)


def test_a_kill_in_the_middle_of_a_release_stores_nothing_twice(platform: Platform, device: Device) -> None:
    frames = 3_000
    platform.start()
    for seq in range(1, frames + 1):
        device.client.publish(topics.up(ADDRESS, Lane.TEL), wire.encode(unsynced(seq, seq)), qos=1)
    eventually(lambda: platform.watermark() == frames, "all are settled", 60)
    anchor(device, now_ms(), 9_000)
    for left in (2_000, 1_000):
        eventually(lambda left=left: platform.one(HELD) <= left, "some are released")  # type: ignore[misc]
        platform.kill()
        assert_proven(platform)
        platform.start()
    eventually(lambda: platform.one(HELD) == 0, "all are released", 60)
    assert platform.rows("SELECT count(*), count(DISTINCT (value, time)) FROM reading") == [(2 * frames, 2 * frames)]
    # Bounded an epoch, however many wait.
    assert platform.one("SELECT max(released) FROM ingest_late") <= 1_000
    assert_proven(platform)


def test_a_frame_whose_repaired_time_is_nonsense_goes_to_quarantine(platform: Platform, device: Device) -> None:
    platform.start()
    device.send(Lane.TEL, unsynced(1, 3_600_000))
    eventually(lambda: platform.one(HELD) == 1, "it waits")
    anchor(device, now_ms(), 1_000)
    eventually(lambda: platform.rows("SELECT 1 FROM quarantine"), "it is in quarantine")
    assert platform.rows("SELECT seq, reason FROM quarantine") == [(1, "bad_time")]
    assert platform.one("SELECT quarantined FROM ingest_watermark") == 1
    assert_proven(platform)


def retry(platform: Platform) -> None:
    with psycopg.connect(platform.dsn) as connection:
        connection.execute("UPDATE quarantine SET state = 'retry' WHERE state = 'held'")


def test_a_settled_frame_of_the_quarantine_is_stored_once_when_its_fault_is_mended(
    platform: Platform, device: Device
) -> None:
    with psycopg.connect(platform.dsn) as connection:
        connection.execute("ALTER TABLE shelf_event ADD CONSTRAINT sold CHECK (kind <> 'sale')")
    platform.start()
    event = Event(id="e1", d=0, slot="b1", kind=EventKind.SALE, units=-1, on_shelf=9)
    device.send(Lane.EVT, EventFrame(v=1, ep="aaaa", seq=1, t0=now_ms(), ev=[event]))
    eventually(lambda: device.told(Lane.EVT) == 1, "it is settled")
    retry(platform)
    eventually(lambda: platform.one("SELECT state FROM quarantine") == "held", "refused once more, and held back")
    with psycopg.connect(platform.dsn) as connection:
        connection.execute("ALTER TABLE shelf_event DROP CONSTRAINT sold")
    for _ in range(2):
        retry(platform)
        eventually(lambda: platform.one("SELECT state FROM quarantine") != "retry", "the stream came to it")
    assert platform.one("SELECT count(*) FROM shelf_event") == 1
    assert platform.one("SELECT sum(retried) FROM ingest_late") == 1
    assert_proven(platform)


def test_a_message_without_a_place_passes_the_sequence_check_when_it_is_retried(
    platform: Platform, device: Device
) -> None:
    platform.start()
    stranger = ADDRESS._replace(gateway="g9")
    frame = TelemetryFrame(v=1, ep="aaaa", seq=1, t0=now_ms(), ch=["b1.weight_g"], i=[0], d=[0], x=[1.0])
    device.send(Lane.TEL, frame, stranger)
    eventually(lambda: platform.rows("SELECT 1 FROM quarantine WHERE reason = 'unknown_gateway'"), "a sample")
    with psycopg.connect(platform.dsn) as connection:
        connection.execute("INSERT INTO gateway (tenant_id, gateway_id, site_id) VALUES ('acme', 'g9', 's1')")
    device.insist(
        topics.up(stranger, Lane.TEL),
        lambda: wire.encode(frame),
        lambda: platform.watermark(gateway="g9") == 1,
        "the gateway is known",
    )
    retry(platform)
    eventually(lambda: platform.one("SELECT count(*) FROM quarantine WHERE state = 'retry'") == 0, "it came again")
    assert platform.one("SELECT count(*) FROM reading") == 1, "it was a duplicate"
    assert_proven(platform)
