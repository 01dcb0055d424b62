"""Acts of several parties, in the order of their times: what is written last happened last."""

import heapq
from collections.abc import Iterable, Iterator
from datetime import datetime

Script = Iterator[datetime]
"""What one party does: it yields the time of each act before it acts, never one before the last."""


def in_turn(scripts: Iterable[Script]) -> None:
    """Let each act when its time has come, the earliest first; of the same time, in the order of the scripts."""
    waiting: list[tuple[datetime, int, Script]] = []
    for place, script in enumerate(scripts):
        _await(waiting, place, script)
    while waiting:
        _, place, script = heapq.heappop(waiting)
        _await(waiting, place, script)


def _await(waiting: list[tuple[datetime, int, Script]], place: int, script: Script) -> None:
    """Go on with a script up to its next act."""
    when = next(script, None)
    if when is not None:
        heapq.heappush(waiting, (when, place, script))
