"""Units on each slot after the events of its lane, applied in order of sequence. Pure."""

from typing import Final

from contracts.frames import Event

UNITS_MAX: Final = 100_000


def apply(on_shelf: int, event: Event) -> int:
    """Units on the slot after ``event``, 0 … 100,000.

    The edge's own count wins where it is given, because it saw the shelf; otherwise the change is added. More taken
    than was known to be there leaves 0: a slot cannot hold less, and the next count sets it right.
    """
    if event.on_shelf is not None:
        return event.on_shelf
    return min(max(on_shelf + event.units, 0), UNITS_MAX)
