from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from contracts.acks import AWAITING_PUBACK_MAX, REFUSED_AFTER, UNCOMMITTED_MAX
from contracts.frames import GapReason
from simulators.lane_window import JITTER, Dispatch, LaneWindow

EP = "test1"


def window(written: int = 0) -> LaneWindow:
    return LaneWindow(EP, Random(1), written=written, stall_s=(15.0, 30.0))


def drain(lane: LaneWindow, now_s: float) -> list[int]:
    sent = []
    while lane.may_send:
        sent.append(lane.send(now_s).seq)
    return sent


def test_frames_are_sent_in_order_up_to_the_window() -> None:
    lane = window(UNCOMMITTED_MAX + 10)
    assert drain(lane, 0.0) == list(range(1, UNCOMMITTED_MAX + 1))
    assert lane.acked(EP, 7, 1.0) == 7
    assert drain(lane, 1.0) == list(range(UNCOMMITTED_MAX + 1, UNCOMMITTED_MAX + 8))


def test_acks_of_another_incarnation_say_nothing() -> None:
    lane = window(5)
    drain(lane, 0.0)
    assert lane.acked("other", 3, 1.0) == 0
    assert lane.watermark == 0


def test_a_new_connection_goes_back_to_the_watermark() -> None:
    lane = window(10)
    drain(lane, 0.0)
    lane.acked(EP, 4, 1.0)
    lane.go_back(2.0)
    assert drain(lane, 2.0) == [5, 6, 7, 8, 9, 10]
    assert lane.resent == 6


def test_a_stall_sends_the_first_64_again_and_the_rest_when_the_watermark_moves() -> None:
    lane = window(1_000)
    drain(lane, 0.0)
    assert not lane.check_stall(15.0 * (1 - JITTER) - 0.1)
    assert lane.check_stall(15.0 * (1 + JITTER))
    assert drain(lane, 20.0) == list(range(1, AWAITING_PUBACK_MAX + 1))
    lane.acked(EP, 64, 21.0)
    assert drain(lane, 21.0) == list(range(65, 1_001))


def test_each_further_stall_waits_longer() -> None:
    lane = window(10)
    drain(lane, 0.0)
    assert lane.check_stall(20.0)
    drain(lane, 20.0)
    assert not lane.check_stall(20.0 + 30.0 * (1 - JITTER) - 0.1)
    assert lane.check_stall(20.0 + 30.0 * (1 + JITTER))


def test_without_frames_outstanding_nothing_stalls() -> None:
    lane = window(3)
    assert not lane.check_stall(1_000.0)
    drain(lane, 1_000.0)
    lane.acked(EP, 3, 1_001.0)
    assert not lane.check_stall(9_999.0)
    assert lane.settled


def stall(lane: LaneWindow, times: int, *, heard: bool) -> float:
    now_s = 0.0
    for _ in range(times):
        drain(lane, now_s)
        if heard:
            lane.acked(EP, lane.watermark, now_s)
        now_s += 100.0
        assert lane.check_stall(now_s)
    return now_s


def test_a_frame_that_does_not_pass_while_acks_arrive_becomes_a_gap() -> None:
    lane = window(3)
    now_s = stall(lane, REFUSED_AFTER, heard=True)
    assert lane.send(now_s) == Dispatch(1, 1, GapReason.REFUSED)
    assert lane.send(now_s) == Dispatch(2, 2, None)


def test_a_silent_platform_refuses_nothing() -> None:
    lane = window(3)
    now_s = stall(lane, 4 * REFUSED_AFTER, heard=False)
    assert lane.send(now_s) == Dispatch(1, 1, None)


def test_a_database_that_went_back_is_answered_by_a_gap() -> None:
    lane = window(10)
    drain(lane, 0.0)
    lane.acked(EP, 8, 1.0)
    lane.acked(EP, 5, 2.0)
    assert lane.send(2.0) == Dispatch(6, 8, GapReason.RELEASED)
    assert not lane.settled
    lane.acked(EP, 10, 3.0)
    assert lane.settled


class Gateway(RuleBasedStateMachine):
    """A lossy network between the window and a platform that takes frames in order."""

    def __init__(self) -> None:
        super().__init__()
        self.lane = window()
        self.now_s = 0.0
        self.committed = 0
        self.flying: list[int] = []

    @rule()
    def write(self) -> None:
        self.lane.write()

    @precondition(lambda self: self.lane.may_send)
    @rule()
    def send(self) -> None:
        dispatch = self.lane.send(self.now_s)
        assert dispatch.gap is None
        assert dispatch.seq <= self.lane.written
        self.flying.append(dispatch.seq)

    @precondition(lambda self: self.flying)
    @rule(lost=st.booleans())
    def deliver(self, *, lost: bool) -> None:
        seq = self.flying.pop(0)
        if not lost and seq == self.committed + 1:
            self.committed = seq

    @rule()
    def ack(self) -> None:
        self.lane.acked(EP, self.committed, self.now_s)

    @rule()
    def reconnect(self) -> None:
        self.flying.clear()
        self.lane.go_back(self.now_s)

    @invariant()
    def the_watermark_never_passes_what_is_committed(self) -> None:
        assert self.lane.watermark <= self.committed <= self.lane.written
        assert self.lane.cursor > self.lane.watermark

    def teardown(self) -> None:
        # Whatever was lost: on a good network everything is committed within a few rounds.
        for _ in range(4):
            self.now_s += 1_000.0
            self.lane.check_stall(self.now_s)
            for seq in drain(self.lane, self.now_s):
                if seq == self.committed + 1:
                    self.committed = seq
            self.lane.acked(EP, self.committed, self.now_s)
        assert self.lane.settled
        assert self.committed == self.lane.written


TestGateway = Gateway.TestCase
TestGateway.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
