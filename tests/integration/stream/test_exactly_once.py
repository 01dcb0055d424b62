"""Frames in, rows out: each once, whatever is repeated, shuffled or killed."""

import itertools
import random
import time
from functools import partial

import numpy as np
import psycopg

from contracts import frames as wire
from contracts import topics
from contracts.frames import Event, EventFrame, EventKind, Gap, GapReason, Previous, TelemetryFrame
from contracts.presence import Presence, Sent, State, encode
from contracts.topics import GatewayAddress, Lane
from deploy.local.deadline import wait_until
from deploy.verify import verify
from stream.digest import digest_sum, reading_digests
from tests.integration.stream.running import ADDRESS, Device, Platform, connect_device, eventually

PER_FRAME = 20


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def telemetry(seq: int, t0_ms: int, ep: str = "aaaa", n: int = PER_FRAME) -> TelemetryFrame:
    return TelemetryFrame(
        v=1, ep=ep, seq=seq, t0=t0_ms, ch=["b1.weight_g", "c1.temp_c"],
        i=[k % 2 for k in range(n)], d=list(range(n)), x=[seq + k / 100 for k in range(n)],
    )  # fmt: skip


def stored(platform: Platform) -> tuple[int, int]:
    """Number of readings, and of different ones."""
    rows = platform.rows("SELECT count(*), count(DISTINCT (series_id, time, value)) FROM reading")
    return rows[0][0], rows[0][1]


def test_readings_arrive_once_and_the_gateway_is_told(platform: Platform, device: Device) -> None:
    platform.start()
    t0_ms = now_ms()
    for seq in range(1, 11):
        device.send(Lane.TEL, telemetry(seq, t0_ms + seq * 100))
    eventually(lambda: device.told(Lane.TEL) == 10, "ack of frame 10")
    assert stored(platform) == (200, 200)
    assert platform.one("SELECT sum(readings) FROM ingest_batch") == 200
    assert platform.one("SELECT readings FROM ingest_watermark WHERE lane = 'tel'") == 200
    assert platform.one("SELECT count(*) FROM series WHERE channel IN ('b1.weight_g', 'c1.temp_c')") == 2
    assert platform.rows("SELECT value FROM latest_value JOIN series USING (series_id) ORDER BY channel") == [
        (10.18,),
        (10.19,),
    ]


def test_the_digest_of_the_day_is_that_of_the_stored_rows(platform: Platform, device: Device) -> None:
    platform.start()
    # Two days, so that a frame that straddles midnight is divided between them.
    midnight_ms = now_ms() // 86_400_000 * 86_400_000
    device.send(Lane.TEL, telemetry(1, midnight_ms - 10))
    device.send(Lane.TEL, telemetry(2, midnight_ms - 5_000))
    eventually(lambda: platform.watermark() == 2, "frame 2 is committed")
    rows = platform.rows("SELECT series_id, time, value FROM reading ORDER BY time")
    for day, count, digest in platform.rows("SELECT day, readings, reading_digest FROM ingest_digest"):
        of_day = [row for row in rows if row[1].date() == day]
        assert count == len(of_day)
        assert digest == digest_sum(
            reading_digests(
                np.array([row[0] for row in of_day], np.int32),
                np.array([round(row[1].timestamp() * 1_000_000) for row in of_day], np.int64),
                np.array([row[2] for row in of_day]),
            )
        )
    assert platform.one("SELECT count(*) FROM ingest_digest") == 2


def test_a_resend_is_stored_once_and_acknowledged_again(platform: Platform, device: Device) -> None:
    platform.start()
    frame = telemetry(1, now_ms())
    device.send(Lane.TEL, frame)
    eventually(lambda: device.told(Lane.TEL) == 1, "the first ack")
    heard = len(device.heard)
    device.send(Lane.TEL, frame)
    eventually(lambda: len(device.heard) > heard, "the ack is told again")
    assert device.told(Lane.TEL) == 1
    assert stored(platform) == (PER_FRAME, PER_FRAME)
    assert platform.metric("shelfpulse_duplicates_total") == 1


def test_every_frame_sent_three_times_in_any_order_is_committed_once(platform: Platform, device: Device) -> None:
    platform.start()
    t0_ms = now_ms()
    sent = [telemetry(seq, t0_ms) for seq in range(1, 21)] * 3
    random.Random(7).shuffle(sent)
    for frame in sent:
        device.send(Lane.TEL, frame)
    # What came too early was dropped; a gateway sends again from the watermark on.
    for _ in range(20):
        missing = platform.watermark()
        if missing == 20:
            break
        for seq in range(missing + 1, 21):
            device.send(Lane.TEL, telemetry(seq, t0_ms))
        wait_until(lambda: platform.watermark() == 20, 3)
    assert platform.watermark() == 20
    assert stored(platform) == (20 * PER_FRAME, 20 * PER_FRAME)


def test_a_killed_stream_loses_nothing_and_stores_nothing_twice(platform: Platform, device: Device) -> None:
    frames = 600
    t0_ms = now_ms()
    platform.start()
    for seq in range(1, frames + 1):
        device.client.publish(topics.up(ADDRESS, Lane.TEL), wire.encode(telemetry(seq, t0_ms)), qos=1)
        if seq in {200, 400}:
            eventually(partial(_is_at, platform, seq // 2), "half of it is committed")
            platform.kill()
            platform.start()
    eventually(lambda: platform.watermark() == frames or _resend(platform, device, frames, t0_ms), "all frames", 60)
    eventually(lambda: device.told(Lane.TEL) == frames, "the last ack")
    assert stored(platform) == (frames * PER_FRAME, frames * PER_FRAME)
    ranges = platform.rows("SELECT from_seq, to_seq FROM ingest_batch WHERE lane = 'tel' ORDER BY from_seq")
    assert ranges[0][0] == 1
    assert ranges[-1][1] == frames
    assert all(after[0] == before[1] + 1 for before, after in itertools.pairwise(ranges))


def _is_at(platform: Platform, seq: int) -> bool:
    return platform.watermark() >= seq


def _resend(platform: Platform, device: Device, frames: int, t0_ms: int) -> bool:
    """Go back to the watermark, as a gateway does when it does not move."""
    before = platform.watermark()
    if not wait_until(lambda: platform.watermark() > before, 3):
        for seq in range(before + 1, frames + 1):
            device.client.publish(topics.up(ADDRESS, Lane.TEL), wire.encode(telemetry(seq, t0_ms)), qos=1)
    return platform.watermark() == frames


def test_a_stop_commits_what_was_read_and_exits_with_zero(platform: Platform, device: Device) -> None:
    platform.start()
    for seq in range(1, 51):
        device.send(Lane.TEL, telemetry(seq, now_ms()))
    assert platform.stop() == 0
    committed = platform.watermark()
    eventually(lambda: device.told(Lane.TEL) == committed, "the last ack is never withheld")
    # What was not read is still in the broker's session.
    platform.start()
    eventually(lambda: platform.watermark() == 50, "the rest comes by itself")
    assert stored(platform) == (50 * PER_FRAME, 50 * PER_FRAME)


def test_a_lost_recovery_store_costs_no_frame(platform: Platform, device: Device) -> None:
    platform.start()
    for seq in range(1, 11):
        device.send(Lane.TEL, telemetry(seq, now_ms()))
    eventually(lambda: platform.watermark() == 10, "ten frames")
    platform.kill()
    platform.state = platform.state / "elsewhere"
    platform.start()
    device.send(Lane.TEL, telemetry(10, now_ms()))
    device.send(Lane.TEL, telemetry(11, now_ms()))
    eventually(lambda: platform.watermark() == 11, "frame 11")
    assert stored(platform)[0] == 11 * PER_FRAME


def test_a_gap_is_counted_and_the_lane_goes_on(platform: Platform, device: Device) -> None:
    platform.start()
    device.send(Lane.TEL, telemetry(1, now_ms()))
    device.send(Lane.TEL, TelemetryFrame(v=1, ep="aaaa", seq=5, gap=Gap(from_=2, to=5, reason=GapReason.EVICTED)))
    device.send(Lane.TEL, telemetry(6, now_ms()))
    eventually(lambda: platform.watermark() == 6, "frame 6")
    assert platform.rows("SELECT from_seq, to_seq, reason FROM ingest_gap") == [(2, 5, "evicted")]
    assert platform.rows("SELECT seq, frames, gap_frames FROM ingest_watermark WHERE lane = 'tel'") == [(6, 3, 4)]


def test_a_new_incarnation_closes_the_old_one_for_good(platform: Platform, device: Device) -> None:
    platform.start()
    t0_ms = now_ms()
    device.send(Lane.TEL, telemetry(1, t0_ms))
    device.send(Lane.TEL, telemetry(2, t0_ms))
    second = TelemetryFrame(
        v=1, ep="bbbb", seq=1, t0=t0_ms, prev=Previous(ep="aaaa", seq=2), ch=["b1.weight_g"], i=[0], d=[0], x=[1.0]
    )
    device.send(Lane.TEL, second)
    device.send(Lane.TEL, telemetry(2, t0_ms))
    device.send(Lane.TEL, telemetry(3, t0_ms))
    eventually(lambda: platform.one("SELECT count(*) FROM quarantine") == 1, "a frame of the old one is refused")
    assert platform.rows("SELECT ep, seq, closed FROM ingest_watermark ORDER BY ep") == [
        ("aaaa", 2, True),
        ("bbbb", 1, False),
    ]
    assert platform.one("SELECT reason FROM quarantine") == "closed_incarnation"
    assert platform.one("SELECT kind FROM anomaly") == "device_fault"
    assert stored(platform)[0] == 2 * PER_FRAME + 1


def test_what_a_lost_outbox_had_is_a_gap_and_its_late_frames_are_no_alarm(platform: Platform, device: Device) -> None:
    platform.start()
    t0_ms = now_ms()
    device.send(Lane.TEL, telemetry(1, t0_ms))
    device.send(Lane.TEL, telemetry(2, t0_ms))
    eventually(lambda: platform.watermark() == 2, "two frames of the first outbox")
    # Frames 3 … 5 were written and are lost, and so is a whole outbox between.
    for ep, before, last in (("cccc", "bbbb", 4), ("dddd", "cccc", 3)):
        device.send(Lane.TEL, TelemetryFrame(
            v=1, ep=ep, seq=1, t0=t0_ms, prev=Previous(ep=before, seq=last), ch=["b1.weight_g"], i=[0], d=[0], x=[1.0]
        ))  # fmt: skip
    device.send(Lane.TEL, telemetry(4, t0_ms, ep="bbbb"))
    device.send(Lane.TEL, telemetry(3, t0_ms, ep="cccc"))
    eventually(lambda: platform.metric("shelfpulse_duplicates_total") == 2, "late frames are duplicates")
    assert platform.rows("SELECT * FROM quarantine") == []
    assert platform.rows("SELECT ep, seq, closed, gap_frames FROM ingest_watermark ORDER BY ep") == [
        ("aaaa", 2, True, 0),
        ("bbbb", 4, True, 4),
        ("cccc", 3, True, 2),
        ("dddd", 1, False, 0),
    ]
    assert platform.rows("SELECT ep, from_seq, to_seq, reason FROM ingest_gap ORDER BY ep") == [
        ("bbbb", 1, 4, "corrupt"),
        ("cccc", 2, 3, "corrupt"),
    ]
    device.send(Lane.TEL, telemetry(5, t0_ms, ep="bbbb"))
    eventually(lambda: platform.rows("SELECT 1 FROM anomaly"), "a frame above its end is an alarm")
    report = verify(platform.dsn)
    assert report.ok, report.broken
    # A stream that starts anew knows the ends of all of them from the database.
    platform.kill()
    platform.start()
    device.send(Lane.TEL, telemetry(4, t0_ms, ep="bbbb"))
    eventually(lambda: platform.metric("shelfpulse_duplicates_total") == 1, "it is a duplicate still")


def test_an_unknown_incarnation_is_asked_for_its_first_frame_and_the_retained_ack_stays(
    platform: Platform, device: Device
) -> None:
    platform.start()
    device.send(Lane.TEL, telemetry(1, now_ms()))
    eventually(lambda: device.told(Lane.TEL) == 1, "the first ack")
    device.insist(
        topics.up(ADDRESS, Lane.TEL),
        lambda: wire.encode(telemetry(7, now_ms(), ep="bbbb")),
        lambda: any(ack.a[Lane.TEL] == ("bbbb", 0) for ack in device.heard),
        "who speaks is asked for frame 1",
    )
    with connect_device(platform.broker) as newcomer:
        eventually(lambda: newcomer.heard, "the retained ack")
        assert [ack.a[Lane.TEL] for ack in newcomer.heard] == [("aaaa", 1)]


def test_events_move_the_shelf_and_a_low_shelf_is_proposed_for_refill_once(platform: Platform, device: Device) -> None:
    with psycopg.connect(platform.dsn) as connection:
        connection.execute("INSERT INTO stock_policy VALUES ('acme', 's1', 'cola', 4, 20)")
    platform.start()
    t0_ms = now_ms() - 60_000
    other = GatewayAddress("acme", "s1", "g2")
    events = [
        Event(id="e1", d=0, slot="b1", kind=EventKind.ADJUST, units=10, on_shelf=10, why="count"),
        Event(id="e2", d=10, slot="b1", kind=EventKind.SALE, units=-8, dg=-2640.0, on_shelf=2),
    ]
    device.send(Lane.EVT, EventFrame(v=1, ep="aaaa", seq=1, t0=t0_ms, ev=events))
    count = Event(id="f1", d=0, slot="b1", kind=EventKind.ADJUST, units=1, on_shelf=1, why="count")
    device.send(Lane.EVT, EventFrame(v=1, ep="cccc", seq=1, t0=t0_ms, ev=[count]), other)
    # Event time passes by: the put-backs of the sale have had their chance.
    later = Event(id="e3", d=0, slot="b1", kind=EventKind.ADJUST, units=0, on_shelf=2, why="tare")
    device.send(Lane.EVT, EventFrame(v=1, ep="aaaa", seq=2, t0=t0_ms + 40_000, ev=[later]))
    eventually(lambda: platform.rows("SELECT 1 FROM proposal"), "a proposal")
    assert platform.rows("SELECT site_id, sku, units, cycle, state FROM proposal") == [("s1", "cola", 17, 1, "open")]
    assert platform.rows("SELECT gateway_id, on_shelf, sku FROM shelf_position ORDER BY gateway_id") == [
        ("g1", 2, "cola"),
        ("g2", 1, "cola"),
    ]
    assert platform.one("SELECT count(*) FROM shelf_event") == 4
    platform.kill()
    platform.start()
    device.send(Lane.EVT, EventFrame(v=1, ep="aaaa", seq=3, t0=t0_ms + 50_000, ev=[Event(
        id="e4", d=0, slot="b1", kind=EventKind.SALE, units=-1, on_shelf=1)]))  # fmt: skip
    eventually(lambda: platform.watermark(Lane.EVT) == 3, "the next event")
    assert platform.one("SELECT count(*) FROM proposal") == 1


def test_a_plain_reading_with_a_time_is_stored_once(platform: Platform, device: Device) -> None:
    platform.start()
    payload = b'{"ts":%d,"values":{"b9.weight_g":4213.5,"b9.temp_c":5}}' % now_ms()
    device.publish(topics.raw(ADDRESS), payload)
    eventually(lambda: platform.one("SELECT count(*) FROM reading") == 2, "the reading")
    platform.kill()
    platform.start()
    device.publish(topics.raw(ADDRESS), payload)
    device.publish(topics.raw(ADDRESS), b'{"values":{"b9.weight_g":1}}')
    eventually(lambda: platform.one("SELECT count(*) FROM reading") >= 3, "the reading without a time")
    assert platform.one("SELECT count(*) FROM reading") == 3
    assert platform.one("SELECT readings FROM ingest_digest") == 3
    assert platform.one("SELECT count(*) FROM ingest_batch") == 0


def test_presence_is_kept_and_sets_the_clock_of_its_boot_right(platform: Platform, device: Device) -> None:
    platform.start()
    utc_ms = now_ms()
    presence = Presence(
        v=1, state=State.ONLINE, since=utc_ms, boot="b00t", mono=9_000, utc=utc_ms, agent="0.1",
        sent={"tel": Sent("aaaa", 1, "ff")},
    )  # fmt: skip
    device.publish(topics.presence(ADDRESS), encode(presence), retain=True)
    eventually(lambda: platform.rows("SELECT 1 FROM gateway_presence WHERE state = 'online'"), "presence")
    device.send(Lane.TEL, TelemetryFrame(
        v=1, ep="aaaa", seq=1, t0=5_000, sync=0, boot="b00t", mono=8_000, ch=["b1.weight_g"], i=[0], d=[0], x=[1.0]
    ))  # fmt: skip
    eventually(lambda: platform.one("SELECT count(*) FROM reading") == 1, "the reading")
    assert platform.one("SELECT (extract(epoch FROM time) * 1000)::bigint FROM reading") == utc_ms - 1_000
