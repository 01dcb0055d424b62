"""A stream of several processes, and everything that may happen to it: each frame once, whatever it was."""

import itertools
import os
import random
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from contracts import frames, topics
from contracts.topics import Lane
from deploy.local.deadline import wait_until
from deploy.local.ports import free_port
from deploy.verify import verify
from stream.main import FENCE_LOST
from tests.integration.stream.conftest import run_platform
from tests.integration.stream.running import Device, Platform, eventually
from tests.integration.stream.test_processes import (
    FRAMES,
    GATEWAYS,
    address,
    all_committed,
    now_ms,
    send_all,
    telemetry,
)
from tests.services.brokers import BrokerHandle
from tests.services.databases import Server, clone

KILLS = 12
AWAY_S = 20.0


@pytest.fixture
def cluster(platform: Platform) -> Iterator[Platform]:
    """A stream of two processes, not started yet."""
    platform.processes = 2
    yield platform
    stop_if_running(platform)


def stop_if_running(platform: Platform) -> None:
    if platform.process is not None and platform.process.poll() is None:
        platform.stop()


def send_until_committed(platform: Platform, device: Device, t0_ms: int, within_s: float = 90) -> None:
    """As gateways do: go back to the watermark when it does not move."""

    def once_more() -> bool:
        send_all(device, platform, t0_ms)
        return wait_until(lambda: all_committed(platform), 3)

    eventually(lambda: all_committed(platform) or once_more(), "every frame", within_s)


def assert_everything_once(platform: Platform) -> None:
    count, different = platform.rows("SELECT count(*), count(DISTINCT (series_id, time, value)) FROM reading")[0]
    assert count == different == len(GATEWAYS) * FRAMES * 2
    for gateway in GATEWAYS:
        ranges = platform.rows(
            "SELECT from_seq, to_seq FROM ingest_batch WHERE gateway_id = %s ORDER BY from_seq", gateway
        )
        assert (ranges[0][0], ranges[-1][1]) == (1, FRAMES)
        assert all(after[0] == before[1] + 1 for before, after in itertools.pairwise(ranges))
    report = verify(platform.dsn)
    assert report.ok, report.broken


def some_committed(platform: Platform, share: float = 0.0) -> bool:
    return min(platform.watermark(gateway=gateway) for gateway in GATEWAYS) > share * FRAMES


@pytest.mark.timeout(400)
@pytest.mark.parametrize("seed", [1])
def test_a_dozen_kills_at_random_moments_lose_nothing(cluster: Platform, device: Device, seed: int) -> None:
    chance = random.Random(seed)
    t0_ms = now_ms()
    for _ in range(KILLS):
        cluster.process = cluster.spawn(cluster.port)
        # Some die while they start, some before their first commit, some in the middle of one.
        before = sum(cluster.watermark(gateway=gateway) for gateway in GATEWAYS)
        if chance.random() < 0.5:
            send_some(device, cluster, t0_ms, chance)
            wait_until(lambda: sum(cluster.watermark(gateway=gateway) for gateway in GATEWAYS) > before, 15)  # noqa: B023
        wait_until(lambda: cluster.process.poll() is not None, chance.uniform(0.1, 2.0))  # type: ignore[union-attr]
        victims = cluster.children()
        if victims and chance.random() < 0.6:
            with suppress(ProcessLookupError):
                os.kill(chance.choice(victims), signal.SIGKILL)
            assert cluster.process.wait(60) != 0, "the end of one is the end of all"
        else:
            for pid in [*victims, cluster.process.pid]:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            cluster.process.wait(10)
    cluster.start()
    send_until_committed(cluster, device, t0_ms)
    assert cluster.stop() == 0
    assert_everything_once(cluster)


def send_some(device: Device, platform: Platform, t0_ms: int, chance: random.Random) -> None:
    """A few frames of each gateway, from its watermark on."""
    for gateway in GATEWAYS:
        first = platform.watermark(gateway=gateway) + 1
        for seq in range(first, min(first + chance.randint(1, FRAMES // KILLS), FRAMES + 1)):
            payload = frames.encode(telemetry(seq, t0_ms))
            device.client.publish(topics.up(address(gateway), Lane.TEL), payload, qos=1)


@pytest.mark.timeout(300)
def test_a_database_that_is_away_for_long_ends_no_process_and_loses_nothing(
    own_postgres_server: Server, broker: BrokerHandle, tmp_path: Path, device: Device
) -> None:
    with clone(own_postgres_server) as dsn, run_platform(dsn, broker, tmp_path) as cluster:
        cluster.processes = 2
        cluster.start()
        t0_ms = now_ms()
        send_all(device, cluster, t0_ms)
        eventually(lambda: some_committed(cluster), "both have begun")
        members = cluster.children()
        own_postgres_server.kill()
        away_since = time.monotonic()
        for gateway in GATEWAYS:
            payload = frames.encode(telemetry(1, t0_ms))
            device.client.publish(topics.up(address(gateway), Lane.TEL), payload, qos=1)
        assert not wait_until(lambda: not cluster.is_alive(), AWAY_S)
        assert time.monotonic() - away_since >= AWAY_S
        own_postgres_server.start()
        send_until_committed(cluster, device, t0_ms)
        assert cluster.children() == members, "none of them was replaced"
        assert cluster.stop() == 0
        assert_everything_once(cluster)


def test_a_broker_that_is_away_and_comes_back_empty_is_no_loss(cluster: Platform, device: Device) -> None:
    cluster.start()
    t0_ms = now_ms()
    send_all(device, cluster, t0_ms)
    eventually(lambda: some_committed(cluster), "both have begun")
    members = cluster.children()
    cluster.broker.kill()
    cluster.broker.wipe()
    eventually(lambda: not cluster.is_healthy(), "they say that the broker is away")
    cluster.broker.start()
    eventually(cluster.is_ready, "they are connected again", 60)
    eventually(device.client.is_connected, "so is the device")
    send_until_committed(cluster, device, t0_ms)
    assert cluster.children() == members
    assert cluster.stop() == 0
    assert_everything_once(cluster)


def test_a_lost_recovery_directory_costs_no_frame(cluster: Platform, device: Device) -> None:
    cluster.start()
    t0_ms = now_ms()
    send_all(device, cluster, t0_ms)
    eventually(lambda: some_committed(cluster), "both have begun")
    for pid in [*cluster.children(), cluster.process.pid if cluster.process else 0]:
        os.kill(pid, signal.SIGKILL)
    cluster.kill()
    shutil.rmtree(cluster.state / "stream" / "recovery")
    cluster.start()
    send_until_committed(cluster, device, t0_ms)
    assert cluster.stop() == 0
    assert_everything_once(cluster)


@pytest.mark.timeout(300)
def test_a_restart_with_more_or_fewer_processes_goes_on_where_the_others_were(
    cluster: Platform, device: Device
) -> None:
    t0_ms = now_ms()
    for processes in (2, 3, 1):
        cluster.processes = processes
        cluster.port = free_port()
        cluster.start()
        if processes == 1:
            send_until_committed(cluster, device, t0_ms)
        else:
            before = sum(cluster.watermark(gateway=gateway) for gateway in GATEWAYS)
            send_some(device, cluster, t0_ms, random.Random(processes))
            eventually(
                lambda before=before: sum(cluster.watermark(gateway=each) for each in GATEWAYS) > before,  # type: ignore[misc]
                f"{processes} processes commit",
            )
        assert cluster.stop() == 0
    assert_everything_once(cluster)
    assert len(cluster.rows("SELECT partition FROM ingest_owner")) == 6


def test_a_stop_seals_what_was_read_in_every_process(cluster: Platform, device: Device) -> None:
    cluster.start()
    send_all(device, cluster, now_ms())
    eventually(lambda: some_committed(cluster), "both have begun")
    assert cluster.stop() == 0
    committed = {gateway: cluster.watermark(gateway=gateway) for gateway in GATEWAYS}
    eventually(lambda: device.told(Lane.TEL) == committed["g1"], "the last ack is never withheld")
    # What was not read is still in the broker's sessions, and comes without being sent again.
    cluster.start()
    eventually(lambda: all_committed(cluster), "the rest comes by itself", 60)
    assert cluster.stop() == 0
    assert_everything_once(cluster)


def test_a_second_stream_deposes_the_first_as_a_whole(cluster: Platform, device: Device) -> None:
    cluster.start()
    t0_ms = now_ms()
    first = cluster.process
    assert first is not None
    cluster.extra.append(first)
    cluster.port, cluster.state = free_port(), cluster.state / "second"
    cluster.start()

    def first_is_out() -> bool:
        # Both read the same sessions in turns, so a frame reaches the first one sooner or later.
        send_some(device, cluster, t0_ms, random.Random(7))
        return first.poll() is not None

    eventually(first_is_out, "the first stream ends", 90)
    assert first.returncode == FENCE_LOST
    send_until_committed(cluster, device, t0_ms)
    assert cluster.stop() == 0
    assert_everything_once(cluster)
