"""When a refill is proposed: at the reorder point, after the put-backs, once a cycle."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.facts import LIVE_PROPOSALS, ProposalState
from stream.replenish import PUT_BACK_WAIT, REST, Cycle, Policy, PolicyMode, Proposal, Trigger, decide, observe

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
POLICY = Policy(reorder_point=5, target=20, mode=PolicyMode.SUGGEST)
S = timedelta(seconds=1)


def shelf(*units: int) -> Cycle:
    cycle = Cycle()
    for number, each in enumerate(units):
        observe(cycle, ("g1", f"b{number}"), each)
    return cycle


def after_wait(cycle: Cycle, last: Proposal | None = None, policy: Policy | None = POLICY) -> Trigger | None:
    """The decision once the put-backs have had their chance."""
    assert decide(cycle, policy, last, event_now=None, wall_now=NOW) is None
    return decide(cycle, policy, last, event_now=None, wall_now=NOW + PUT_BACK_WAIT)


def test_it_fires_at_the_reorder_point_up_to_the_target_over_all_slots() -> None:
    trigger = after_wait(shelf(3, 2))
    assert trigger is not None
    assert (trigger.cycle, trigger.units, trigger.on_hand, trigger.on_order) == (1, 15, 5, 0)


def test_above_the_reorder_point_nothing_happens() -> None:
    assert after_wait(shelf(3, 3)) is None


def test_it_waits_for_put_backs_by_the_clock_of_events_or_by_ours() -> None:
    cycle = shelf(4)
    assert decide(cycle, POLICY, None, event_now=NOW, wall_now=NOW) is None
    assert decide(cycle, POLICY, None, event_now=NOW + 19 * S, wall_now=NOW + S) is None
    assert decide(cycle, POLICY, None, event_now=NOW + 20 * S, wall_now=NOW + S) is not None


def test_what_is_put_back_in_time_cancels_it() -> None:
    cycle = shelf(4)
    assert decide(cycle, POLICY, None, event_now=None, wall_now=NOW) is None
    observe(cycle, ("g1", "b0"), 6)
    assert decide(cycle, POLICY, None, event_now=None, wall_now=NOW + 10 * S) is None
    observe(cycle, ("g1", "b0"), 5)
    assert decide(cycle, POLICY, None, event_now=None, wall_now=NOW + 25 * S) is None, "the wait begins anew"


@pytest.mark.parametrize("state", LIVE_PROPOSALS)
def test_a_live_proposal_is_on_order(state: ProposalState) -> None:
    assert after_wait(shelf(2), Proposal(1, 18, state, NOW)) is None


@pytest.mark.parametrize("state", [ProposalState.REJECTED, ProposalState.DISPUTED])
def test_what_was_turned_down_comes_back_at_once_where_the_shelf_has_recovered_since(state: ProposalState) -> None:
    cycle, last = shelf(2), Proposal(1, 18, state, NOW)
    assert after_wait(cycle, last) is None
    observe(cycle, ("g1", "b0"), 9)
    assert after_wait(cycle, last) is None
    observe(cycle, ("g1", "b0"), 4)
    trigger = after_wait(cycle, last)
    assert trigger is not None
    assert trigger.cycle == 2


@pytest.mark.parametrize("state", [ProposalState.REJECTED, ProposalState.DISPUTED])
def test_a_shelf_that_stays_low_is_proposed_again_a_day_after_it_was_turned_down(state: ProposalState) -> None:
    cycle, last = shelf(2), Proposal(1, 18, state, NOW)
    early, late = NOW + REST - S, NOW + REST
    assert decide(cycle, POLICY, last, event_now=None, wall_now=early - PUT_BACK_WAIT) is None
    assert decide(cycle, POLICY, last, event_now=None, wall_now=early) is None
    assert decide(cycle, POLICY, last, event_now=None, wall_now=late) is None, "the wait for put-backs begins"
    trigger = decide(cycle, POLICY, last, event_now=None, wall_now=late + PUT_BACK_WAIT)
    assert trigger is not None
    assert trigger.cycle == 2
    assert decide(cycle, POLICY, last, event_now=None, wall_now=late + REST) is None, "once a cycle"


@pytest.mark.parametrize("state", [ProposalState.RECEIVED, ProposalState.EXPIRED])
def test_a_cycle_that_ended_lets_the_next_begin_on_a_low_shelf(state: ProposalState) -> None:
    trigger = after_wait(shelf(2), Proposal(3, 18, state, NOW))
    assert trigger is not None
    assert trigger.cycle == 4


@pytest.mark.parametrize("policy", [None, POLICY._replace(mode=PolicyMode.OFF)])
def test_without_a_policy_nothing_happens(policy: Policy | None) -> None:
    assert after_wait(shelf(0), policy=policy) is None


@given(st.lists(st.integers(0, 20), min_size=1, max_size=60))
def test_it_fires_at_most_once_between_two_recoveries(levels: list[int]) -> None:
    cycle, now = Cycle(), NOW
    last: Proposal | None = None
    fired_since_recovery = 0
    for level in levels:
        observe(cycle, ("g1", "b0"), level)
        now += 30 * S
        if level > POLICY.reorder_point:
            fired_since_recovery = 0
            if last is not None:
                last = last._replace(state=ProposalState.REJECTED, changed=now)
        for _ in range(2):
            now += 30 * S
            trigger = decide(cycle, POLICY, last, event_now=None, wall_now=now)
            if trigger is not None:
                fired_since_recovery += 1
                assert trigger.units > 0
                assert trigger.on_hand + trigger.units == POLICY.target
                last = Proposal(trigger.cycle, trigger.units, ProposalState.OPEN, now)
        assert fired_since_recovery <= 1
