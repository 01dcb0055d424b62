"""Dropouts of before: whoever was silent when the process started, and is over when it speaks. Pure.

What the watch learnt is saved every few minutes, and may be lost: then it has forgotten whom it told to be silent. The
database has not.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

import numpy as np

from contracts.frames import Quality
from stream.facts import AnomalyRow, Columns
from stream.watch.finding import Profile

SECOND_US: Final = 1_000_000


class Unended:
    """Open dropouts of one bucket's gateways, as the database had them at the start."""

    def __init__(self, rows: Iterable[AnomalyRow]) -> None:
        self._open: dict[tuple[str, str], list[AnomalyRow]] = {}
        for row in rows:
            self._open.setdefault((row.tenant, row.gateway), []).append(row)

    def hear(self, columns: Columns, profile_of: Callable[[int], Profile]) -> list[AnomalyRow]:
        """Dropouts that end with these readings, each told once. A bad reading is no sign of life."""
        if not self._open:
            return []
        ended: list[AnomalyRow] = []
        good = columns.take(columns.quality != Quality.BAD)
        for series in np.unique(good.series).tolist():
            profile = profile_of(series)
            if (profile.tenant, profile.gateway) in self._open:
                ended += self._end(profile, good.time_us[good.series == series].tolist())
        return ended

    def _end(self, profile: Profile, times_us: Sequence[int]) -> list[AnomalyRow]:
        key = profile.tenant, profile.gateway
        ended = []
        for row in self._open[key]:
            after = [at for at_us in times_us if (at := datetime.fromtimestamp(at_us / SECOND_US, UTC)) > row.start]
            if after and is_of(profile, row):
                ended.append(row._replace(end=min(after)))
        left = [row for row in self._open[key] if row.anomaly_id not in {one.anomaly_id for one in ended}]
        self._open[key] = left
        if not left:
            del self._open[key]
        return ended


def is_of(profile: Profile, row: AnomalyRow) -> bool:
    """Whether a series belongs to what was silent."""
    gateway = profile.gateway
    return row.place in {gateway, *(f"{gateway}/{name}" for name in (profile.channel, profile.device, profile.family))}
