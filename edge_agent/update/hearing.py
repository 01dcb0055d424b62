"""Whether the platform has committed what this very process sent: a connection alone proves no release. Pure."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from contracts.acks import UNCOMMITTED_MAX
from contracts.topics import Lane
from edge_agent.outbox.store import Marks

IN_FLIGHT_MAX: Final = UNCOMMITTED_MAX
"""So many frames the process before this one may have sent without hearing of it."""


class Account(NamedTuple):
    """How far the outbox was at a moment: its incarnation, and the marks of every lane."""

    ep: str
    marks: Mapping[Lane, Marks]


def is_proven(start: Account, now: Account) -> bool:
    """Whether an ack since ``start`` covers a frame that cannot be the process' before us.

    Acks are retained, so the first one after a restart may speak of the old process' frames only. Ours are those
    written since ``start``, those of an incarnation that began since, and, while a long backlog is sent, whatever
    is beyond what the old one may have had in flight.
    """
    if now.ep != start.ep:
        return any(marks.committed > 0 for marks in now.marks.values())
    if any(marks.committed > start.marks[lane].last for lane, marks in now.marks.items()):
        return True
    moved = sum(marks.committed - start.marks[lane].committed for lane, marks in now.marks.items())
    return moved > IN_FLIGHT_MAX
