"""Anomalies of before: what was open when the process started, and is over when the readings say so. Pure.

What the watch learnt is saved every few minutes, and may be lost: then it has forgotten what it told. The database has
not. Taken over is what readings alone can end: silence, a stuck value, and a temperature above its limit. Drift, faulty
devices and what is missing or sold differ from what a detector has learnt: they end by it, or by people.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import numpy as np

from contracts.facts import AnomalyKind
from contracts.frames import Quality
from stream.facts import AnomalyRow, Columns
from stream.watch.cold import BELOW_ROWS
from stream.watch.finding import Profile

SECOND_US: Final = 1_000_000

Reading = tuple[datetime, float]


class Unended:
    """Open anomalies of one bucket's gateways, as the database had them at the start."""

    def __init__(self, rows: Iterable[AnomalyRow]) -> None:
        self._open: dict[tuple[str, str], list[AnomalyRow]] = {}
        self._cool = dict[UUID, list[datetime]]()
        for row in rows:
            self._open.setdefault((row.tenant, row.gateway), []).append(row)

    def hear(self, columns: Columns, profile_of: Callable[[int], Profile]) -> list[AnomalyRow]:
        """Anomalies that end with these readings, each told once. A bad reading says nothing."""
        if not self._open:
            return []
        ended: list[AnomalyRow] = []
        good = columns.take(columns.quality != Quality.BAD)
        for series in np.unique(good.series).tolist():
            profile = profile_of(series)
            if (profile.tenant, profile.gateway) in self._open:
                mine = good.take(good.series == series)
                readings = zip(mine.time_us.tolist(), mine.value.tolist(), strict=True)
                ended += self._end(profile, sorted(readings))
        return ended

    def _end(self, profile: Profile, readings: Sequence[tuple[int, float]]) -> list[AnomalyRow]:
        key = profile.tenant, profile.gateway
        ended = []
        for row in self._open[key]:
            if is_of(profile, row):
                told = ((datetime.fromtimestamp(at_us / SECOND_US, UTC), value) for at_us, value in readings)
                at = self._end_of(row, [each for each in told if each[0] > row.start])
                if at is not None:
                    ended.append(row._replace(end=at))
        left = [row for row in self._open[key] if row.anomaly_id not in {one.anomaly_id for one in ended}]
        self._open[key] = left
        if not left:
            del self._open[key]
        return ended

    def _end_of(self, row: AnomalyRow, readings: Iterable[Reading]) -> datetime | None:
        """When these readings of what it is about end an anomaly, None when they do not."""
        match row.kind:
            case AnomalyKind.STUCK_SENSOR:
                return next((at for at, value in readings if value != row.evidence["value"]), None)
            case AnomalyKind.COLD_CHAIN:
                return self._cool_since(row, readings)
        return next((at for at, _ in readings), None)

    def _cool_since(self, row: AnomalyRow, readings: Iterable[Reading]) -> datetime | None:
        """As in ``watch/cold.py``: one reading below the limit may be a fault of the sensor."""
        cool = self._cool.setdefault(row.anomaly_id, [])
        for at, celsius in readings:
            if celsius > row.evidence["limit_c"]:
                cool.clear()
                continue
            cool.append(at)
            if len(cool) == BELOW_ROWS:
                return cool[0]
        return None


def is_of(profile: Profile, row: AnomalyRow) -> bool:
    """Whether a series belongs to what an anomaly is about."""
    gateway = profile.gateway
    return row.place in {gateway, *(f"{gateway}/{name}" for name in (profile.channel, profile.device, profile.family))}
