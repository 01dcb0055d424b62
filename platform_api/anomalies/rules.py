"""What people may do with an anomaly. Pure."""

from enum import StrEnum
from typing import Final

from contracts.facts import AnomalyState


class Action(StrEnum):
    """What a person does with an anomaly."""

    ACKNOWLEDGE = "acknowledge"
    RESOLVE = "resolve"
    DISMISS = "dismiss"
    LABEL = "label"
    """Changes no state, and may be given in any."""


class Label(StrEnum):
    """What the anomaly really was; it tunes the detector's threshold for that series."""

    TRUE = "true"
    FALSE = "false"
    EXPECTED = "expected"


_OPEN: Final = frozenset({AnomalyState.OPEN})
_UNDECIDED: Final = frozenset({AnomalyState.OPEN, AnomalyState.ACKNOWLEDGED})

TRANSITIONS: Final[dict[Action, tuple[frozenset[AnomalyState], AnomalyState]]] = {
    Action.ACKNOWLEDGE: (_OPEN, AnomalyState.ACKNOWLEDGED),
    Action.RESOLVE: (_UNDECIDED, AnomalyState.RESOLVED),
    Action.DISMISS: (_UNDECIDED, AnomalyState.DISMISSED),
}


def state_after(state: AnomalyState, action: Action) -> AnomalyState | None:
    """State after an action, None when the state does not allow it."""
    if action is Action.LABEL:
        return state
    allowed, following = TRANSITIONS[action]
    return following if state in allowed else None


def default_label(action: Action) -> Label | None:
    """Label of an action that the person gave none for: a dismissed anomaly was none."""
    return Label.FALSE if action is Action.DISMISS else None
