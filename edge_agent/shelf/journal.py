"""What was told of a slot, and the last of it kept with its grounds. Pure."""

from collections import deque
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from contracts.frames import EventKind
from edge_agent.shelf.decision import Decision, Evidence
from edge_agent.shelf.slot import SlotMemory

DECISIONS_KEPT: Final = 16
_NO_OTHERS: Final[Mapping[str, int]] = MappingProxyType({})


class Journal:
    """Makes the decisions of one slot; ``recent`` are the last ``DECISIONS_KEPT``, oldest first."""

    def __init__(self, slot: str, new_id: Callable[[], str], memory: SlotMemory) -> None:
        self._slot = slot
        self._new_id = new_id
        self._memory = memory
        self.recent: deque[Decision] = deque(maxlen=DECISIONS_KEPT)

    def tell(  # noqa: PLR0913 - the fields of a decision
        self,
        kind: EventKind,
        start_ms: int,
        t_ms: int,
        units: int,
        delta: float,
        conf: float,
        *,
        other: Mapping[str, int] = _NO_OTHERS,
        of: str = "",
        why: str = "",
        evidence: Evidence | None = None,
    ) -> Decision:
        """A decision about what began at ``start_ms``, taken at ``t_ms``; the count is the memory's."""
        decision = Decision(
            id=self._new_id(),
            t_ms=start_ms,
            decided_ms=t_ms,
            slot=self._slot,
            kind=kind,
            units=units,
            delta_g=round(delta, 1),
            conf=round(conf, 3),
            on_shelf=self._memory.on_shelf,
            other=other,
            of=of,
            why=why,
            evidence=evidence,
        )
        self.recent.append(decision)
        return decision
