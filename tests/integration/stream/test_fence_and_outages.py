"""Two processes for one bucket, and services that go away."""

import time

import psycopg

from contracts import topics
from contracts.frames import TelemetryFrame, encode
from contracts.topics import Lane
from deploy.local.ports import free_port
from stream.main import FENCE_LOST
from tests.integration.stream.running import ADDRESS, Device, Platform, eventually
from tests.services.databases import Server, clone


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def telemetry(seq: int) -> TelemetryFrame:
    return TelemetryFrame(v=1, ep="aaaa", seq=seq, t0=now_ms(), ch=["b1.weight_g"], i=[0], d=[0], x=[float(seq)])


def test_the_fence_stops_the_process_that_was_there_before(platform: Platform, device: Device) -> None:
    platform.start()
    device.send(Lane.TEL, telemetry(1))
    eventually(lambda: platform.watermark() == 1, "frame 1")
    first, first_port = platform.process, platform.port
    assert first is not None
    platform.extra.append(first)
    platform.port, platform.state = free_port(), platform.state / "second"
    assert platform.port != first_port
    platform.start()
    seq = 1

    def first_is_out() -> bool:
        # Both read the same session in turns, so a frame reaches the first one sooner or later.
        nonlocal seq
        seq = platform.watermark() + 1
        device.send(Lane.TEL, telemetry(seq))
        return first.poll() is not None

    eventually(first_is_out, "the first process ends", 60)
    assert first.returncode == FENCE_LOST
    after = platform.watermark() + 1
    device.insist(
        topics.up(ADDRESS, Lane.TEL),
        lambda: encode(telemetry(platform.watermark() + 1)),
        lambda: platform.watermark() >= after,
        "the second goes on",
    )
    seqs = platform.rows("SELECT value FROM reading ORDER BY value")
    assert [value for (value,) in seqs] == [float(n) for n in range(1, len(seqs) + 1)]


def test_a_watermark_that_another_writer_moved_is_a_lost_fence(platform: Platform, device: Device) -> None:
    platform.start()
    device.send(Lane.TEL, telemetry(1))
    eventually(lambda: platform.watermark() == 1, "frame 1")
    with psycopg.connect(platform.dsn) as connection:
        connection.execute("UPDATE ingest_watermark SET seq = 5")
    device.send(Lane.TEL, telemetry(2))
    assert platform.process is not None
    assert platform.process.wait(20) == FENCE_LOST
    assert platform.one("SELECT count(*) FROM reading") == 1


def test_a_database_that_is_killed_and_comes_back_loses_nothing(
    own_postgres_server: Server, platform: Platform, device: Device
) -> None:
    with clone(own_postgres_server) as dsn:
        with psycopg.connect(dsn) as connection:
            connection.execute("INSERT INTO tenant (tenant_id, name) VALUES ('acme', 'Acme')")
            connection.execute("INSERT INTO site (tenant_id, site_id, name) VALUES ('acme', 's1', 'One')")
            connection.execute("INSERT INTO gateway (tenant_id, gateway_id, site_id) VALUES ('acme', 'g1', 's1')")
        platform.dsn = dsn
        platform.start()
        device.send(Lane.TEL, telemetry(1))
        eventually(lambda: device.told(Lane.TEL) == 1, "frame 1")
        own_postgres_server.kill()
        for seq in range(2, 40):
            device.send(Lane.TEL, telemetry(seq))
        eventually(lambda: platform.metric("shelfpulse_commit_retries_total") >= 2, "the epoch is tried again")
        assert device.told(Lane.TEL) == 1
        own_postgres_server.start()
        eventually(lambda: device.told(Lane.TEL) == 39, "everything is committed")
        assert platform.one("SELECT count(*), count(DISTINCT value) FROM reading") == 39
        platform.kill()


def test_a_broker_that_lost_everything_is_no_loss(platform: Platform, device: Device) -> None:
    platform.start()
    device.send(Lane.TEL, telemetry(1))
    eventually(lambda: device.told(Lane.TEL) == 1, "frame 1")
    platform.broker.kill()
    platform.broker.wipe()
    platform.broker.start()
    eventually(platform.is_ready, "the stream is connected again")
    eventually(device.client.is_connected, "the device is connected again")
    second = encode(telemetry(2))
    device.insist(
        topics.up(ADDRESS, Lane.TEL), lambda: second, lambda: device.told(Lane.TEL) == 2, "frame 2 is acknowledged"
    )
    assert platform.one("SELECT count(*) FROM reading") == 2
