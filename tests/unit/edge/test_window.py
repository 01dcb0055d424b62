"""How far to send and when to go back: limits always hold, and whatever is lost on the way comes again."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.acks import AWAITING_PUBACK_MAX, REFUSED_AFTER, STALL_S, UNCOMMITTED_MAX
from contracts.topics import Lane
from edge_agent.uplink.window import (
    BULK_UNCOMMITTED_MAX,
    OFFLINE_AFTER_S,
    PRIORITY,
    Watermark,
    Window,
    reconnect_delay_s,
)

TEL = Lane.TEL
NONE_COMMITTED = dict.fromkeys(Lane, 0)


def connected(receive_max: int = 1_000) -> Window:
    window = Window()
    window.connected(NONE_COMMITTED, receive_max)
    return window


def publish(window: Window, lane: Lane, frames: int, now_s: float = 0.0, *, puback: bool = True) -> None:
    for _ in range(frames):
        window.published(lane, window.lanes[lane].cursor + 1, now_s, 0.0)
        if puback:
            window.puback()


def test_at_most_64_frames_await_their_puback() -> None:
    window = connected()
    publish(window, TEL, AWAITING_PUBACK_MAX, puback=False)
    assert window.room(TEL, 0.0) == 0
    window.puback()
    assert window.room(TEL, 0.0) == 1


def test_never_more_than_the_broker_allows_await_their_puback() -> None:
    window = connected(receive_max=19)
    assert window.room(TEL, 0.0) == 19


def test_at_most_4096_frames_are_uncommitted_over_all_lanes() -> None:
    window = connected()
    publish(window, TEL, UNCOMMITTED_MAX)
    assert [window.room(lane, 0.0) for lane in PRIORITY] == [0, 0, 0, 0]
    window.ack(TEL, 100, UNCOMMITTED_MAX, 1.0, 0.0)
    assert window.room(Lane.EVT, 1.0) == AWAITING_PUBACK_MAX


def test_a_backlog_leaves_room_for_live_frames() -> None:
    window = connected()
    publish(window, Lane.BULK, BULK_UNCOMMITTED_MAX)
    assert window.room(Lane.BULK, 0.0) == 0
    assert window.room(TEL, 0.0) == AWAITING_PUBACK_MAX


def test_a_fresh_connection_starts_behind_the_watermark() -> None:
    window = connected()
    publish(window, TEL, 10, puback=False)
    window.ack(TEL, 4, 10, 1.0, 0.0)
    window.connected(NONE_COMMITTED | {TEL: 4}, 1_000)
    assert (window.lanes[TEL].cursor, window.awaiting) == (4, 0)


def test_a_lane_that_does_not_move_goes_back_after_15_30_60_120_300_seconds() -> None:
    window = connected()
    now_s, waits = 0.0, []
    for _ in range(len(STALL_S) + 1):
        publish(window, TEL, 3, now_s)
        deadline_s = window.next_deadline_s()
        assert deadline_s is not None
        assert window.stalled(deadline_s - 0.01) == []
        assert window.stalled(deadline_s) == [TEL]
        assert window.lanes[TEL].cursor == 0
        waits.append(deadline_s - now_s)
        now_s = deadline_s
    assert waits == [*STALL_S, STALL_S[-1]]


def test_after_a_stall_only_64_frames_are_sent_until_the_watermark_moves() -> None:
    window = connected()
    publish(window, TEL, 1_000)
    window.stalled(STALL_S[0])
    publish(window, TEL, AWAITING_PUBACK_MAX, STALL_S[0])
    assert window.room(TEL, STALL_S[0]) == 0
    window.ack(TEL, 1, 1_000, 16.0, 0.0)
    assert window.room(TEL, 16.0) == AWAITING_PUBACK_MAX


def test_a_watermark_that_moves_starts_the_wait_anew() -> None:
    window = connected()
    publish(window, TEL, 10)
    assert window.ack(TEL, 5, 10, 14.0, 0.0) is Watermark.MOVED
    assert window.stalled(15.0) == []
    assert window.stalled(14.0 + STALL_S[0]) == [TEL]


def test_a_lane_that_is_wholly_committed_waits_for_nothing() -> None:
    window = connected()
    publish(window, TEL, 10)
    window.ack(TEL, 10, 10, 1.0, 0.0)
    assert window.next_deadline_s() is None
    assert window.stalled(1e9) == []


def test_an_unchanged_ack_shortens_a_long_wait_to_the_first() -> None:
    window = connected()
    now_s = 0.0
    for wait_s in STALL_S:
        publish(window, TEL, 1, now_s)
        now_s += wait_s
        window.stalled(now_s)
    publish(window, TEL, 1, now_s)
    assert window.ack(TEL, 0, 1, now_s, 0.0) is Watermark.SAME
    assert window.stalled(now_s + STALL_S[0]) == [TEL]


def test_a_frame_is_refused_only_when_it_failed_five_times_while_acks_arrived() -> None:
    window = connected()
    now_s, refused_after_s = 0.0, None
    while refused_after_s is None and now_s < 7_200:
        publish(window, TEL, 1, now_s)
        window.ack(TEL, 0, 1, now_s, 0.0)
        now_s += STALL_S[0]
        window.stalled(now_s)
        refused_after_s = now_s if window.is_refused(TEL) else None
    assert window.lanes[TEL].refusals == REFUSED_AFTER
    assert refused_after_s is not None
    assert refused_after_s >= sum(STALL_S[:REFUSED_AFTER]) - STALL_S[-1], "a short outage must not look like it"


def test_a_silent_platform_refuses_nothing() -> None:
    window = connected()
    now_s = 0.0
    for _ in range(50):
        publish(window, TEL, 1, now_s)
        now_s += STALL_S[-1]
        window.stalled(now_s)
    assert not window.is_refused(TEL)


@pytest.mark.parametrize(("seq", "verdict"), [(4, Watermark.WENT_BACK), (5, Watermark.SAME), (11, Watermark.AHEAD)])
def test_an_ack_is_told_by_where_it_lies(seq: int, verdict: Watermark) -> None:
    window = connected()
    publish(window, TEL, 10)
    window.ack(TEL, 5, 10, 1.0, 0.0)
    assert window.ack(TEL, seq, 10, 2.0, 0.0) is verdict
    assert window.lanes[TEL].committed == 5


def test_a_publish_that_nobody_hears_is_held_and_then_tried_with_one_frame() -> None:
    window = connected()
    publish(window, TEL, 3, puback=False)
    hold_s = window.refuse_puback(0.0, 0.0, 10.0)
    window.refuse_puback(0.0, 0.0, 10.0)
    window.refuse_puback(0.0, 0.0, 10.0)
    assert hold_s == 1.0
    assert window.room(TEL, 0.5) == 0
    assert window.lanes[TEL].cursor == 0
    assert window.room(TEL, 1.0) == 1
    publish(window, TEL, 1, 1.0)
    assert window.room(TEL, 1.0) == AWAITING_PUBACK_MAX


def test_holds_grow_to_an_end() -> None:
    window = connected()
    now_s, holds = 0.0, []
    for _ in range(8):
        publish(window, TEL, 1, now_s, puback=False)
        holds.append(window.refuse_puback(now_s, 0.0, 10.0))
        now_s += holds[-1]
    assert holds[:3] == [1.0, 2.0, 4.0]
    assert holds[-1] == 10.0


def test_a_minute_without_a_commit_is_silence_though_lanes_go_back() -> None:
    window = connected()
    publish(window, TEL, 1, 0.0)
    for now_s in (15.0, 46.0):
        window.stalled(now_s)
        publish(window, TEL, 1, now_s)
    assert not window.is_silent(OFFLINE_AFTER_S)
    assert window.is_silent(OFFLINE_AFTER_S + 1)
    window.ack(TEL, 1, 1, 62.0, 0.0)
    assert not window.is_silent(200.0)


@pytest.mark.parametrize(("attempt", "most_s"), [(0, 1.0), (3, 8.0), (7, 120.0), (50, 120.0)])
def test_reconnects_wait_anything_up_to_a_growing_most(attempt: int, most_s: float) -> None:
    assert reconnect_delay_s(attempt, 0.0) == 0.0
    assert reconnect_delay_s(attempt, 1.0) == most_s


@dataclass
class LossyWorld:
    """A platform that takes frames in order, behind a network that loses what it likes."""

    written: dict[Lane, int]
    window: Window = field(default_factory=Window)
    committed: dict[Lane, int] = field(default_factory=lambda: dict.fromkeys(Lane, 0))
    now_s: float = 0.0

    def connect(self) -> None:
        self.window.connected({lane: state.committed for lane, state in self.window.lanes.items()}, 1_000)

    def send(self, lost: set[int]) -> None:
        """Publish all that may go; the ``lost`` ones of this round never arrive, PUBACKs come for all."""
        sent = 0
        for lane in PRIORITY:
            while self.window.lanes[lane].cursor < self.written[lane] and self.window.room(lane, self.now_s) > 0:
                seq = self.window.lanes[lane].cursor + 1
                self.window.published(lane, seq, self.now_s, 0.0)
                assert self.window.awaiting <= AWAITING_PUBACK_MAX
                assert self.window.outstanding <= UNCOMMITTED_MAX
                if sent not in lost and seq == self.committed[lane] + 1:
                    self.committed[lane] = seq
                sent += 1
                self.window.puback()

    def hear(self) -> None:
        for lane, seq in self.committed.items():
            assert self.window.ack(lane, seq, self.written[lane], self.now_s, 0.0) in {Watermark.MOVED, Watermark.SAME}

    def wait(self) -> None:
        deadline_s = self.window.next_deadline_s()
        if deadline_s is not None:
            self.now_s = max(self.now_s, deadline_s)
        self.window.stalled(self.now_s)


steps_st = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.sets(st.integers(0, 80), max_size=20)),
        st.tuples(st.sampled_from(["hear", "wait", "connect"]), st.just(set[int]())),
    ),
    max_size=30,
)


@settings(deadline=None)
@given(st.fixed_dictionaries({lane: st.integers(0, 200) for lane in Lane}), steps_st)
def test_everything_is_committed_once_the_network_is_fair(
    written: dict[Lane, int], steps: list[tuple[str, set[int]]]
) -> None:
    world = LossyWorld(written)
    world.connect()
    for verb, lost in steps:
        if verb == "send":
            world.send(lost)
        else:
            getattr(world, verb)()
    for _ in range(20):
        world.send(set())
        world.hear()
        world.wait()
    assert world.committed == written
    assert world.window.outstanding == 0
