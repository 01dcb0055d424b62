import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import UserError
from contracts.topics import GatewayAddress, Lane, up
from simulators.replay_input import read

ADDRESS = GatewayAddress("acme", "shop", "gw1")


def frame(seq: int, ep: str = "test1", lane: Lane = Lane.TEL, at: int = 0, **body: Any) -> bytes:
    payload = {"v": 1, "ep": ep, "seq": seq, "t0": 5, "ch": ["a.weight_g"], "i": [0], "d": [0], "x": [1.5]} | body
    return json.dumps({"at": at, "topic": up(ADDRESS, lane), "payload": payload}).encode()


def test_frames_are_sorted_into_lanes_and_incarnations() -> None:
    lines = [frame(2), frame(1), frame(1, lane=Lane.BULK), b"\n", frame(1, ep="test2"), frame(3)]
    recorded = read(lines)
    assert [(lane.lane, [segment.ep for segment in lane.segments]) for lane in recorded.lanes] == [
        (Lane.TEL, ["test1", "test2"]),
        (Lane.BULK, ["test1"]),
    ]
    assert [stored.seq for stored in recorded.lanes[0].segments[0].frames] == [1, 2, 3]
    assert recorded.frames == 5


def test_payloads_keep_their_bytes() -> None:
    line = b'{"at":1,"topic":"%s","payload":{"seq":1, "ep":"test1" ,"v":1,"x":[1.50]}}' % up(ADDRESS, Lane.TEL).encode()
    assert read([line]).lanes[0].segments[0].frames[0].payload == b'{"seq":1, "ep":"test1" ,"v":1,"x":[1.50]}'


def test_a_frame_that_stands_twice_is_sent_once() -> None:
    recorded = read([frame(1), frame(1), frame(2)])
    assert (recorded.frames, recorded.duplicates) == (2, 1)


def test_a_gap_bridges_the_numbers_that_it_stands_for() -> None:
    gap = {"from": 2, "to": 5, "reason": "evicted"}
    recorded = read([frame(1), frame(5, gap=gap), frame(6)])
    assert [(stored.first, stored.seq) for stored in recorded.lanes[0].segments[0].frames] == [(1, 1), (2, 5), (6, 6)]


def test_raw_and_presence_are_kept_apart() -> None:
    lines = [
        json.dumps({"at": 3, "topic": "sp/v1/raw/acme/shop/gw1", "payload": {"values": {"a.b": 1}}}).encode(),
        json.dumps({"at": 2, "topic": "sp/v1/st/acme/shop/gw1", "payload": {"v": 1, "state": "online"}}).encode(),
    ]
    assert [(message.at_ms, message.retain) for message in read(lines).plain] == [(3, False), (2, True)]
    assert read(lines).start_ms == 2


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"{", "line 2: "),
        (b'{"at":1,"topic":"sp/v1/up"}', "line 2: .*payload"),
        (b'{"at":-1,"topic":"sp/v1/raw/a/b/c","payload":{}}', "line 2: .*at"),
        (b'{"at":1,"topic":"somewhere/else","payload":{}}', "line 2: not a raw topic"),
        (b'{"at":1,"topic":"sp/v1/up/0/acme/shop/gw1/tel","payload":{}}', "line 2: bucket"),
        (frame(1, ep="UPPER"), "line 2: payload without a readable envelope"),
        (frame(0), "line 2: payload without a readable envelope"),
        (frame(1, x=[2.5]), "line 2: frame test1 1 differs from the one of line 1"),
        (frame(3), "line 2: frame test1 3 does not follow 1"),
        (b"[" * 60_000, "line 2: "),
        (b'\xff{"at":1}', "line 2: "),
    ],
)
def test_a_mistake_names_its_line(line: bytes, told: str) -> None:
    with pytest.raises(UserError, match=told) as caught:
        read([frame(1), line])
    assert "\n" not in caught.value.message


@given(st.lists(st.binary(max_size=80), max_size=5))
def test_any_bytes_are_read_or_refused_in_one_line(lines: list[bytes]) -> None:
    # Hypothesis does not find a whole message, so that all but empty lines must be refused.
    if any(line.strip() for line in lines):
        with pytest.raises(UserError, match=r"^line \d+: "):
            read(lines)
    else:
        assert read(lines).frames == 0
