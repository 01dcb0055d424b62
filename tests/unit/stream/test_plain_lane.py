"""Plain messages to columns: what a batch brings is what each of its messages would have brought alone."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import frames, plain
from contracts.frames import FrameError, Reason, TelemetryFrame
from stream.decode import Decoder
from stream.facts import Chunk, LateBatch, LateFrame, Message, Origin
from tests.unit.stream.test_decode import NOW, NOW_MS, Registry
from tests.unit.stream.test_decode import TOPIC as UP

TOPIC = "sp/v1/raw/acme/s1/g1"
DAY_MS = 86_400_000

times = st.none() | st.sampled_from([NOW_MS, NOW_MS - 5_000, NOW_MS - 500 * DAY_MS, NOW_MS + 3_600_000])
channels = st.sampled_from(["a.temp_c", "b.weight_g", "c1.humidity_pct", "Bad Name", "refused.weight_g"])
readings = st.builds(
    lambda ts, values: {"values": values} | ({} if ts is None else {"ts": ts}),
    times, st.dictionaries(channels, st.floats(-1e6, 1e6) | st.integers(-9, 9), max_size=3),
)  # fmt: skip
payloads = st.one_of(
    readings.map(msgspec.json.encode),
    st.lists(readings, max_size=3).map(msgspec.json.encode),
    st.sampled_from([b"", b"{", b"[" * 9_000, b'{"values":{"a.temp_c":NaN}}', b'{"values":{"a.temp_c":true}}']),
)


def decode(decoder: Decoder, *payloads: bytes, received_ms: int = NOW_MS) -> Chunk:
    ((_, chunk),) = decoder([[Message(TOPIC, payload, received_ms) for payload in payloads]])
    return chunk


def expected(payload: bytes) -> tuple[list[tuple[int, str, float, bool]], list[Reason]]:
    """Readings and refusals of a message by the contract alone."""
    try:
        read = plain.decode(payload)
    except FrameError as error:
        return [], [error.reason]
    stored: list[tuple[int, str, float, bool]] = []
    refused: list[Reason] = []
    for reading in read:
        at_ms = NOW_MS if reading.ts is None else reading.ts
        if at_ms not in {NOW_MS, NOW_MS - 5_000}:
            refused.append(Reason.BAD_TIME)
        elif "refused.weight_g" in reading.values:
            refused.append(Reason.TOO_MANY_CHANNELS)
        else:
            stored += [(at_ms * 1000, name, value, reading.ts is not None) for name, value in reading.values.items()]
    return stored, refused


def rows_of(chunk: Chunk, registry: Registry) -> list[tuple[int, str, float, bool]]:
    names = {series: channel for (_, channel), series in registry.ids.items()}
    rows = []
    for run in chunk.plain:
        for place in range(run.lo, run.hi):
            series = names[int(chunk.columns.series[place])]
            rows.append((int(chunk.columns.time_us[place]), series, float(chunk.columns.value[place]), run.once))
    return rows


@given(st.lists(payloads, min_size=1, max_size=12), st.booleans())
def test_a_batch_brings_what_each_message_alone_would(sent: list[bytes], known: bool) -> None:  # noqa: FBT001
    registry = Registry()
    decoding = Decoder(registry, clock=lambda: NOW)
    if known:
        decode(decoding, b'{"values":{"a.temp_c":1,"b.weight_g":1,"c1.humidity_pct":1}}')
    chunk = decode(decoding, *sent)
    stored: list[Any] = []
    refused: list[Reason] = []
    for payload in sent:
        rows, reasons = expected(payload)
        stored += rows
        refused += reasons
    assert sorted(rows_of(chunk, registry)) == sorted(stored)
    assert sorted(stray.fault.reason for stray in chunk.strays) == sorted(refused)
    assert [run.hi - run.lo for run in chunk.plain] == [sum(run.bundle.counts) for run in chunk.plain]
    assert all(run.bundle.messages for run in chunk.plain)


@pytest.mark.parametrize("known", [False, True], ids=["the strict way", "the quick way"])
@pytest.mark.parametrize(
    "payload",
    [
        b'{"values":{"a.temp_c":1,"a.temp_c":2}}',
        b'{"values":{"a.temp_c":1,"\\u0061.temp_c":2}}',
        b'{"values":{"a.temp_c":1},"values":{"a.temp_c":2}}',
        b'{"ts":%d,"values":{"a.temp_c":1},"ts":%d}' % (NOW_MS, NOW_MS - 1),
        b'[{"values":{"a.temp_c":1}},{"values":{"a.temp_c":1 , "a.temp_c" :2}}]',
    ],
)
def test_a_message_that_says_two_things_at_once_is_refused(payload: bytes, known: bool) -> None:  # noqa: FBT001
    decoding = Decoder(Registry(), clock=lambda: NOW)
    if known:
        decode(decoding, b'{"values":{"a.temp_c":1}}')
    chunk = decode(decoding, payload)
    assert chunk.plain == []
    assert [stray.fault.reason for stray in chunk.strays] == [Reason.DUPLICATE_KEY]


@pytest.mark.parametrize("known", [False, True], ids=["the strict way", "the quick way"])
def test_what_else_a_message_says_does_not_matter(known: bool) -> None:  # noqa: FBT001
    decoding = Decoder(Registry(), clock=lambda: NOW)
    if known:
        decode(decoding, b'{"values":{"a.temp_c":1}}')
    chunk = decode(decoding, b'{ "values" : { "a.temp_c" : 2 } , "model" : "ESP32" }')
    assert chunk.columns.value.tolist() == [2.0]
    assert chunk.strays == []


def test_new_channels_of_a_batch_are_asked_for_at_once_and_known_ones_never() -> None:
    registry = Registry()
    decoding = Decoder(registry, clock=lambda: NOW)
    sent = [b'{"values":{"d%d.temp_c":1}}' % number for number in range(50)]
    assert len(decode(decoding, *sent).columns) == 50
    assert registry.asked == 1
    assert len(decode(decoding, *sent, *sent).columns) == 100
    assert registry.asked == 1


def test_readings_of_one_series_keep_their_order_of_receipt() -> None:
    decoding = Decoder(Registry(), clock=lambda: NOW)
    sent = [b'{"ts":%d,"values":{"a.temp_c":%d}}' % (NOW_MS, number) for number in range(40)]
    # The first batch meets a new channel, the second a known one.
    assert decode(decoding, *sent[:20]).columns.value.tolist() == [float(number) for number in range(20)]
    assert decode(decoding, *sent[20:]).columns.value.tolist() == [float(number) for number in range(20, 40)]


def test_plain_readings_stand_behind_those_of_frames_in_a_chunk() -> None:
    decoding = Decoder(Registry(), clock=lambda: NOW)
    frame = TelemetryFrame(v=1, ep="aaaa", seq=1, t0=NOW_MS, ch=["a.temp_c"], i=[0, 0], d=[0, 1], x=[1.0, 2.0])
    up = Message(UP, frames.encode(frame), NOW_MS)
    ((_, chunk),) = decoding([[Message(TOPIC, b'{"values":{"a.temp_c":9}}', NOW_MS), up]])
    assert chunk.columns.value.tolist() == [1.0, 2.0, 9.0]
    assert [(run.lo, run.hi) for run in chunk.plain] == [(2, 3)]
    assert [(arrival.lo, arrival.hi) for arrival in chunk.arrivals] == [(0, 2)]


def come_back(decoder: Decoder, payload: bytes, topic: str = TOPIC) -> Chunk:
    """What a message brings that ``quarantine retry`` has let in again, a day after its receipt."""
    message = Message(topic, payload, NOW_MS - DAY_MS)
    ((_, chunk),) = decoder([LateBatch([LateFrame(Origin.QUARANTINE, 7, "acme", "g1", "", "", None, message)])])
    return chunk


def test_a_message_that_is_tried_again_counts_once_as_of_its_receipt() -> None:
    payload = b'[{"values":{"a.temp_c":1}},{"ts":%d,"values":{"a.temp_c":2}}]' % NOW_MS
    chunk = come_back(Decoder(Registry(), clock=lambda: NOW), payload)
    assert chunk.columns.time_us.tolist() == [(NOW_MS - DAY_MS) * 1000, NOW_MS * 1000]
    assert [run.once for run in chunk.plain] == [True]
    assert [arrival.fault for arrival in chunk.arrivals] == [None]


@pytest.mark.parametrize(
    ("payload", "topic", "reason", "stored"),
    [
        (b"{", TOPIC, Reason.BAD_JSON, 0),
        (b'[{"values":{"a.temp_c":1}},{"values":{"refused.weight_g":1}}]', TOPIC, Reason.TOO_MANY_CHANNELS, 1),
        (b'{"values":{"a.temp_c":1}}', TOPIC.replace("g1", "g9"), Reason.UNKNOWN_GATEWAY, 0),
        (b'{"v":1,"ep":"aaaa"', UP, Reason.BAD_JSON, 0),
    ],
)
def test_what_is_refused_once_more_stays_in_its_row_and_makes_no_other(
    payload: bytes, topic: str, reason: Reason, stored: int
) -> None:
    message = Message(topic, payload, NOW_MS)
    late = LateFrame(Origin.QUARANTINE, 7, "acme", "g1", "", "", None, message)
    chunks = [chunk for _, chunk in Decoder(Registry(), clock=lambda: NOW)([LateBatch([late])])]
    (arrival,) = [arrival for chunk in chunks for arrival in chunk.arrivals]
    assert arrival.fault is not None
    assert (arrival.late, arrival.fault.reason) == (late, reason)
    assert [chunk.strays for chunk in chunks] == [[]] * len(chunks)
    assert sum(len(chunk.columns) for chunk in chunks) == stored
