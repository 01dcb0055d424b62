"""What is sent, when, and how it is put into frames."""

from collections.abc import Iterable, Iterator

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from contracts.frames import EventFrame, EventKind, Quality, TelemetryFrame, decode_events, decode_telemetry, encode
from edge_agent.bus.registers import Decoded
from edge_agent.bus.report import Reporter
from edge_agent.clock import Instant
from edge_agent.outbox.builder import FRAME_BYTES_MAX, FrameBuilder, Polled, event_frame, ulid
from edge_agent.shelf.decision import Decision
from edge_agent.shelf.inference import Inference
from edge_agent.slots_file import Slot
from tests.unit.edge.shelf_trace import Trace

NOW = Instant(utc_ms=1_800_000_000_000, mono_ms=50_000, synced=True)
GOOD = Quality.GOOD


def numbered(frame: TelemetryFrame | EventFrame) -> bytes:
    return encode(msgspec.structs.replace(frame, ep="abcdef", seq=1))


def test_a_reading_inside_its_deadband_is_sent_at_the_heartbeat_only() -> None:
    reporter = Reporter({"a.temp_c": 0.5}, 10_000)
    at = [(0, 20.0), (1_000, 20.4), (2_000, 20.6), (3_000, 20.2), (12_000, 20.2)]
    assert [bool(reporter.select(ms, [Decoded("a.temp_c", value, GOOD)])) for ms, value in at] == [
        True,
        False,
        True,
        False,
        True,
    ]


def test_a_change_of_quality_is_sent_at_once() -> None:
    reporter = Reporter({"a.temp_c": 0.5}, 10_000)
    reporter.select(0, [Decoded("a.temp_c", 20.0, GOOD)])
    bad = Decoded("a.temp_c", 20.0, Quality.BAD)
    assert reporter.select(1, [bad]) == [bad]


def test_without_a_deadband_every_change_is_sent() -> None:
    reporter = Reporter({"a.door_count": 0.0}, 10_000)
    values = [0.0, 0.0, 1.0, 1.0]
    assert [bool(reporter.select(k, [Decoded("a.door_count", v, GOOD)])) for k, v in enumerate(values)] == [
        True,
        False,
        True,
        False,
    ]


def frames_of(builder: FrameBuilder, polls: Iterable[Polled], now: Instant = NOW) -> Iterator[TelemetryFrame]:
    """What the agent does with polls, the last frame included."""
    for polled in polls:
        rest: Polled | None = polled
        while rest is not None:
            rest = builder.add(rest)
            if builder.is_full():
                yield closed(builder, now)
    if builder.due_ms() is not None:
        yield closed(builder, now)


def closed(builder: FrameBuilder, now: Instant = NOW) -> TelemetryFrame:
    taken = builder.take(now, "b" * 16)
    assert taken is not None
    assert taken[1] == len(taken[0].x)
    return taken[0]


_DECODED = st.builds(
    Decoded,
    st.sampled_from(["a.x", "b.x", "c.x"]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(list(Quality)),
)


@given(
    st.lists(st.builds(Polled, st.integers(0, 3_000_000), st.lists(_DECODED, min_size=1, max_size=9)), max_size=60),
    st.integers(1, 50),
)
def test_frames_give_back_their_readings_in_order(polls: list[Polled], readings_max: int) -> None:
    back = []
    for built in frames_of(FrameBuilder(readings_max, 250), polls):
        frame = decode_telemetry(numbered(built))
        assert len(frame.x) <= readings_max
        assert frame.t0 - frame.mono == NOW.utc_ms - NOW.mono_ms
        assert min(frame.d) == 0
        back += [
            (frame.mono + d, Decoded(frame.ch[i], x, Quality(frame.q.get(str(k), 0))))
            for k, (i, d, x) in enumerate(zip(frame.i, frame.d, frame.x, strict=True))
        ]
    assert back == [(polled.mono_ms, reading) for polled in polls for reading in polled.readings]


def test_a_clock_that_is_not_set_is_said_so() -> None:
    now = Instant(5_000, 50_000, synced=False)
    (frame,) = frames_of(FrameBuilder(50, 250), [Polled(49_000, [Decoded("a.x", 1.0, GOOD)])], now)
    assert (frame.sync, frame.t0, frame.mono) == (0, 4_000, 49_000)


def test_a_frame_is_closed_when_it_is_full_or_its_first_reading_is_old() -> None:
    builder = FrameBuilder(readings_max=2, age_max_ms=250)
    assert builder.take(NOW, "b1") is None
    assert builder.add(Polled(1_000, [Decoded("a.x", 1.0, GOOD)])) is None
    assert not builder.is_full()
    assert builder.due_ms() == 1_250
    third = Decoded("a.x", 3.0, GOOD)
    assert builder.add(Polled(1_100, [Decoded("a.x", 2.0, GOOD), third])) == Polled(1_100, [third])
    assert builder.is_full()
    assert closed(builder).x == [1.0, 2.0]
    assert builder.due_ms() is None
    assert builder.take(NOW, "b1") is None


def test_decisions_become_events_at_their_own_time() -> None:
    sale = Decision("e1", 40_000, 41_400, "s01-b1", EventKind.SALE, -2, -661.0, 0.98, 12)
    back = Decision("e2", 45_000, 46_000, "s01-b1", EventKind.PUT_BACK, 1, 330.0, 0.9, 13, {"tea": 1}, "e1", "")
    frame = decode_events(numbered(event_frame([sale, back], NOW, "b1")))
    assert [frame.t0 + event.d for event in frame.ev] == [NOW.utc_ms - 10_000, NOW.utc_ms - 5_000]
    assert (frame.ev[0].units, frame.ev[0].dg, frame.ev[0].on_shelf) == (-2, -661.0, 12)
    assert (frame.ev[1].of, frame.ev[1].other) == ("e1", {"tea": 1})


def test_ids_sort_by_time_and_have_the_shape_of_a_ulid() -> None:
    ids = [ulid(ms, bytes([255 - ms] * 10)) for ms in range(3)]
    assert ids == sorted(ids)
    assert all(len(each) == 26 for each in ids)
    assert ulid(0, bytes(10)) == "0" * 26
    assert ulid(2**48 - 1, b"\xff" * 10) == "7" + "Z" * 25


SLOTS = [
    Slot("s01-b1", "s01-b1.weight_g", "cola", 330.0, 3.0, 20),
    Slot("s01-b2", "s01-b2.weight_g", "tea", 250.0, 3.0, 20),
]


def feed(inference: Inference, trace: Trace, quality: Quality = GOOD) -> list[Decision]:
    decisions = []
    for t_ms, weight_g in trace.samples:
        decisions += inference.step(t_ms, [Decoded("s01-b1.weight_g", weight_g, quality)]).decisions
    return decisions


def test_only_good_weights_are_inferred_from() -> None:
    assert feed(Inference(SLOTS, lambda: "e", {}), Trace().fill(10).settle(5.0), Quality.BAD) == []
    assert len(feed(Inference(SLOTS, lambda: "e", {}), Trace().fill(10).settle(5.0))) == 1


def test_the_slot_beside_is_the_neighbour() -> None:
    trace = Trace().fill(10).settle(10.0).lay_foreign().settle(40.0)
    decisions = feed(Inference(SLOTS, lambda: "e", {}), trace)
    assert dict(decisions[-1].other) == {"tea": 1}


def test_memories_survive_but_not_a_change_of_article() -> None:
    inference = Inference(SLOTS, lambda: "e", {})
    trace = Trace().fill(10).settle(10.0)
    feed(inference, trace)
    kept = inference.memories()
    assert list(kept) == ["s01-b1"]
    assert feed(Inference(SLOTS, lambda: "e", kept), trace) == []
    other = [SLOTS[0].__class__("s01-b1", "s01-b1.weight_g", "juice", 165.0, 3.0, 40)]
    assert [d.why for d in feed(Inference(other, lambda: "e", kept), trace)] == ["count"]


def test_a_memory_that_cannot_be_read_is_counted_anew() -> None:
    decisions = feed(Inference(SLOTS, lambda: "e", {"s01-b1": b"{"}), Trace().fill(10).settle(5.0))
    assert [d.why for d in decisions] == ["count"]


def test_a_frame_is_closed_before_it_is_too_long_for_the_protocol() -> None:
    longest = [
        Decoded(f"{'x' * 31}.{k % 900:032}", -1.2345678901234567e-300 * (k + 1), Quality.SUBSTITUTED)
        for k in range(5_000)
    ]
    polls = [Polled(k, longest[k : k + 125]) for k in range(0, len(longest), 125)]
    sizes = [len(numbered(frame)) for frame in frames_of(FrameBuilder(1_000, 1_000), polls)]
    assert 40_000 < max(sizes) <= FRAME_BYTES_MAX
