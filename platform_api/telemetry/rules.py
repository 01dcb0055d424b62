"""Which readings answer a question about a range of time. Pure."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final

INTERVAL_DEFAULT_S: Final = 1.0
"""Expected spacing of a series that nobody has described."""
RAW_SCAN_MAX: Final = 20_000
"""Readings that may be thinned on the fly rather than taken from a rollup."""
RAW_RANGE_MAX_S: Final = 6 * 3_600.0
"""A stale rollup is passed over for ranges up to this."""
RANGE_MAX: Final = timedelta(days=3_700)
RAW_RANGE_MAX: Final = timedelta(days=31)


class Resolution(StrEnum):
    """Spacing of the points that are returned."""

    RAW = "raw"
    MINUTE = "1m"
    HOUR = "1h"
    DAY = "1d"


WIDTH_S: Final = {Resolution.MINUTE: 60.0, Resolution.HOUR: 3_600.0, Resolution.DAY: 86_400.0}


@dataclass(frozen=True, slots=True)
class Choice:
    """Where to read from. ``thin_s``: width of the buckets that raw readings are thinned to, None for each of them."""

    resolution: Resolution
    thin_s: float | None = None


def choose(*, range_s: float, interval_s: float | None, points_max: int, stale: bool) -> Choice:
    """The finest source whose answer has about ``points_max`` points at most.

    ``interval_s`` is the series' expected spacing. Raw readings are thinned while that reads no more than
    RAW_SCAN_MAX of them, or when rollups are ``stale`` (readings in the range have not reached them yet) and the
    range is at most RAW_RANGE_MAX_S.
    """
    assert range_s > 0
    assert points_max > 0
    expected = range_s / (interval_s or INTERVAL_DEFAULT_S)
    if expected <= points_max:
        return Choice(Resolution.RAW)
    if expected <= RAW_SCAN_MAX or (stale and range_s <= RAW_RANGE_MAX_S):
        return Choice(Resolution.RAW, thin_s=max(range_s / points_max, 0.001))
    for resolution, width_s in WIDTH_S.items():
        if range_s / width_s <= points_max:
            return Choice(resolution)
    return Choice(Resolution.DAY)
