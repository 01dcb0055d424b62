"""What people may do with a proposal. Pure."""

from enum import StrEnum
from typing import Final

from contracts.facts import ProposalState


class Action(StrEnum):
    """What a person does with a proposal."""

    APPROVE = "approve"
    REJECT = "reject"


REFILL_TOLERANCE_UNITS: Final = 1
REFILL_TOLERANCE_PERCENT: Final = 2

TRANSITIONS: Final[dict[Action, tuple[frozenset[ProposalState], ProposalState]]] = {
    Action.APPROVE: (frozenset({ProposalState.OPEN}), ProposalState.APPROVED),
    # Once ordered, the order is what has to be cancelled.
    Action.REJECT: (frozenset({ProposalState.OPEN, ProposalState.APPROVED}), ProposalState.REJECTED),
}


def state_after(state: ProposalState, action: Action) -> ProposalState | None:
    """State after an action, None when the state does not allow it."""
    allowed, following = TRANSITIONS[action]
    return following if state in allowed else None


def refill_done(units: int, seen: int) -> bool:
    """Whether refills seen at the shelf add up to what was on its way: within the larger of 1 unit and 2 %."""
    return seen >= units - max(REFILL_TOLERANCE_UNITS, units * REFILL_TOLERANCE_PERCENT // 100)
