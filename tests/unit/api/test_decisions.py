import itertools

from contracts.facts import LIVE_PROPOSALS, AnomalyState, ProposalState
from platform_api.anomalies import rules as anomalies
from platform_api.replenishment import rules as replenishment


def test_a_closed_anomaly_stays_as_it_was_decided() -> None:
    closed = (AnomalyState.RESOLVED, AnomalyState.DISMISSED)
    decisions = set(anomalies.Action) - {anomalies.Action.LABEL}
    assert {anomalies.state_after(state, action) for state, action in itertools.product(closed, decisions)} == {None}


def test_a_label_changes_no_state_and_may_be_given_in_any() -> None:
    assert all(anomalies.state_after(state, anomalies.Action.LABEL) is state for state in AnomalyState)


def test_an_anomaly_goes_from_open_over_acknowledged_to_its_end() -> None:
    act, state = anomalies.Action, AnomalyState
    assert anomalies.state_after(state.OPEN, act.ACKNOWLEDGE) is state.ACKNOWLEDGED
    assert anomalies.state_after(state.ACKNOWLEDGED, act.RESOLVE) is state.RESOLVED
    assert anomalies.state_after(state.ACKNOWLEDGED, act.DISMISS) is state.DISMISSED
    assert anomalies.state_after(state.ACKNOWLEDGED, act.ACKNOWLEDGE) is None


def test_a_dismissal_without_a_label_is_a_false_alarm() -> None:
    assert anomalies.default_label(anomalies.Action.DISMISS) is anomalies.Label.FALSE
    assert anomalies.default_label(anomalies.Action.ACKNOWLEDGE) is None


def test_people_end_a_proposal_only_before_it_is_ordered() -> None:
    act, state = replenishment.Action, ProposalState
    assert {one for one in state if replenishment.state_after(one, act.APPROVE)} == {state.OPEN}
    assert {one for one in state if replenishment.state_after(one, act.REJECT)} == {state.OPEN, state.APPROVED}


def test_an_approved_proposal_still_holds_the_place_of_the_live_one() -> None:
    assert replenishment.state_after(ProposalState.OPEN, replenishment.Action.APPROVE) in LIVE_PROPOSALS
    assert replenishment.state_after(ProposalState.OPEN, replenishment.Action.REJECT) not in LIVE_PROPOSALS
