"""What people may do with a proposal. Pure."""

from enum import StrEnum
from typing import Final

from contracts.facts import ProposalState


class Action(StrEnum):
    """What a person does with a proposal."""

    APPROVE = "approve"
    REJECT = "reject"


TRANSITIONS: Final[dict[Action, tuple[frozenset[ProposalState], ProposalState]]] = {
    Action.APPROVE: (frozenset({ProposalState.OPEN}), ProposalState.APPROVED),
    # Once ordered, the order is what has to be cancelled.
    Action.REJECT: (frozenset({ProposalState.OPEN, ProposalState.APPROVED}), ProposalState.REJECTED),
}


def state_after(state: ProposalState, action: Action) -> ProposalState | None:
    """State after an action, None when the state does not allow it."""
    allowed, following = TRANSITIONS[action]
    return following if state in allowed else None
