"""Two processes that share the buckets: each frame once, whichever of them dies, and one decision for each site."""

import itertools
import os
import signal
import time
from collections.abc import Iterator

import psycopg
import pytest

from contracts import frames, topics
from contracts.frames import Event, EventFrame, EventKind, TelemetryFrame
from contracts.ids import bucket_of
from contracts.presence import Presence, State, encode
from contracts.topics import GatewayAddress, Lane
from deploy.local.deadline import wait_until
from stream import fence
from tests.integration.stream.running import Device, Platform, eventually

GATEWAYS = ("g1", "g2", "g3")
"""g1 in the buckets of the second process, the others in those of the first."""
FRAMES = 200


@pytest.fixture
def pair(platform: Platform) -> Iterator[Platform]:
    """A stream of two processes, ready."""
    platform.processes = 2
    platform.start()
    yield platform
    if platform.process is not None and platform.process.poll() is None:
        platform.stop()


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def address(gateway: str) -> GatewayAddress:
    return GatewayAddress("acme", "s1", gateway)


def telemetry(seq: int, t0_ms: int) -> TelemetryFrame:
    return TelemetryFrame(
        v=1,
        ep="aaaa",
        seq=seq,
        t0=t0_ms,
        ch=["b1.weight_g", "c1.temp_c"],
        i=[0, 1],
        d=[0, 1],
        x=[float(seq), seq + 0.5],
    )


def send_all(device: Device, platform: Platform, t0_ms: int) -> None:
    """Publish every frame that is not committed, as gateways do that go back to their watermark."""
    for gateway in GATEWAYS:
        for seq in range(platform.watermark(gateway=gateway) + 1, FRAMES + 1):
            payload = frames.encode(telemetry(seq, t0_ms))
            device.client.publish(topics.up(address(gateway), Lane.TEL), payload, qos=1)


def all_committed(platform: Platform) -> bool:
    return all(platform.watermark(gateway=gateway) == FRAMES for gateway in GATEWAYS)


def test_the_gateways_of_these_tests_are_of_both_processes() -> None:
    first, second = fence.spans(2)
    owners = [next(span for span in (first, second) if bucket_of(gateway) in span.buckets) for gateway in GATEWAYS]
    assert owners == [second, first, first]


def test_frames_of_both_processes_are_stored_once_when_one_is_killed(pair: Platform, device: Device) -> None:
    t0_ms = now_ms()
    send_all(device, pair, t0_ms)
    eventually(lambda: min(pair.watermark(gateway=gateway) for gateway in GATEWAYS) > 0, "both have begun")
    os.kill(pair.children()[1], signal.SIGKILL)
    assert pair.process is not None
    assert pair.process.wait(30) not in {0, None}, "the end of one is the end of all, for a supervisor to see"
    pair.start()

    def once_more() -> bool:
        send_all(device, pair, t0_ms)
        return wait_until(lambda: all_committed(pair), 3)

    eventually(lambda: all_committed(pair) or once_more(), "every frame", 60)
    assert pair.stop() == 0
    count, different = pair.rows("SELECT count(*), count(DISTINCT (series_id, time, value)) FROM reading")[0]
    assert count == different == len(GATEWAYS) * FRAMES * 2
    for gateway in GATEWAYS:
        ranges = pair.rows("SELECT from_seq, to_seq FROM ingest_batch WHERE gateway_id = %s ORDER BY from_seq", gateway)
        assert (ranges[0][0], ranges[-1][1]) == (1, FRAMES)
        assert all(after[0] == before[1] + 1 for before, after in itertools.pairwise(ranges))


def test_a_presence_is_answered_by_the_process_that_knows_the_lane(pair: Platform, device: Device) -> None:
    device.send(Lane.TEL, telemetry(1, now_ms()))
    eventually(lambda: device.told(Lane.TEL) == 1, "the first ack")
    heard = len(device.heard)
    state = Presence(v=1, state=State.ONLINE, boot="b1", mono=1, utc=now_ms())
    device.publish(topics.presence(address("g1")), encode(state), retain=True)
    eventually(lambda: len(device.heard) > heard, "the ack is told again")
    assert [ack.a[Lane.TEL] for ack in device.heard] == [("aaaa", 1)] * len(device.heard)
    assert pair.one("SELECT count(*) FROM gateway_presence") == 1


def test_shelves_of_both_processes_are_counted_together(pair: Platform, device: Device) -> None:
    first, _ = fence.spans(2)
    assert fence.bucket_of_site("acme", "s1") in first.buckets
    with psycopg.connect(pair.dsn) as connection:
        connection.execute(
            "INSERT INTO stock_policy (tenant_id, site_id, sku, reorder_point, target, mode)"
            " VALUES ('acme', 's1', 'cola', 7, 20, 'suggest')"
        )
        connection.execute("NOTIFY shelfpulse_control")
    # The time of these events lies behind the put-backs of the first.
    for gateway, seq, age_s, left in (("g1", 1, 60, 5), ("g2", 1, 60, 9), ("g1", 2, 30, 4), ("g2", 2, 1, 2)):
        event = Event(id=f"e{gateway}{seq}", d=0, slot="b1", kind=EventKind.SALE, units=-1, dg=-330.0, on_shelf=left)
        sent = EventFrame(v=1, ep="aaaa", seq=seq, t0=now_ms() - age_s * 1000, ev=[event])
        device.send(Lane.EVT, sent, address(gateway))
    eventually(lambda: pair.one("SELECT count(*) FROM proposal") == 1, "a proposal", 60)
    units, evidence = pair.rows("SELECT units, evidence FROM proposal")[0]
    assert evidence["slots"] == {"g1/b1": 4, "g2/b1": 2}
    assert (units, evidence["on_hand"]) == (14, 6)
