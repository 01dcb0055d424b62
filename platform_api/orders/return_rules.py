"""What may become of a return, and what became of its units. Pure."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class ReturnState(StrEnum):
    """How far a return is. Stored, so names never change."""

    REQUESTED = "requested"
    APPROVED = "approved"
    REJECTED = "rejected"
    RECEIVED = "received"


class ReturnAction(StrEnum):
    """What happens to a return."""

    APPROVE = "approve"
    REJECT = "reject"
    RECEIVE = "receive"


TRANSITIONS: Final[dict[ReturnAction, tuple[frozenset[ReturnState], ReturnState]]] = {
    ReturnAction.APPROVE: (frozenset({ReturnState.REQUESTED}), ReturnState.APPROVED),
    # Goods that were to come back and never did leave their order free for another return.
    ReturnAction.REJECT: (frozenset({ReturnState.REQUESTED, ReturnState.APPROVED}), ReturnState.REJECTED),
    ReturnAction.RECEIVE: (frozenset({ReturnState.APPROVED}), ReturnState.RECEIVED),
}


def state_after(state: ReturnState, action: ReturnAction) -> ReturnState | None:
    """State after an action, None when the state does not allow it."""
    allowed, following = TRANSITIONS[action]
    return following if state in allowed else None


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of units of a line that came back."""

    restock: int
    write_off: int
    hold: int = 0

    @property
    def units(self) -> int:
        """Units that came back."""
        return self.restock + self.write_off + self.hold
