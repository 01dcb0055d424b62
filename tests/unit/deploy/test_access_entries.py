"""What a broker is told of gateways, and the messages to them."""

import json
from datetime import UTC, datetime, timedelta

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from contracts import topics
from contracts.commands import Command, DesiredConfig
from contracts.ids import STRICT_IDENTIFIER_PATTERN, bucket_of
from contracts.topics import Down, GatewayAddress, Lane
from deploy.access.entries import Gateway, MosquittoSpelling, NatsSpelling, Scope, StaticUser, hears, publishes
from deploy.downlink.messages import CurrentConfig, DueCommand, command_message, config_message
from platform_api.devices.secrets import Hashes

NAMES = st.from_regex(STRICT_IDENTIFIER_PATTERN)
ADDRESSES = st.builds(GatewayAddress, NAMES, NAMES, NAMES)
HASHES = Hashes("$7$101$c2FsdA==$aGFzaA==", "$2a$04$hash")
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


def matches(topic_filter: str, topic: str) -> bool:
    """MQTT 5, section 4.7, for filters with + alone."""
    wanted, given = topic_filter.split("/"), topic.split("/")
    return len(wanted) == len(given) and all(one in {"+", other} for one, other in zip(wanted, given, strict=True))


def own(address: GatewayAddress) -> set[str]:
    return {*(topics.up(address, lane) for lane in Lane), topics.raw(address), topics.presence(address)}


@given(ADDRESSES, ADDRESSES)
def test_rights_cover_a_gateways_own_topics_and_none_of_another(one: GatewayAddress, other: GatewayAddress) -> None:
    for topic in own(one):
        assert any(matches(right, topic) for right in publishes(one))
    for kind in Down:
        assert any(matches(right, topics.down(one, kind)) for right in hears(one))
        assert not any(matches(right, topics.down(one, kind)) for right in publishes(one))
    if one != other:
        foreign = own(other) | {topics.down(other, kind) for kind in Down}
        assert not any(matches(right, topic) for topic in foreign for right in (*publishes(one), *hears(one)))


def test_mosquitto_reads_a_user_a_paragraph() -> None:
    gateway = Gateway(GatewayAddress("acme", "north", "gw-1"), HASHES)
    files = MosquittoSpelling().files([StaticUser("platform", HASHES, Scope.PLATFORM)], [gateway])
    assert files["passwords"] == f"platform:{HASHES.pbkdf2}\nacme/gw-1:{HASHES.pbkdf2}\n"
    assert files["access"].split("\n\n")[1].splitlines() == [
        "user acme/gw-1",
        f"topic write sp/v1/up/{bucket_of('gw-1')}/acme/north/gw-1/+",
        "topic write sp/v1/raw/acme/north/gw-1",
        "topic write sp/v1/st/acme/north/gw-1",
        "topic read sp/v1/dn/acme/north/gw-1/+",
    ]
    # A right before the first user would be everybody's.
    assert files["access"].startswith("user ")
    assert "pattern" not in files["access"]


def test_nats_reads_subjects_and_the_hash_that_it_knows() -> None:
    gateway = Gateway(GatewayAddress("acme", "north", "gw-1"), HASHES)
    (text,) = NatsSpelling().files([], [gateway]).values()
    (user,) = json.loads(text.removeprefix("users: "))
    assert (user["user"], user["password"]) == ("acme/gw-1", HASHES.bcrypt)
    assert user["permissions"]["subscribe"][0] == "sp.v1.dn.acme.north.gw-1.*"
    assert f"sp.v1.up.{bucket_of('gw-1')}.acme.north.gw-1.*" in user["permissions"]["publish"]


def test_a_command_lives_at_the_broker_as_long_as_it_may_be_heard() -> None:
    due = DueCommand("c1", "acme", "north", "gw-1", "tare", {"slot": "s01"}, NOW + timedelta(seconds=9.2))
    message = command_message(due, NOW)
    assert (message.topic, message.retain, message.expires_s) == ("sp/v1/dn/acme/north/gw-1/cmd", False, 10)
    command = msgspec.json.decode(message.payload, type=Command)
    assert command.expires == int(due.expires_at.timestamp() * 1_000)
    assert command_message(due, NOW + timedelta(seconds=60)).expires_s == 1


def test_a_configuration_is_retained_and_never_expires() -> None:
    config = {"report": {"heartbeat_s": 30.0}}
    message = config_message(CurrentConfig("acme", "north", "gw-1", 7, config, "b0" * 32))
    assert (message.topic, message.retain, message.expires_s) == ("sp/v1/dn/acme/north/gw-1/cfg", True, None)
    assert msgspec.json.decode(message.payload, type=DesiredConfig) == DesiredConfig(7, "b0" * 32, config)
