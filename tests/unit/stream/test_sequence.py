"""Which frame counts: exactly once, in order, whatever is repeated, shuffled or lost on the way."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.sequence import REMEMBERED, LaneState, Lost, Verdict, advance, close, judge


def at(seq: int, ep: str = "aaaa") -> LaneState:
    lane = LaneState()
    for number in range(1, seq + 1):
        advance(lane, ep, number, number * 1_000)
    return lane


@pytest.mark.parametrize(
    ("from_seq", "to_seq", "digest", "verdict"),
    [
        (6, 6, 6_000, Verdict.NEXT),
        (7, 7, 7_000, Verdict.AHEAD),
        (5, 5, 5_000, Verdict.DUPLICATE),
        (5, 5, 5_001, Verdict.CLONE),
        (5, 5, None, Verdict.DUPLICATE),
        (1, 1, 1_000, Verdict.DUPLICATE),
        (6, 9, None, Verdict.NEXT),
        (4, 9, None, Verdict.NEXT),
        (7, 9, None, Verdict.AHEAD),
        (2, 5, None, Verdict.DUPLICATE),
    ],
)
def test_a_lane_at_five(from_seq: int, to_seq: int, digest: int | None, verdict: Verdict) -> None:
    assert judge(at(5), "aaaa", from_seq, to_seq, digest) is verdict


def test_a_lane_begins_at_one() -> None:
    assert judge(LaneState(), "aaaa", 1, 1, 7) is Verdict.NEXT
    assert judge(LaneState(), "aaaa", 2, 2, 7) is Verdict.AHEAD
    assert judge(LaneState(), "aaaa", 1, 500, None) is Verdict.NEXT


def test_a_gap_covers_what_is_left_of_it() -> None:
    lane = at(5)
    assert advance(lane, "aaaa", 9, None) == 6
    assert lane.seq == 9


def test_a_new_incarnation_closes_the_old_one() -> None:
    lane = at(5)
    assert judge(lane, "bbbb", 1, 1, 7) is Verdict.NEXT
    assert advance(lane, "bbbb", 1, 7) == 1
    assert judge(lane, "aaaa", 5, 5, 99) is Verdict.DUPLICATE
    assert judge(lane, "aaaa", 6, 6, 6_000) is Verdict.CLOSED


@pytest.mark.parametrize(
    ("before", "last", "lost"),
    [
        ("aaaa", 9, Lost("aaaa", 6, 9)),
        ("aaaa", 5, None),
        ("aaaa", 3, None),
        ("cccc", 4, Lost("cccc", 1, 4)),
        ("cccc", 0, None),
        ("bbbb", 7, None),
        ("zzzz", 7, None),
    ],
)
def test_a_new_incarnation_says_where_the_one_before_ended(before: str, last: int, lost: Lost | None) -> None:
    lane = at(5)
    lane.closed["zzzz"] = 2
    assert close(lane, "bbbb", before, last) == lost
    assert advance(lane, "bbbb", 1, 7) == 1
    end = max(last, 5) if before == "aaaa" else 5
    assert judge(lane, "aaaa", end, end, 1) is Verdict.DUPLICATE
    assert judge(lane, "aaaa", end + 1, end + 1, 1) is Verdict.CLOSED
    assert lane.closed["zzzz"] == 2
    if before == "cccc" and last:
        assert judge(lane, "cccc", last, last, 1) is Verdict.DUPLICATE


def test_a_frame_after_a_gap_that_stood_for_it_is_no_clone() -> None:
    lane = at(5)
    advance(lane, "aaaa", 6, None)
    assert judge(lane, "aaaa", 6, 6, 6_000) is Verdict.DUPLICATE


def test_memory_of_contents_is_bounded_and_what_is_forgotten_is_a_duplicate() -> None:
    lane = at(REMEMBERED + 10)
    assert len(lane.digests) == REMEMBERED
    assert judge(lane, "aaaa", 3, 3, 42) is Verdict.DUPLICATE


@given(st.data())
def test_any_interleaving_of_resends_commits_each_frame_once_and_in_order(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 12))
    committed: list[int] = []
    lane = LaneState()

    def arrive(seq: int) -> None:
        before = lane.seq
        verdict = judge(lane, "aaaa", seq, seq, seq)
        assert verdict in {Verdict.NEXT, Verdict.DUPLICATE, Verdict.AHEAD}
        if verdict is Verdict.NEXT:
            committed.append(seq)
            advance(lane, "aaaa", seq, seq)
        else:
            assert lane.seq == before

    for seq in data.draw(st.lists(st.integers(1, count), max_size=60)):
        arrive(seq)
    # The gateway goes back to the watermark until everything is through.
    for _ in range(count):
        for seq in range(lane.seq + 1, count + 1):
            arrive(seq)
    assert committed == list(range(1, count + 1))


@given(st.lists(st.tuples(st.integers(1, 20), st.integers(0, 5), st.booleans()), max_size=60))
def test_gaps_and_frames_together_tile_the_lane(arrivals: list[tuple[int, int, bool]]) -> None:
    lane = LaneState()
    covered: list[int] = []
    for to_seq, width, is_gap in arrivals:
        from_seq = max(to_seq - width, 1) if is_gap else to_seq
        digest = None if is_gap else to_seq
        if judge(lane, "aaaa", from_seq, to_seq, digest) is Verdict.NEXT:
            first = advance(lane, "aaaa", to_seq, digest)
            covered += range(first, to_seq + 1)
    assert covered == list(range(1, lane.seq + 1))


@given(st.lists(st.tuples(st.sampled_from(["aaaa", "bbbb", "cccc"]), st.integers(1, 4)), max_size=40))
def test_a_closed_incarnation_never_comes_back(arrivals: list[tuple[str, int]]) -> None:
    lane = LaneState()
    opened: list[str] = []
    for ep, seq in arrivals:
        if judge(lane, ep, seq, seq, seq) is Verdict.NEXT:
            if ep != lane.ep:
                opened.append(ep)
            advance(lane, ep, seq, seq)
    assert len(opened) == len(set(opened))
