"""Topics, acks, presence, plain readings, metrics and ids."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import acks, ids, metrics, plain, presence, topics
from contracts.frames import FrameError, Reason
from contracts.topics import Down, GatewayAddress, Lane, TopicError

names = st.from_regex(ids.IDENTIFIER_PATTERN, fullmatch=True).filter(lambda text: not text.endswith("\n"))
addresses = st.builds(GatewayAddress, names, names, names)
ADDRESS = GatewayAddress("acme", "store-01", "gw-1")


@given(addresses, st.sampled_from(Lane))
def test_an_up_topic_is_read_as_it_was_made(address: GatewayAddress, lane: Lane) -> None:
    parsed = topics.parse_up(topics.up(address, lane))
    assert (parsed.address, parsed.lane) == (address, lane)
    assert 0 <= parsed.bucket < ids.BUCKETS


@given(addresses)
def test_plain_topics_are_read_as_they_were_made(address: GatewayAddress) -> None:
    assert topics.parse_plain(topics.raw(address), "raw") == address
    assert topics.parse_plain(topics.presence(address), "st") == address


def test_topics_are_spelled_as_the_protocol_says() -> None:
    assert topics.up(ADDRESS, Lane.TEL) == "sp/v1/up/38/acme/store-01/gw-1/tel"
    assert topics.down(ADDRESS, Down.ACK) == "sp/v1/dn/acme/store-01/gw-1/ack"
    assert topics.raw(ADDRESS) == "sp/v1/raw/acme/store-01/gw-1"


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "sp/v1/up/59/acme/store-01/gw-1/tel",
        "sp/v1/up/038/acme/store-01/gw-1/tel",
        "sp/v1/up/38/acme/store-01/gw-1/nope",
        "sp/v1/up/38/acme/store-01/gw-1",
        "sp/v2/up/38/acme/store-01/gw-1/tel",
        "sp/v1/up/38/ACME/store-01/gw-1/tel",
        "sp/v1/up/38/acme/store-01/gw-1/tel/x",
        "sp/v1/up/38//store-01/gw-1/tel",
    ],
)
def test_a_topic_that_no_gateway_publishes_is_refused(topic: str) -> None:
    with pytest.raises(TopicError):
        topics.parse_up(topic)


@pytest.mark.parametrize("text", ["", "-a", "a" * 33, "A", "a b", "a\n", "a/b", "ä"])
def test_identifiers_have_one_alphabet(text: str) -> None:
    assert not ids.is_identifier(text)


def test_an_ack_survives_the_wire_and_has_one_spelling() -> None:
    payload = acks.encode({Lane.TEL: ("k3v9q2", 184467), Lane.EVT: ("k3v9q2", 911)})
    assert payload == b'{"v":1,"a":{"evt":["k3v9q2",911],"tel":["k3v9q2",184467]}}'
    assert acks.decode(payload).a[Lane.TEL] == ("k3v9q2", 184467)


@given(st.binary(max_size=200))
def test_other_bytes_are_no_ack_and_no_presence(payload: bytes) -> None:
    with pytest.raises(acks.AckError):
        acks.decode(payload)
    with pytest.raises(presence.PresenceError):
        presence.decode(payload)


def test_a_presence_survives_the_wire() -> None:
    said = presence.Presence(
        v=1,
        state=presence.State.ONLINE,
        since=1767225600123,
        boot="a81f",
        mono=99,
        utc=1767225600222,
        agent="0.1.0",
        outbox=presence.OutboxDepth(frames=3, oldest_s=1.5),
        sent={"tel": presence.Sent("k3v9q2", 12, "ff00")},
    )
    assert presence.decode(presence.encode(said)) == said


def test_a_plain_reading_may_be_one_or_many() -> None:
    one = plain.decode(b'{"ts":1767225600123,"values":{"bay03.weight_g":4213.5}}')
    many = plain.decode(b'[{"values":{"a.g":1}},{"values":{"a.g":2}}]')
    assert one[0].values == {"bay03.weight_g": 4213.5}
    assert [reading.values["a.g"] for reading in many] == [1.0, 2.0]


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"{}", Reason.BAD_BODY),
        (b"[]", Reason.BAD_BODY),
        (b'{"values":{"nodot":1}}', Reason.BAD_BODY),
        (b'{"values":{"a.g":"1"}}', Reason.BAD_BODY),
        (b'{"values":{"a.g":NaN}}', Reason.BAD_JSON),
        (b"hello", Reason.BAD_JSON),
        (b" " * 70_000, Reason.TOO_LARGE),
    ],
)
def test_a_bad_plain_reading_says_why(payload: bytes, reason: Reason) -> None:
    with pytest.raises(FrameError) as caught:
        plain.decode(payload)
    assert caught.value.reason is reason


def test_metrics_carry_units_and_ranges() -> None:
    weight = metrics.metric_for("s01-b1.weight_g")
    assert weight is not None
    assert weight.unit == "g"
    assert all(metric.low < metric.high for metric in metrics.METRICS.values())
    assert metrics.unit_for("x.flow_kg") == "kg"
    assert metrics.unit_for("x.mystery") == ""


def test_derived_ids_depend_on_content_alone() -> None:
    assert ids.derived_id("a", 1) == ids.derived_id("a", "1")
    assert ids.derived_id("a", "bc") != ids.derived_id("ab", "c")
