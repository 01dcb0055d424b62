"""When to suggest a refill: the shelf of one (site, SKU) against its policy. Pure.

Level, not edge: the decision is taken from what the shelf holds, what is on its way and what was proposed last, so a
restart that reads the same from the database decides the same.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple

from contracts.facts import LIVE_PROPOSALS, ProposalState

PUT_BACK_WAIT: Final = timedelta(seconds=20)
"""A trigger waits this long: what was taken may be put back."""
ENDED: Final = (ProposalState.RECEIVED, ProposalState.EXPIRED)
"""States that end a cycle by themselves: the next may begin although the shelf is still low."""
REST: Final = timedelta(days=1)
"""A shelf that is still low is proposed again so long after somebody said no, or disputed what came (decision 24)."""


class PolicyMode(StrEnum):
    """What a policy may do."""

    OFF = "off"
    SUGGEST = "suggest"
    AUTO = "auto"


class Policy(NamedTuple):
    """Reorder at or below ``reorder_point``, up to ``target``; units of the SKU at one site."""

    reorder_point: int
    target: int
    mode: PolicyMode


class Proposal(NamedTuple):
    """The newest proposal of one (site, SKU). ``changed``: since when it is in its state."""

    cycle: int
    units: int
    state: ProposalState
    changed: datetime


@dataclass(slots=True)
class Cycle:
    """Where the replenishment of one (site, SKU) stands.

    ``slots`` units on each of its slots. ``fired``: the newest cycle has proposed already and the shelf has not been
    above the reorder point since. ``due_event``, ``due_wall``: when a trigger that waits is settled, None while none
    does; it is whichever of the two ends first.
    """

    slots: dict[tuple[str, str], int] = field(default_factory=dict)
    cycle: int = 0
    fired: bool = False
    due_event: datetime | None = None
    due_wall: datetime | None = None
    since: datetime | None = None

    @property
    def on_hand(self) -> int:
        """Units on all slots."""
        return sum(self.slots.values())


class Trigger(NamedTuple):
    """A refill to propose. ``on_hand`` and ``on_order`` at the moment of the decision."""

    cycle: int
    units: int
    on_hand: int
    on_order: int
    at: datetime


def observe(cycle: Cycle, slot: tuple[str, str], on_shelf: int) -> None:
    """Note what a slot holds now."""
    cycle.slots[slot] = on_shelf


def decide(
    cycle: Cycle, policy: Policy | None, last: Proposal | None, *, event_now: datetime | None, wall_now: datetime
) -> Trigger | None:
    """The refill to propose now, if any.

    ``last`` is the newest proposal that is known; ``event_now`` the time of the newest event of this shelf (None when
    there is none), ``wall_now`` ours. Fires once a cycle: after that the shelf must have been above the reorder point,
    or the proposal received or expired, or have been turned down for ``REST``, before it fires again. On order counts
    as on hand while a proposal is live.
    """
    live = last is not None and last.state in LIVE_PROPOSALS
    if last is not None:
        _learn(cycle, last, wall_now)
    if policy is None or policy.mode is PolicyMode.OFF or not cycle.slots:
        _rest(cycle)
        return None
    on_hand = cycle.on_hand
    if on_hand > policy.reorder_point:
        # Above the reorder point the next cycle is armed, unless a live proposal still covers this one.
        cycle.fired = live
        _rest(cycle)
        return None
    on_order = last.units if live and last is not None else 0
    if cycle.fired or on_hand + on_order > policy.reorder_point:
        _rest(cycle)
        return None
    if cycle.due_wall is None:
        cycle.since = event_now or wall_now
        cycle.due_wall = wall_now + PUT_BACK_WAIT
        cycle.due_event = None if event_now is None else event_now + PUT_BACK_WAIT
    waited = wall_now >= cycle.due_wall or (
        event_now is not None and cycle.due_event is not None and event_now >= cycle.due_event
    )
    if not waited:
        return None
    at = cycle.since or wall_now
    _rest(cycle)
    cycle.fired = True
    cycle.cycle += 1
    return Trigger(cycle.cycle, policy.target - on_hand - on_order, on_hand, on_order, at)


def _learn(cycle: Cycle, last: Proposal, wall_now: datetime) -> None:
    """Take over what the database says of the newest cycle; what it does not know yet is our own, and newer."""
    if last.cycle < cycle.cycle:
        return
    if _is_over(last, wall_now):
        cycle.fired = False
    elif last.cycle > cycle.cycle:
        cycle.fired = True
    cycle.cycle = last.cycle


def _is_over(last: Proposal, wall_now: datetime) -> bool:
    """Whether the next cycle may begin although the shelf is still low."""
    return last.state in ENDED or (last.state not in LIVE_PROPOSALS and wall_now >= last.changed + REST)


def _rest(cycle: Cycle) -> None:
    cycle.due_event = cycle.due_wall = cycle.since = None
