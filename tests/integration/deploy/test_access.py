"""The broker's users and access list, kept by the real command on real brokers."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from contracts import topics
from contracts.topics import Down, Lane
from deploy.access.files import AccessFolder
from deploy.local.deadline import wait_until
from deploy.local.ports import free_port
from platform_api.devices import secrets
from tests.integration.deploy.gateways import claim, register, revoke
from tests.integration.deploy.mqtt_client import Connect
from tests.services.brokers import BrokerHandle
from tests.services.databases import TEMPLATE, Server

SOON_S = 10.0
START_S = 30.0


@contextmanager
def keeping(dsn: str, broker: BrokerHandle, log: Path, port: int = 0) -> Iterator[subprocess.Popen[bytes]]:
    """``access run`` on a broker; stopped by SIGTERM."""
    access = broker.broker.access
    env = {
        **os.environ,
        "SHELFPULSE_DSN": dsn,
        "MQTT_URL": broker.url,
        "SHELFPULSE_ACCESS_BROKER": broker.kind,
        "SHELFPULSE_ACCESS_DIR": str(access.folder.folder),
        "SHELFPULSE_METRICS_PORT": str(port),
    }
    with log.open("ab") as stream:
        process = subprocess.Popen([sys.executable, "-m", "deploy.cli", "access", "run"], env=env, stderr=stream)
    try:
        assert wait_until(lambda: log.read_text().count("broker_reloaded") > 0, START_S), log.read_text()
        yield process
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()


def comes_in(connect: Connect, url: str) -> bool:
    return not connect(url).refused


def files_of(broker: BrokerHandle) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in broker.broker.access.folder.folder.iterdir()}


def test_a_claimed_gateway_uses_its_own_topics_and_no_others(
    database: str, any_broker: BrokerHandle, connect: Connect, tmp_path: Path
) -> None:
    register(database, "gw-1", "gw-2")
    own, other = claim(database, "gw-1"), claim(database, "gw-2")
    with keeping(database, any_broker, tmp_path / "log"):
        platform, gateway = connect(any_broker.url), connect(own.url(any_broker))
        assert not gateway.refused
        platform.subscribe("sp/v1/#")
        for topic in (
            topics.up(other.address, Lane.TEL),
            topics.raw(other.address),
            topics.presence(other.address),
            topics.down(own.address, Down.CMD),
            topics.up(own.address, Lane.TEL).replace("/up/", "/up/6"),
            topics.raw(own.address) + "/more",
        ):
            # A broker takes a publish that it denies without a word (3.1.1), or hangs up.
            forger = connect(own.url(any_broker))
            forger.publish(topic, b"forged")
        for topic in (topics.up(own.address, Lane.EVT), topics.raw(own.address), topics.presence(own.address)):
            assert gateway.publish(topic, b"mine")
        assert wait_until(lambda: len(platform.received) >= 3, SOON_S)
        assert {payload for _, payload in platform.received} == {b"mine"}

        listener = connect(own.url(any_broker))
        for kind in Down:
            listener.subscribe(topics.down(own.address, kind))
        snoop = connect(own.url(any_broker))
        for topic in (topics.down(other.address, Down.CMD), "sp/v1/dn/#", "sp/v1/#", topics.up(own.address, Lane.EVT)):
            snoop.subscribe(topic)
        for target in (other, own):
            for kind in Down:
                assert platform.publish(topics.down(target.address, kind), target.address.gateway.encode())
        assert wait_until(lambda: len(listener.received) == 3, SOON_S)
        assert {payload for _, payload in [*listener.received, *snoop.received]} == {b"gw-1"}


def test_a_revoked_gateway_is_thrown_out_and_refused_within_seconds_and_others_stay(
    database: str, any_broker: BrokerHandle, connect: Connect, tmp_path: Path
) -> None:
    register(database, "gw-1", "gw-2")
    stolen, honest = claim(database, "gw-1"), claim(database, "gw-2")
    with keeping(database, any_broker, tmp_path / "log"):
        thief, friend = connect(stolen.url(any_broker)), connect(honest.url(any_broker))
        platform = connect(any_broker.url)
        assert thief.is_connected
        assert friend.is_connected
        began_s = time.monotonic()
        revoke(database, "gw-1")
        assert wait_until(lambda: not thief.is_connected, SOON_S)
        assert time.monotonic() - began_s < SOON_S
        assert not comes_in(connect, stolen.url(any_broker))
        assert friend.is_connected
        assert platform.is_connected
        assert comes_in(connect, honest.url(any_broker))


def test_a_new_secret_takes_the_place_of_the_old_one(
    database: str, any_broker: BrokerHandle, connect: Connect, tmp_path: Path
) -> None:
    register(database, "gw-1")
    old = claim(database, "gw-1")
    with keeping(database, any_broker, tmp_path / "log"):
        before = connect(old.url(any_broker), "acme-gw-1")
        assert before.is_connected
        new = claim(database, "gw-1")
        assert wait_until(lambda: comes_in(connect, new.url(any_broker)), SOON_S)
        assert not comes_in(connect, old.url(any_broker))
        # Mosquitto has ended the session with the old secret by now; NATS does when the new one begins.
        after = connect(new.url(any_broker), "acme-gw-1")
        assert wait_until(lambda: not before.is_connected, SOON_S)
        assert after.is_connected


def test_a_broker_that_was_killed_knows_its_gateways_when_it_starts(
    database: str, any_broker: BrokerHandle, connect: Connect, tmp_path: Path
) -> None:
    register(database, "gw-1")
    known = claim(database, "gw-1")
    with keeping(database, any_broker, tmp_path / "log"):
        any_broker.kill()
        any_broker.start()
        assert comes_in(connect, known.url(any_broker))


def test_nothing_is_written_and_no_broker_disturbed_while_nothing_changes(
    database: str, broker: BrokerHandle, tmp_path: Path
) -> None:
    register(database, "gw-1", "gw-2")
    claim(database, "gw-1")
    log, port = tmp_path / "log", free_port()
    with keeping(database, broker, log, port):
        before = files_of(broker)
        # A gateway without a credential tells the keeper, and changes nothing.
        revoke(database, "gw-2")
        metrics = f"http://127.0.0.1:{port}/metrics"

        def rounds() -> float:
            with urllib.request.urlopen(metrics, timeout=2) as answer:
                lines = answer.read().decode().splitlines()
            return next(float(line.split()[1]) for line in lines if line.startswith("shelfpulse_access_seconds_count"))

        assert wait_until(lambda: rounds() >= 2, SOON_S)
        assert files_of(broker) == before
        assert log.read_text().count("access_written") == 1
        assert log.read_text().count("broker_reloaded") == 1
        with urllib.request.urlopen(metrics, timeout=2) as answer:
            text = answer.read().decode()
        assert "shelfpulse_access_gateways 1.0" in text
        assert "shelfpulse_access_last_success_timestamp_seconds" in text
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2) as answer:
            assert answer.status == 200


def test_the_list_stays_while_the_database_is_away_and_follows_when_it_is_back(
    own_postgres_server: Server, broker: BrokerHandle, connect: Connect, tmp_path: Path
) -> None:
    server, log = own_postgres_server, tmp_path / "log"
    dsn = server.postgres.dsn(TEMPLATE)
    register(dsn, "gw-1")
    known = claim(dsn, "gw-1")
    with keeping(dsn, broker, log):
        gateway = connect(known.url(broker))
        server.kill()
        assert wait_until(lambda: "access_not_kept" in log.read_text(), START_S)
        assert gateway.is_connected
        assert comes_in(connect, known.url(broker))
        server.start()
        revoke(dsn, "gw-1")
        assert wait_until(lambda: not gateway.is_connected, START_S)


def test_the_files_are_the_brokers_own_and_nobody_else_reads_them(
    database: str, any_broker: BrokerHandle, tmp_path: Path
) -> None:
    register(database, "gw-1")
    known = claim(database, "gw-1")
    with keeping(database, any_broker, tmp_path / "log"):
        folder = any_broker.broker.access.folder.folder
        for name in any_broker.broker.access.spelling.files((), ()):
            status = (folder / name).stat()
            assert status.st_mode & 0o777 == 0o600
            assert (status.st_uid, status.st_gid) == (folder.stat().st_uid, folder.stat().st_gid)
            assert known.secret not in (folder / name).read_text()


def test_a_pid_file_of_the_past_ends_no_innocent_process(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as innocent:
        pid_file = tmp_path / "broker.pid"
        pid_file.write_text(str(innocent.pid))
        folder = AccessFolder(tmp_path, pid_file, frozenset({"mosquitto", "nats-server"}))
        assert not folder.reload()
        assert innocent.poll() is None
        innocent.kill()
    pid_file.write_text("nonsense")
    assert not folder.reload()
    pid_file.unlink()
    assert not folder.reload()


def test_a_broker_that_is_just_starting_is_told_once_it_can_hear(broker: BrokerHandle) -> None:
    access = broker.broker.access
    process = psutil.Process(broker.children[-1].pid)
    while not access.folder.reload():
        assert time.time() - process.create_time() < SOON_S
    assert time.time() - process.create_time() >= 1.0
    assert process.is_running()


@pytest.mark.parametrize("missing", ["SHELFPULSE_DSN", "MQTT_URL", "SHELFPULSE_ACCESS_DIR"])
def test_a_missing_setting_is_named(tmp_path: Path, missing: str) -> None:
    env = {
        **os.environ,
        "SHELFPULSE_DSN": "postgresql://127.0.0.1:1/none",
        "MQTT_URL": "mqtt://platform:secret@127.0.0.1:1",
        "SHELFPULSE_ACCESS_DIR": str(tmp_path),
    }
    del env[missing]
    command = [sys.executable, "-m", "deploy.cli", "access", "write"]
    result = subprocess.run(command, env=env, capture_output=True, text=True, timeout=START_S, check=False)
    assert result.returncode == 2
    assert missing in result.stderr


def test_secrets_are_told_apart() -> None:
    entry = secrets.pbkdf2("right", b"0" * 12)
    assert secrets.is_secret_of("right", entry)
    assert not secrets.is_secret_of("wrong", entry)
