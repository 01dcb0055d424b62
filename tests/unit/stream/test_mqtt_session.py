"""The quick way to read an MQTT message: only what is whole and certain, paho reads the rest."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.mqtt_session import whole_publish


def packed(topic: bytes, mid: int, payload: bytes, qos: int = 1) -> bytes:
    """A PUBLISH as MQTT 3.1.1 spells it."""
    body = len(topic).to_bytes(2) + topic + (mid.to_bytes(2) if qos else b"") + payload
    length, rest = bytearray(), len(body)
    while True:
        rest, low = divmod(rest, 128)
        length.append(low | (0x80 if rest else 0))
        if not rest:
            return bytes([0x30 | qos << 1]) + bytes(length) + body


@given(st.binary(max_size=40), st.integers(1, 65_535), st.integers(0, 20_000), st.binary(max_size=9))
def test_a_whole_message_is_found_wherever_it_lies(topic: bytes, mid: int, size: int, before: bytes) -> None:
    payload = b"x" * size
    buffer = before + packed(topic, mid, payload) + b"\x30"
    found = whole_publish(buffer, len(before))
    assert found is not None
    topic_at, mid_at, end = found
    assert buffer[topic_at:mid_at] == topic
    assert int.from_bytes(buffer[mid_at : mid_at + 2]) == mid
    assert buffer[mid_at + 2 : end] == payload
    assert end == len(buffer) - 1


@pytest.mark.parametrize("size", [0, 100, 200, 20_000])
def test_a_message_that_is_not_all_there_is_left_alone(size: int) -> None:
    whole = packed(b"sp/v1/raw/a/b/c", 7, b"x" * size)
    for length in {*range(min(len(whole), 30)), len(whole) - 1}:
        assert whole_publish(whole[:length], 0) is None


@pytest.mark.parametrize(
    "packet",
    [
        packed(b"t", 1, b"payload", qos=0),
        b"\x40\x02\x00\x07\x00\x00",
        b"\x32\x04\x00\x09\x00\x01\x00\x00\x00\x00\x00\x00",
        b"\x32\xff\xff\xff\xff\x01" + bytes(10),
        b"\x32\x01\x00" + bytes(10),
    ],
    ids=["QoS 0", "PUBACK", "topic longer than the packet", "length of five bytes", "no room for a topic"],
)
def test_what_is_no_message_for_us_is_left_alone(packet: bytes) -> None:
    assert whole_publish(packet, 0) is None


@given(st.binary(max_size=64))
def test_no_bytes_break_it(buffer: bytes) -> None:
    found = whole_publish(buffer, 0)
    assert found is None or 0 < found[0] <= found[1] <= found[2] - 2 <= len(buffer) - 2
