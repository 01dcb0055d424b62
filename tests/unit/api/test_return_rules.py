import pytest

from platform_api.orders.return_rules import TRANSITIONS, Fate, ReturnAction, ReturnState, state_after


@pytest.mark.parametrize("state", ReturnState)
@pytest.mark.parametrize("action", ReturnAction)
def test_a_return_moves_only_along_its_table(state: ReturnState, action: ReturnAction) -> None:
    allowed, following = TRANSITIONS[action]
    assert state_after(state, action) == (following if state in allowed else None)


def test_a_return_that_was_received_or_rejected_is_over() -> None:
    for state in (ReturnState.RECEIVED, ReturnState.REJECTED):
        assert [state_after(state, action) for action in ReturnAction] == [None] * 3


def test_goods_come_back_only_when_somebody_approved_it() -> None:
    assert state_after(ReturnState.REQUESTED, ReturnAction.RECEIVE) is None
    assert state_after(ReturnState.APPROVED, ReturnAction.RECEIVE) is ReturnState.RECEIVED


def test_the_units_of_a_fate_are_what_is_restocked_and_what_is_written_off() -> None:
    assert Fate(4, 3).units == 7
