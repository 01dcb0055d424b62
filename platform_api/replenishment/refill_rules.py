"""Which refills that shelves saw fulfil which task. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from platform_api.replenishment.rules import refill_done

REFILL_DAYS: Final = timedelta(days=7)
"""Refills that shelves see within this time may be those of a task."""


class RefillState(StrEnum):
    """How far a store is with a task. Stored, so names never change."""

    OPEN = "open"
    DONE = "done"
    """The shelves saw it."""
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    """The shelves did not see it in REFILL_DAYS."""


@dataclass(frozen=True, slots=True)
class Task:
    """Units that shall come to the shelves of one place, since when they may."""

    refill_id: UUID
    units: int
    since: datetime


@dataclass(frozen=True, slots=True)
class Refill:
    """Units that shelves of the place saw come."""

    at: datetime
    units: int


def share_refills(tasks: Sequence[Task], refills: Iterable[Refill]) -> dict[UUID, int]:
    """Units that were seen of each task of one place and SKU: a unit counts for one task, the oldest that lacks it.

    ``tasks`` are all that a refill may belong to, closed ones too. What comes beyond all of them counts for none.
    """
    seen = dict.fromkeys((task.refill_id for task in tasks), 0)
    in_order = sorted(tasks, key=lambda task: (task.since, task.refill_id))
    for refill in sorted(refills, key=lambda one: one.at):
        left = refill.units
        for task in in_order:
            if task.since <= refill.at < task.since + REFILL_DAYS:
                taken = min(left, task.units - seen[task.refill_id])
                seen[task.refill_id] += taken
                left -= taken
    return seen


def state_after(task: Task, seen: int, now: datetime) -> RefillState:
    """State of an open task by what was seen of it."""
    if refill_done(task.units, seen):
        return RefillState.DONE
    return RefillState.EXPIRED if now >= task.since + REFILL_DAYS else RefillState.OPEN
