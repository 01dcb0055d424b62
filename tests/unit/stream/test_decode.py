"""Messages to chunks: columns, faults, and the quick way beside the strict one."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import frames, topics
from contracts.frames import Event, EventFrame, EventKind, FrameError, Reason, TelemetryFrame
from contracts.ids import bucket_of
from contracts.topics import GatewayAddress, Lane
from stream import telemetry
from stream.clean import Gateway
from stream.decode import Decoder
from stream.facts import ChannelSet, Chunk, Fault, Message

NOW = datetime(2026, 5, 1, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)
ADDRESS = GatewayAddress("acme", "s1", "g1")
TOPIC = topics.up(ADDRESS, Lane.TEL)


class Registry:
    """Knows gateway g1, and gives channels ids in order of appearance."""

    def __init__(self) -> None:
        self.ids: dict[tuple[str, str], int] = {}
        self.known: dict[str, dict[str, int]] = {}
        self.asked = 0
        self.backfills: set[tuple[str, str, str]] = set()

    def gateway(self, tenant: str, gateway: str) -> Gateway | None:
        return Gateway("s1", revoked=False) if (tenant, gateway) == ("acme", "g1") else None

    def is_backfill(self, tenant: str, gateway: str, ep: str) -> bool:
        return (tenant, gateway, ep) in self.backfills

    def channels(self, tenant: str, gateway: str) -> Mapping[str, int]:
        del tenant
        return self.known.setdefault(gateway, {})

    def series(self, wanted: Sequence[ChannelSet]) -> list[npt.NDArray[np.int32] | Fault]:
        self.asked += 1
        return [self._ids(each) for each in wanted]

    def _ids(self, wanted: ChannelSet) -> npt.NDArray[np.int32] | Fault:
        if "refused.weight_g" in wanted.channels:
            return Fault(Reason.TOO_MANY_CHANNELS, "one more is too many")
        known = self.ids
        for each in wanted.channels:
            ids = self.known.setdefault(wanted.gateway, {})
            ids[each] = known.setdefault((wanted.gateway, each), len(known) + 1)
        return np.array([known[wanted.gateway, each] for each in wanted.channels], np.int32)


def decode(decoder: Decoder, *payloads: bytes, topic: str = TOPIC) -> Chunk:
    ((key, chunk),) = decoder([[Message(topic, payload, NOW_MS) for payload in payloads]])
    assert int(key) == chunk.bucket
    return chunk


def decoder() -> Decoder:
    return Decoder(Registry(), clock=lambda: NOW)


def frame(seq: int = 1, **changes: Any) -> TelemetryFrame:
    given: dict[str, Any] = {
        "t0": NOW_MS,
        "ch": ["b1.weight_g", "c1.temp_c"],
        "i": [0, 1, 0],
        "d": [0, 0, 200],
        "x": [1.5, 21.0, -2.5],
    }
    return TelemetryFrame(v=1, ep="aaaa", seq=seq, **(given | changes))


frames_of_readings = st.builds(
    lambda seq, boot, n, seed: frame(
        seq, boot=boot, mono=seed % 1000,
        i=[(seed + k) % 2 for k in range(n)],
        d=[(seed * k) % 3_600_001 for k in range(n)],
        x=[((seed * (k + 1)) % 1_000_003) / 7 for k in range(n)],
    ),
    st.integers(1, frames.SEQ_MAX), st.sampled_from(["", "b00t"]), st.integers(1, 60), st.integers(0, 10**9),
)  # fmt: skip


def test_columns_of_several_frames_keep_their_order_and_slices() -> None:
    chunk = decode(decoder(), frames.encode(frame(1)), frames.encode(frame(2, ch=["c1.temp_c"], i=[0], d=[5], x=[7.0])))
    assert chunk.bucket == bucket_of("g1")
    assert chunk.columns.series.tolist() == [1, 2, 1, 2]
    assert chunk.columns.value.tolist() == [1.5, 21.0, -2.5, 7.0]
    assert chunk.columns.time_us.tolist() == [1000 * (NOW_MS + d) for d in (0, 0, 200, 5)]
    assert [(arrival.lo, arrival.hi) for arrival in chunk.arrivals] == [(0, 3), (3, 4)]


def test_new_channels_of_a_whole_batch_are_asked_for_at_once() -> None:
    registry = Registry()
    decoding = Decoder(registry, clock=lambda: NOW)
    sent = [frame(), frame(2, ch=["b2.weight_g", "c1.temp_c"]), frame(3)]
    chunk = decode(decoding, *map(frames.encode, sent))
    assert chunk.columns.series.tolist() == [1, 2, 1, 3, 2, 3, 1, 2, 1]
    assert registry.asked == 1
    assert decode(decoding, frames.encode(frame(4))).columns.series.tolist() == [1, 2, 1]
    assert registry.asked == 1


def test_a_frame_whose_channels_are_refused_brings_no_readings() -> None:
    refused = frame(2, ch=["refused.weight_g"], i=[0], d=[0], x=[0.0])
    chunk = decode(decoder(), frames.encode(frame()), frames.encode(refused), frames.encode(frame(3)))
    assert [arrival.fault is None for arrival in chunk.arrivals] == [True, False, True]
    kept = [chunk.columns.take(slice(arrival.lo, arrival.hi)) for arrival in chunk.arrivals if arrival.fault is None]
    assert [part.series.tolist() for part in kept] == [[1, 2, 1], [1, 2, 1]]


def test_quality_goes_to_its_reading() -> None:
    chunk = decode(decoder(), frames.encode(frame(1)), frames.encode(frame(2, q={"2": 2})))
    assert chunk.columns.quality.tolist() == [0, 0, 0, 0, 0, 2]


@given(frames_of_readings)
def test_the_quick_way_reads_what_the_strict_way_reads(sent: TelemetryFrame) -> None:
    payload = frames.encode(sent)
    both = decoder()
    strict, quick = decode(both, payload), decode(both, payload)
    assert quick.columns.time_us.tolist() == strict.columns.time_us.tolist()
    assert quick.columns.series.tolist() == strict.columns.series.tolist()
    assert quick.columns.value.tolist() == strict.columns.value.tolist()
    assert quick.arrivals == strict.arrivals


@given(frames_of_readings, st.booleans())
def test_both_ways_give_every_spelling_the_same_digest(sent: TelemetryFrame, spaced: bool) -> None:  # noqa: FBT001 - Hypothesis fills it in
    payload = frames.encode(sent)
    if spaced:
        payload = payload.replace(b",", b" , ").replace(b'{"v":1', b'{"sync":1,"v": 1')
    quick = telemetry.read(payload)
    assert quick is not None
    assert telemetry.encode(quick) == frames.canonical(frames.decode_telemetry(payload)) == frames.encode(sent)


@given(st.binary(max_size=200) | frames_of_readings.map(frames.encode).flatmap(
    lambda payload: st.tuples(st.integers(0, len(payload) - 1), st.sampled_from(b'0"[]{},-.eE:nN\x00\xff')).map(
        lambda change: payload[: change[0]] + bytes([change[1]]) + payload[change[0] + 1 :]
    )
))  # fmt: skip
def test_what_the_quick_way_reads_the_strict_way_accepts_but_for_names(payload: bytes) -> None:
    quick = telemetry.read(payload)
    if quick is None:
        return
    refusal = ""
    try:
        strict = frames.decode_telemetry(payload)
    except FrameError as error:
        refusal = error.detail
    if refusal:
        assert "regex" in refusal
        return
    assert (quick.seq, quick.t0, quick.i, quick.d, quick.x) == (strict.seq, strict.t0, strict.i, strict.d, strict.x)
    assert telemetry.encode(quick) == frames.canonical(strict)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (frames.encode(frame(2, t0=NOW_MS + 400_000)), Reason.BAD_TIME),
        (frames.encode(frame(2, d=[0, 0, 400_000])), Reason.BAD_TIME),
        (frames.encode(frame(2)).replace(b'"i":[0,1,0]', b'"i":[0,1,2]'), Reason.BAD_COLUMNS),
        (frames.encode(frame(2)).replace(b'"x":[1.5,', b'"x":['), Reason.BAD_COLUMNS),
        (frames.encode(frame(2)).replace(b"1.5", b"true"), Reason.BAD_BODY),
    ],
)
def test_a_faulty_frame_keeps_its_place_and_brings_no_readings(payload: bytes, reason: Reason) -> None:
    both = decoder()
    decode(both, frames.encode(frame(1)))
    chunk = decode(both, payload)
    (arrival,) = chunk.arrivals
    assert arrival.fault is not None
    assert (arrival.fault.reason, arrival.seq) == (reason, 2)
    assert len(chunk.columns) == 0


@pytest.mark.parametrize(
    ("topic", "payload", "reason"),
    [
        (TOPIC, b"[" * 60_000, Reason.BAD_BODY),
        (TOPIC, b'{"ch":' + b"[" * 60_000, Reason.BAD_BODY),
        (TOPIC, b'{"a":' + b"[" * 60_000, Reason.BAD_JSON),
        (TOPIC, b"", Reason.BAD_JSON),
        (TOPIC, b"a" * 70_000, Reason.TOO_LARGE),
        (topics.up(GatewayAddress("acme", "s1", "g9"), Lane.TEL), frames.encode(frame()), Reason.UNKNOWN_GATEWAY),
        (topics.up(GatewayAddress("acme", "s2", "g1"), Lane.TEL), frames.encode(frame()), Reason.WRONG_SITE),
        ("sp/v1/up/0/acme/s1/g1/tel", frames.encode(frame()), Reason.BAD_TOPIC),
        ("sp/v1/st/acme/s1/g1", b"{}", Reason.BAD_BODY),
        ("sp/v1/raw/acme/s1/g1", b'{"values":{}}', Reason.BAD_BODY),
        ("sp/v1/raw/acme/s1/g1", b'{"ts":1,"values":{"b1.weight_g":1}}', Reason.BAD_TIME),
    ],
)
def test_a_message_without_a_place_is_a_stray(topic: str, payload: bytes, reason: Reason) -> None:
    chunk = decode(decoder(), payload, topic=topic)
    assert [stray.fault.reason for stray in chunk.strays] == [reason]
    assert chunk.arrivals == []


@pytest.mark.parametrize("field", ["ep", "boot"])
def test_names_that_are_known_let_no_incarnation_pass_unread(field: str) -> None:
    """The channels passed the strict way under another incarnation; this one has not."""
    both = decoder()
    good = frame(sync=0, boot="boot1", mono=1)
    decode(both, frames.encode(good), frames.encode(good))
    spoilt = frames.encode(good).replace(b'"%s":"%s"' % (field.encode(), getattr(good, field).encode()),
                                         b'"%s":"%s"' % (field.encode(), b"x" * 100))  # fmt: skip
    chunk = decode(both, spoilt)
    faults = [*(each.fault for each in chunk.arrivals), *(each.fault for each in chunk.strays)]
    assert [fault and fault.reason for fault in faults] == [Reason.BAD_BODY]


def test_events_are_kept_and_their_texts_checked() -> None:
    event = Event(id="e1", d=0, slot="b1", kind=EventKind.SALE, units=-1)
    good = frames.encode(EventFrame(v=1, ep="aaaa", seq=1, t0=NOW_MS, ev=[event]))
    chunk = decode(decoder(), good, topic=topics.up(ADDRESS, Lane.EVT))
    assert chunk.arrivals[0].events == (event,)


@given(st.binary(max_size=300), st.sampled_from([TOPIC, topics.up(ADDRESS, Lane.EVT), "sp/v1/raw/acme/s1/g1", "x"]))
def test_no_bytes_break_the_decoder(payload: bytes, topic: str) -> None:
    chunk = decode(decoder(), payload, topic=topic)
    assert len(chunk.arrivals) + len(chunk.plain) + len(chunk.strays) + len(chunk.sightings) >= 1


@pytest.mark.parametrize("known", [False, True], ids=["the strict way", "the quick way"])
def test_an_open_backfill_lifts_the_earliest_time_of_its_incarnation_alone(known: bool) -> None:  # noqa: FBT001
    registry = Registry()
    decoding = Decoder(registry, clock=lambda: NOW)
    if known:
        decode(decoding, frames.encode(frame()))
    registry.backfills = {("acme", "g1", "aaaa")}
    old, ahead = frame(2, t0=NOW_MS - 500 * 86_400_000), frame(3, t0=NOW_MS + 600_000)
    others = frames.encode(old).replace(b'"aaaa"', b'"bbbb"')
    arrivals = decode(decoding, frames.encode(old), frames.encode(ahead), others).arrivals
    assert [each.fault and each.fault.reason for each in arrivals] == [None, Reason.BAD_TIME, Reason.BAD_TIME]


HEAD = b'{"v":1,"ep":"aaaa","seq":%d,"t0":%d,"ch":["b1.weight_g"],"i":[0],"d":[0],"x":[1.5]'


@pytest.mark.parametrize(
    ("tail", "reason", "placed"),
    [
        (b',"x":[2.5]}', Reason.DUPLICATE_KEY, True),
        (b',"x" : [1.5]}', Reason.DUPLICATE_KEY, True),
        (b',"seq":7}', Reason.DUPLICATE_KEY, False),
        (b',"more":{"a":1,"a":2}}', Reason.DUPLICATE_KEY, True),
        (b',"tenant":"other"}', Reason.WRONG_TENANT, True),
        (b',"gateway":"g2"}', Reason.WRONG_TENANT, True),
        (b',"tenant":["acme"]}', Reason.WRONG_TENANT, True),
    ],
)
@pytest.mark.parametrize("known", [False, True], ids=["the strict way", "the quick way"])
def test_a_payload_that_says_two_things_at_once_is_refused(
    tail: bytes,
    reason: Reason,
    placed: bool,  # noqa: FBT001
    known: bool,  # noqa: FBT001
) -> None:
    decoding = decoder()
    if known:
        assert decode(decoding, HEAD % (1, NOW_MS) + b"}").arrivals[0].fault is None
    chunk = decode(decoding, HEAD % (2, NOW_MS) + tail)
    refused = [(each.fault.reason, each.seq) for each in chunk.arrivals if each.fault is not None]
    assert refused == ([(reason, 2)] if placed else [])
    assert [stray.fault.reason for stray in chunk.strays] == ([] if placed else [reason])
    assert not [each for each in chunk.arrivals if each.fault is None]


@pytest.mark.parametrize(
    "tail", [b',"sync":1}', b',"tenant":"acme","new":{"ch":[{}]}}', b"}\n", b',"n":' + b"9" * 9_000 + b"}"]
)
@pytest.mark.parametrize("known", [False, True], ids=["the strict way", "the quick way"])
def test_another_spelling_of_one_thing_is_read(tail: bytes, known: bool) -> None:  # noqa: FBT001
    decoding = decoder()
    if known:
        decode(decoding, HEAD % (1, NOW_MS) + b"}")
    (arrival,) = decode(decoding, HEAD % (2, NOW_MS) + tail).arrivals
    assert (arrival.fault, arrival.seq) == (None, 2)


def test_a_payload_whose_canonical_spelling_is_too_long_for_a_frame_is_read() -> None:
    n = 8_000
    columns = (b"[" + b",".join([b"0"] * n) + b"]", b"[" + b",".join([b"1e9"] * n) + b"]")
    payload = b'{"v":1,"ep":"aaaa","seq":1,"t0":%d,"ch":["b1.a"],"i":%s,"d":%s,"x":%s}' % (
        NOW_MS, columns[0], columns[0], columns[1],
    )  # fmt: skip
    (arrival,) = decode(decoder(), payload).arrivals
    assert arrival.fault is None


def test_readings_are_refused_from_the_age_that_is_set_on() -> None:
    day_ms = 86_400_000
    decoding = Decoder(Registry(), retention=timedelta(days=30), clock=lambda: NOW)
    sent = [frame(1, t0=NOW_MS - 30 * day_ms), frame(2, t0=NOW_MS - 30 * day_ms - 1)]
    faults = [arrival.fault for arrival in decode(decoding, *map(frames.encode, sent)).arrivals]
    assert faults[0] is None
    assert faults[1] is not None
    assert faults[1].reason is Reason.BAD_TIME
