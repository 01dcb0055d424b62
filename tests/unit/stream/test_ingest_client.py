"""The quick way to read an MQTT message: only what is whole and certain, paho reads the rest."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.ingest_client import whole_publishes


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
    assert whole_publishes(buffer, len(before), 9) == ([(topic, mid, payload)], len(buffer) - 1)


@pytest.mark.parametrize("size", [0, 100, 200, 20_000])
def test_a_message_that_is_not_all_there_is_left_alone(size: int) -> None:
    whole = packed(b"sp/v1/raw/a/b/c", 7, b"x" * size)
    for length in {*range(min(len(whole), 30)), len(whole) - 1}:
        assert whole_publishes(whole[:length], 0, 9) == ([], 0)


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
    assert whole_publishes(packet, 0, 9) == ([], 0)


@given(st.binary(max_size=64))
def test_no_bytes_break_it(buffer: bytes) -> None:
    found, end = whole_publishes(buffer, 0, 9)
    assert end <= len(buffer)
    assert sum(len(topic) + len(payload) + 6 for topic, _, payload in found) <= end


@given(st.lists(st.tuples(st.binary(max_size=20), st.integers(1, 65_535), st.binary(max_size=300)), max_size=12),
       st.integers(1, 9), st.integers(0, 40))  # fmt: skip
def test_messages_in_a_row_are_found_in_order_and_the_rest_is_left(
    messages: list[tuple[bytes, int, bytes]], most: int, cut: int
) -> None:
    packets = [packed(*message) for message in messages]
    buffer = b"".join(packets)
    buffer = buffer[: max(len(buffer) - cut, 0)]
    whole = 0
    while whole < len(packets) and sum(map(len, packets[: whole + 1])) <= len(buffer):
        whole += 1
    found, end = whole_publishes(buffer, 0, most)
    assert found == messages[: min(whole, most)]
    assert end == sum(map(len, packets[: len(found)]))
