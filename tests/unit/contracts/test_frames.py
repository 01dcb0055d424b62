"""Frames: golden bytes, round trips, and what is refused."""

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import frames, ids
from contracts.frames import (
    Answer,
    AnswerFrame,
    Event,
    EventFrame,
    EventKind,
    FrameError,
    Gap,
    GapReason,
    Reason,
    TelemetryFrame,
)
from contracts.topics import Lane

GOLDEN = [
    json.loads(line)
    for line in (Path(__file__).parent / "golden" / "frames.jsonl").read_text(encoding="utf-8").splitlines()
]

channels = st.from_regex(ids.CHANNEL_PATTERN, fullmatch=True).filter(lambda text: not text.endswith("\n"))
identifiers = st.from_regex(ids.IDENTIFIER_PATTERN, fullmatch=True).filter(lambda text: not text.endswith("\n"))
finite = st.floats(allow_nan=False, allow_infinity=False)
seqs = st.integers(1, frames.SEQ_MAX)
incarnations = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=4, max_size=16)


@st.composite
def telemetry_frames(draw: st.DrawFn) -> TelemetryFrame:
    names = draw(st.lists(channels, min_size=1, max_size=5, unique=True))
    n = draw(st.integers(1, 60))
    columns = st.lists(st.integers(0, len(names) - 1), min_size=n, max_size=n)
    return TelemetryFrame(
        v=1,
        ep=draw(incarnations),
        seq=draw(seqs),
        t0=draw(st.integers(0, frames.TIME_MAX_MS)),
        sync=draw(st.integers(0, 1)),
        boot=draw(st.text("0123456789abcdef", max_size=8)),
        ch=names,
        i=draw(columns),
        d=draw(st.lists(st.integers(0, frames.OFFSET_MAX_MS), min_size=n, max_size=n)),
        x=draw(st.lists(finite, min_size=n, max_size=n)),
        q={str(k): draw(st.integers(1, 3)) for k in draw(st.sets(st.integers(0, n - 1), max_size=3))},
    )


events = st.builds(
    Event,
    id=st.text("0123456789ABCDEFGHJKMNPQRSTVWXYZ", min_size=1, max_size=26),
    d=st.integers(0, frames.OFFSET_MAX_MS),
    slot=identifiers,
    kind=st.sampled_from(EventKind),
    units=st.integers(-1000, 1000),
    dg=finite,
    conf=st.floats(0, 1),
    on_shelf=st.none() | st.integers(0, 1000),
    other=st.dictionaries(st.text(min_size=1, max_size=8), st.integers(-9, 9), max_size=2),
)


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda golden: golden["name"])
def test_committed_bytes_never_change(golden: dict[str, str]) -> None:
    payload = golden["payload"].encode()
    frame = frames.decode(Lane(golden["lane"]), payload)
    assert frames.encode(frame) == payload
    assert f"{frames.digest(frame):016x}" == golden["digest"]


@given(telemetry_frames())
def test_a_telemetry_frame_survives_the_wire(frame: TelemetryFrame) -> None:
    payload = msgspec.json.encode(frame)
    assert frames.decode_telemetry(payload) == frame


@given(telemetry_frames())
def test_the_digest_does_not_depend_on_the_spelling(frame: TelemetryFrame) -> None:
    spelled = json.dumps(dict(reversed(json.loads(msgspec.json.encode(frame)).items())), indent=1).encode()
    assert frames.digest(frames.decode_telemetry(spelled)) == frames.digest(frame)


@given(st.lists(events, min_size=1, max_size=5), seqs)
def test_an_event_frame_survives_the_wire(items: list[Event], seq: int) -> None:
    frame = EventFrame(v=1, ep="k3v9q2", seq=seq, t0=1, ev=items)
    assert frames.decode_events(frames.encode(frame)) == frame


def test_an_answer_frame_survives_the_wire() -> None:
    frame = AnswerFrame(v=1, ep="k3v9q2", seq=3, rs=[Answer(cmd="a", state="done", result={"n": [1, None, "x"]})])
    assert frames.decode_answers(frames.encode(frame)) == frame


@given(st.binary(max_size=300))
def test_no_bytes_are_more_than_a_frame_error(payload: bytes) -> None:
    for lane in Lane:
        with pytest.raises(FrameError):
            frames.decode(lane, payload)


HEAD = '"v":1,"ep":"k3v9q2","seq":3,"t0":1'
GOOD = f'{{{HEAD},"ch":["a.g"],"i":[0],"d":[0],"x":[1]}}'


def test_the_smallest_frame_is_good() -> None:
    assert frames.decode_telemetry(GOOD.encode()).x == [1.0]


@pytest.mark.parametrize(
    ("payload", "reason", "settled"),
    [
        (b"{", Reason.BAD_JSON, False),
        (b"\xff\xfe", Reason.BAD_JSON, False),
        (b"[" * 60_000, Reason.BAD_BODY, False),
        (b"[]", Reason.BAD_BODY, False),
        (b"x" * 10_000_000, Reason.TOO_LARGE, False),
        (GOOD.replace('"x":[1]', '"x":[NaN]').encode(), Reason.BAD_JSON, False),
        (GOOD.replace('"x":[1]', '"x":[1e999]').encode(), Reason.BAD_BODY, True),
        (GOOD.replace('"x":[1]', '"x":[true]').encode(), Reason.BAD_BODY, True),
        (GOOD.replace('"x":[1]', '"x":["1"]').encode(), Reason.BAD_BODY, True),
        (GOOD.replace('"x":[1]', '"x":[1,2]').encode(), Reason.BAD_COLUMNS, True),
        (GOOD.replace('"i":[0]', '"i":[1]').encode(), Reason.BAD_COLUMNS, True),
        (GOOD.replace('"i":[0]', '"i":[-1]').encode(), Reason.BAD_COLUMNS, True),
        (GOOD.replace('"d":[0]', '"d":[3600001]').encode(), Reason.BAD_COLUMNS, True),
        (GOOD.replace('"a.g"', '"a.g\\u0000"').encode(), Reason.BAD_BODY, True),
        (GOOD.replace('"a.g"', '"a.g\\n"').encode(), Reason.BAD_BODY, True),
        (GOOD.replace('"seq":3', '"seq":0').encode(), Reason.BAD_BODY, False),
        (GOOD.replace('"v":1', '"v":2').encode(), Reason.BAD_BODY, False),
        (GOOD.replace("}", ',"q":{"1":2}}').encode(), Reason.BAD_COLUMNS, True),
        (GOOD.replace("}", ',"q":{"²":2}}').encode(), Reason.BAD_COLUMNS, True),
        (f"{{{HEAD}}}".encode(), Reason.BAD_COLUMNS, True),
        (f'{{{HEAD},"gap":{{"from":2,"to":4,"reason":"evicted"}}}}'.encode(), Reason.BAD_BODY, True),
    ],
)
def test_what_is_wrong_is_named_and_settled_where_it_has_a_place(payload: bytes, reason: Reason, settled: bool) -> None:  # noqa: FBT001  # a table's column
    with pytest.raises(FrameError) as caught:
        frames.decode_telemetry(payload)
    assert caught.value.reason is reason
    assert (caught.value.envelope is not None) is settled
    if settled:
        assert caught.value.envelope == frames.Envelope(v=1, ep="k3v9q2", seq=3)


def test_a_gap_stands_for_its_range() -> None:
    frame = TelemetryFrame(v=1, ep="k3v9q2", seq=9, gap=Gap(from_=4, to=9, reason=GapReason.REFUSED))
    assert frames.decode_telemetry(frames.encode(frame)).gap == frame.gap


def test_a_frame_over_64_kib_is_not_encoded() -> None:
    n = 8_000
    frame = TelemetryFrame(v=1, ep="k3v9q2", seq=1, t0=1, ch=["a.g"], i=[0] * n, d=[3_599_999] * n, x=[123456.789] * n)
    with pytest.raises(ValueError, match="over 65536"):
        frames.encode(frame)
