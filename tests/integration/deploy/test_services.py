"""The fixtures that all other tests stand on, and the configuration of the real services behind them."""

import psycopg
import pytest

from deploy.local.deadline import wait_until
from tests.integration.deploy.mqtt_client import Connect
from tests.services.brokers import BrokerHandle
from tests.services.databases import Server


def test_each_test_gets_a_fresh_migrated_database(database: str) -> None:
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT count(*) FROM tenant").fetchone() == (0,)


def test_a_killed_database_starts_again_with_what_it_had(own_postgres_server: Server) -> None:
    with psycopg.connect(own_postgres_server.dsn, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS n")
    own_postgres_server.kill()
    assert (own_postgres_server.postgres.data / "postmaster.pid").exists()
    own_postgres_server.start()
    with psycopg.connect(own_postgres_server.dsn) as connection:
        assert connection.execute("SELECT n FROM kept").fetchone() == (42,)


def test_a_pid_file_that_names_another_living_process_is_cleared(own_postgres_server: Server) -> None:
    pid_file = own_postgres_server.postgres.data / "postmaster.pid"
    own_postgres_server.kill()
    lines = pid_file.read_text().splitlines()
    pid_file.write_text("\n".join(["1", *lines[1:]]) + "\n")
    own_postgres_server.start()
    assert pid_file.read_text().splitlines()[0] == str(own_postgres_server.children[0].pid)


def test_the_database_refuses_a_wrong_password(postgres_server: Server) -> None:
    wrong = postgres_server.dsn.replace(":test@", ":wrong@")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(wrong)


def test_the_broker_refuses_a_client_without_a_password(any_broker: BrokerHandle, connect: Connect) -> None:
    assert connect(f"mqtt://127.0.0.1:{any_broker.port}").refused
    assert connect(any_broker.url, password="wrong").refused
    assert not connect(any_broker.url).refused


def test_a_device_speaks_up_and_hears_what_is_sent_down(any_broker: BrokerHandle, connect: Connect) -> None:
    platform, device = connect(any_broker.url), connect(any_broker.device_url)
    platform.subscribe("sp/v1/up/#")
    device.subscribe("sp/v1/dn/t/s/g/ack")
    assert device.publish("sp/v1/up/1/t/s/g/tel", b"up")
    assert platform.publish("sp/v1/dn/t/s/g/ack", b"down", retain=True)
    assert wait_until(lambda: platform.received == [("sp/v1/up/1/t/s/g/tel", b"up")], 10)
    assert wait_until(lambda: device.received == [("sp/v1/dn/t/s/g/ack", b"down")], 10)


def test_a_device_neither_speaks_down_nor_hears_its_neighbours(any_broker: BrokerHandle, connect: Connect) -> None:
    platform, device = connect(any_broker.url), connect(any_broker.device_url)
    platform.subscribe("sp/v1/#")
    device.subscribe("sp/v1/up/#")
    device.publish("sp/v1/dn/t/s/g/cmd", b"forged")
    spy = connect(any_broker.device_url)
    assert spy.publish("sp/v1/st/t/s/g", b"seen")
    assert wait_until(lambda: ("sp/v1/st/t/s/g", b"seen") in platform.received, 10)
    assert [topic for topic, _ in platform.received] == ["sp/v1/st/t/s/g"]
    assert platform.publish("sp/v1/up/1/t/s/g/tel", b"private")
    assert wait_until(lambda: ("sp/v1/up/1/t/s/g/tel", b"private") in platform.received, 10)
    assert device.received == []


def test_a_queue_outlives_a_restart_of_the_broker(any_broker: BrokerHandle, connect: Connect) -> None:
    absent = connect(any_broker.url, "absent", clean=False)
    absent.subscribe("sp/v1/up/#")
    absent.close()
    device = connect(any_broker.device_url)
    for number in range(20):
        assert device.publish("sp/v1/up/1/t/s/g/tel", b"%d" % number)
    device.close()
    any_broker.stop()
    any_broker.start()
    back = connect(any_broker.url, "absent", clean=False)
    assert wait_until(lambda: len(back.received) == 20, 10)
    assert [int(payload) for _, payload in back.received] == list(range(20))


def test_a_wiped_broker_has_forgotten_what_was_retained(any_broker: BrokerHandle, connect: Connect) -> None:
    platform = connect(any_broker.url)
    assert platform.publish("sp/v1/dn/t/s/g/ack", b"old", retain=True)
    platform.close()
    any_broker.kill()
    any_broker.wipe()
    any_broker.start()
    device, platform = connect(any_broker.device_url), connect(any_broker.url)
    device.subscribe("sp/v1/dn/#")
    assert platform.publish("sp/v1/dn/t/s/g/ack", b"new", retain=True)
    assert wait_until(lambda: bool(device.received), 10)
    assert [payload for _, payload in device.received] == [b"new"]
