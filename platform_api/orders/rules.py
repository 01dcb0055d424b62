"""What may become of an order, as a table. Pure."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class State(StrEnum):
    """How far an order is. Stored, so names never change."""

    DRAFT = "draft"
    SUBMITTED = "submitted"
    CREDIT_HOLD = "credit_hold"
    APPROVED = "approved"
    ALLOCATED = "allocated"
    PART_SHIPPED = "part_shipped"
    SHIPPED = "shipped"
    DELIVERED = "delivered"
    CLOSED = "closed"
    CANCELLED = "cancelled"


class Action(StrEnum):
    """What happens to an order."""

    SUBMIT = "submit"
    HOLD = "hold"
    """Submitted beyond the credit of its dealer."""
    APPROVE = "approve"
    OVERRIDE = "override"
    """Approved beyond the credit, by somebody who may, with a reason."""
    ALLOCATE = "allocate"
    SHIP_PART = "ship_part"
    SHIP = "ship"
    DELIVER = "deliver"
    CLOSE = "close"
    CANCEL = "cancel"


@dataclass(frozen=True, slots=True)
class Transition:
    """From which states an action leads, and where to."""

    allowed: frozenset[State]
    following: State


def _from(*allowed: State, to: State) -> Transition:
    return Transition(frozenset(allowed), to)


TRANSITIONS: Final[dict[Action, Transition]] = {
    Action.SUBMIT: _from(State.DRAFT, to=State.SUBMITTED),
    Action.HOLD: _from(State.DRAFT, to=State.CREDIT_HOLD),
    Action.APPROVE: _from(State.SUBMITTED, to=State.APPROVED),
    Action.OVERRIDE: _from(State.CREDIT_HOLD, to=State.APPROVED),
    Action.ALLOCATE: _from(State.APPROVED, State.ALLOCATED, to=State.ALLOCATED),
    Action.SHIP_PART: _from(State.ALLOCATED, State.PART_SHIPPED, to=State.PART_SHIPPED),
    Action.SHIP: _from(State.ALLOCATED, State.PART_SHIPPED, to=State.SHIPPED),
    Action.DELIVER: _from(State.SHIPPED, to=State.DELIVERED),
    Action.CLOSE: _from(State.DELIVERED, to=State.CLOSED),
    # Once something has left, it is returned rather than cancelled.
    Action.CANCEL: _from(
        State.DRAFT, State.SUBMITTED, State.CREDIT_HOLD, State.APPROVED, State.ALLOCATED, to=State.CANCELLED
    ),
}

WAITING: Final = frozenset({State.APPROVED, State.ALLOCATED, State.PART_SHIPPED})
"""States in which units may still be reserved for an order."""


def state_after(state: State, action: Action) -> State | None:
    """State after an action, None when the state does not allow it."""
    transition = TRANSITIONS[action]
    return transition.following if state in transition.allowed else None
