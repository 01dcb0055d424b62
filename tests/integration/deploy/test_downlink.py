"""Commands and configurations on their way to gateways: real brokers, a real database."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import psycopg
import pytest
from prometheus_client import CollectorRegistry
from psycopg.types.json import Jsonb

from contracts import topics
from contracts.commands import Command, CommandKind, DesiredConfig, config_sha256
from contracts.topics import Down, GatewayAddress
from deploy.downlink.link import IN_FLIGHT_MAX, Link
from deploy.downlink.runner import Downlink, Metrics
from deploy.local.broker import BrokerKind
from deploy.local.deadline import wait_until
from stream.settings import parse_mqtt_url
from tests.integration.deploy.gateways import register, revoke
from tests.integration.deploy.mqtt_client import Client, Connect
from tests.services.brokers import BrokerHandle

SOON_S = 15.0
GATEWAY = GatewayAddress("acme", "north", "gw-1")
CMD, CFG = topics.down(GATEWAY, Down.CMD), topics.down(GATEWAY, Down.CFG)


@contextmanager
def downlink(dsn: str, broker: BrokerHandle) -> Iterator[Downlink]:
    """A running downlink."""
    running = Downlink(dsn, Link(parse_mqtt_url(broker.url)), Metrics(CollectorRegistry()))
    running.start()
    try:
        yield running
    finally:
        running.stop()


def queue_command(dsn: str, command: str, life_s: float = 60.0, gateway: str = "gw-1") -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute(
            """INSERT INTO command (command_id, tenant_id, gateway_id, kind, args, expires_at)
               VALUES (%s, 'acme', %s, 'tare', '{"slot": "s01-b1"}', %s)""",
            (command, gateway, datetime.now(UTC) + timedelta(seconds=life_s)),
        )


def desire(dsn: str, version: int, config: dict[str, Any], gateway: str = "gw-1") -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute(
            """INSERT INTO gateway_config (tenant_id, gateway_id, version, config, sha256)
               VALUES ('acme', %s, %s, %s, %s)""",
            (gateway, version, Jsonb(config), config_sha256(config)),
        )


def states(dsn: str, query: str) -> dict[Any, str]:
    with psycopg.connect(dsn) as connection:
        return dict(connection.execute(query.encode()).fetchall())


def commands(dsn: str) -> dict[str, str]:
    return states(dsn, "SELECT command_id, state FROM command")


def configs(dsn: str) -> dict[int, str]:
    return states(dsn, "SELECT version, state FROM gateway_config")


def heard(client: Client) -> list[str]:
    return [msgspec.json.decode(payload, type=Command).id for topic, payload in client.received if topic == CMD]


def listen(connect: Connect, broker: BrokerHandle, name: str = "", *, clean: bool = True) -> Client:
    client = connect(broker.device_url, name, clean=clean)
    client.subscribe(CMD)
    client.subscribe(CFG)
    return client


def test_a_command_is_published_once_and_not_kept(database: str, any_broker: BrokerHandle, connect: Connect) -> None:
    register(database, "gw-1")
    gateway = listen(connect, any_broker)
    with downlink(database, any_broker):
        queue_command(database, "first")
        assert wait_until(lambda: commands(database) == {"first": "sent"}, SOON_S)
        assert wait_until(lambda: len(gateway.received) == 1, SOON_S)
        command = msgspec.json.decode(gateway.received[0][1], type=Command)
        assert (command.id, command.kind, command.args) == ("first", CommandKind.TARE, {"slot": "s01-b1"})
        assert 0 < command.expires - time.time() * 1_000 <= 60_000
        # What comes after it shows that it did not come twice.
        queue_command(database, "second")
        assert wait_until(lambda: heard(gateway) == ["first", "second"], SOON_S)
        assert listen(connect, any_broker).received == []


def test_a_command_that_nobody_hears_waits_for_its_gateway(
    database: str, broker: BrokerHandle, connect: Connect
) -> None:
    if broker.kind != BrokerKind.MOSQUITTO:
        pytest.skip("only MQTT 5 says that nobody listens")
    register(database, "gw-1")
    with downlink(database, broker):
        queue_command(database, "early")
        assert wait_until(lambda: tried(database), SOON_S)
        assert commands(database) == {"early": "queued"}
        gateway = listen(connect, broker)
        assert wait_until(lambda: heard(gateway) == ["early"], SOON_S)
        assert wait_until(lambda: commands(database) == {"early": "sent"}, SOON_S)


def tried(dsn: str) -> bool:
    return set(states(dsn, "SELECT command_id, (tried_at IS NOT NULL)::text FROM command").values()) == {"true"}


def test_the_broker_forgets_a_command_that_expires_before_its_gateway_comes_back(
    database: str, broker: BrokerHandle, connect: Connect
) -> None:
    if broker.kind != BrokerKind.MOSQUITTO:
        pytest.skip("messages expire in MQTT 5")
    register(database, "gw-1")
    listen(connect, broker, "absent", clean=False).close()
    with downlink(database, broker):
        queue_command(database, "short", life_s=3.0)
        queue_command(database, "long", life_s=600.0)
        assert wait_until(lambda: commands(database) == {"short": "sent", "long": "sent"}, SOON_S)
        over_at = time.time() + 4.0
        assert wait_until(lambda: time.time() > over_at, SOON_S)
        back = listen(connect, broker, "absent", clean=False)
        assert wait_until(lambda: heard(back) == ["long"], SOON_S)


def test_commands_expire_by_themselves_and_those_that_were_heard_later(database: str, broker: BrokerHandle) -> None:
    register(database, "gw-1")
    for state, age_s in (("queued", 1), ("sent", 30), ("sent", 90), ("acked", 90), ("acked", 4_000), ("done", 9_000)):
        queue_command(database, f"{state}-{age_s}", life_s=-age_s)
        with psycopg.connect(database) as connection:
            connection.execute("UPDATE command SET state = %s WHERE command_id = %s", (state, f"{state}-{age_s}"))
    after = {
        "queued-1": "expired",
        "sent-30": "sent",
        "sent-90": "expired",
        "acked-90": "acked",
        "acked-4000": "expired",
        "done-9000": "done",
    }
    with downlink(database, broker):
        assert wait_until(lambda: commands(database) == after, SOON_S), commands(database)


def test_the_newest_configuration_is_retained_for_a_gateway_that_comes_later(
    database: str, any_broker: BrokerHandle, connect: Connect
) -> None:
    register(database, "gw-1")
    config = {"report": {"heartbeat_s": 30.0}, "zero": 0.00001}
    desire(database, 1, {"drain_s": 1.0})
    desire(database, 2, config)
    with downlink(database, any_broker):
        assert wait_until(lambda: configs(database)[2] == "sent", SOON_S)
        gateway = listen(connect, any_broker)
        assert wait_until(lambda: bool(gateway.received), SOON_S)
        (message,) = gateway.received
        desired = msgspec.json.decode(message[1], type=DesiredConfig)
        assert (message[0], desired.version, desired.config) == (CFG, 2, config)
        assert desired.sha256 == config_sha256(desired.config)
        assert configs(database) == {1: "desired", 2: "sent"}


def test_a_broker_that_lost_everything_is_told_again(database: str, any_broker: BrokerHandle, connect: Connect) -> None:
    names = [f"gw-{number}" for number in range(1, IN_FLIGHT_MAX + 20)]
    register(database, *names)
    for name in names:
        desire(database, 1, {"drain_s": 1.0}, name)
    gateway = listen(connect, any_broker)
    with downlink(database, any_broker):
        queue_command(database, "lost")
        assert wait_until(lambda: heard(gateway) == ["lost"], SOON_S)
        assert wait_until(lambda: set(configs_by_gateway(database).values()) == {"sent"}, SOON_S)
        with psycopg.connect(database) as connection:
            connection.execute("UPDATE gateway_config SET state = 'applied' WHERE gateway_id = 'gw-1'")
        any_broker.kill()
        any_broker.wipe()
        any_broker.start()
        everything = connect(any_broker.device_url)
        everything.subscribe("sp/v1/dn/#")
        assert wait_until(lambda: len({topic for topic, _ in everything.received}) == len(names) + 1, 60)
        assert "lost" in heard(everything)
        assert configs_by_gateway(database)["gw-1"] == "applied"


def configs_by_gateway(dsn: str) -> dict[str, str]:
    return states(dsn, "SELECT gateway_id, state FROM gateway_config")


def test_a_second_worker_publishes_only_once_the_first_is_gone(
    database: str, broker: BrokerHandle, connect: Connect
) -> None:
    register(database, "gw-1")
    gateway = listen(connect, broker)
    with downlink(database, broker) as first:
        queue_command(database, "one")
        assert wait_until(lambda: heard(gateway) == ["one"], SOON_S)
        with downlink(database, broker):
            queue_command(database, "two")
            assert wait_until(lambda: heard(gateway) == ["one", "two"], SOON_S)
            with psycopg.connect(database) as connection:
                connection.execute("UPDATE command SET state = 'done'")
            first.stop()
            queue_command(database, "three")
            assert wait_until(lambda: heard(gateway)[2:] == ["three"], SOON_S)


def test_a_revoked_gateway_is_told_nothing(database: str, broker: BrokerHandle, connect: Connect) -> None:
    register(database, "gw-1", "gw-2")
    gateway = connect(broker.device_url)
    gateway.subscribe("sp/v1/dn/#")
    revoke(database, "gw-2")
    queue_command(database, "no", gateway="gw-2")
    desire(database, 1, {"drain_s": 1.0}, "gw-2")
    queue_command(database, "yes")
    with downlink(database, broker):
        assert wait_until(lambda: commands(database)["yes"] == "sent", SOON_S)
        assert wait_until(lambda: heard(gateway) == ["yes"], SOON_S)
        assert commands(database)["no"] == "queued"
        assert len(gateway.received) == 1
