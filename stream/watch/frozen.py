"""``stuck_sensor``: a value that does not move although this series always did. Pure."""

import math
from typing import Final

from contracts.facts import AnomalyKind
from stream.watch.finding import SECOND_US, Finding, Profile, series_place
from stream.watch.folds import Fold

SURPRISE: Final = 25.0
"""-ln of the probability of so long a run, at which it is no chance any more."""
RUN_MIN: Final = 10
"""Folds that a run must have …"""
RUN_MIN_US: Final = 600 * SECOND_US
"""… and how long it must last."""
LONGER: Final = 3.0
"""How many times the longest run so far a run must last."""
LEARNING: Final = 200
"""Folds before a run may alarm."""


class Frozen:
    """Runs of equal values of one series."""

    __slots__ = ("_count", "_flat", "_last", "_longest_us", "_open", "_run", "_start_us", "_t_us")

    def __init__(self) -> None:
        self._count = self._flat = 0
        self._last = math.nan
        self._run = 0
        self._start_us = self._t_us = 0
        self._longest_us = 0
        self._open: Finding | None = None

    @property
    def is_open(self) -> bool:
        """Whether the series is stuck."""
        return self._open is not None

    def step(self, fold: Fold, profile: Profile, strictness: float) -> Finding | None:
        """Take the next fold; returns an anomaly that opens or closes."""
        flat = fold.low == fold.high == self._last
        self._count += 1
        if flat:
            self._run += 1
            self._flat += self._open is None
            self._t_us = fold.t_us
            if self._open is None and self._is_surprising(fold.t_us, strictness):
                self._open = self._finding(fold, profile)
                return self._open
            return None
        found = None
        if self._open is not None:
            found = self._open.closed(fold.t_us)
            self._open = None
            # What the fault did is not how this series is.
            self._flat -= min(self._run, self._flat)
        else:
            self._longest_us = max(self._longest_us, self._t_us - self._start_us)
        self._run, self._last, self._start_us, self._t_us = 0, fold.last, fold.t_us, fold.t_us
        return found

    def _is_surprising(self, t_us: int, strictness: float) -> bool:
        lasted_us = t_us - self._start_us
        if self._count - self._run < LEARNING or self._run < RUN_MIN or lasted_us < RUN_MIN_US:
            return False
        share = (self._flat - self._run + 1.0) / (self._count - self._run + 2.0)
        return (
            -math.log(share) * self._run > SURPRISE * strictness and lasted_us > LONGER * strictness * self._longest_us
        )

    def _finding(self, fold: Fold, profile: Profile) -> Finding:
        share = (self._flat - self._run + 1.0) / (self._count - self._run + 2.0)
        surprise = -math.log(share) * self._run
        return Finding(
            AnomalyKind.STUCK_SENSOR, series_place(profile), self._start_us, fold.t_us, 0.7,
            round(1.0 - math.exp(-surprise / SURPRISE * 5.0), 4),
            {"value": fold.last, "unchanged_minutes": round((fold.t_us - self._start_us) / 6e7, 1),
             "usual_share_unchanged": round(share, 4), "longest_before_minutes": round(self._longest_us / 6e7, 1)},
        )  # fmt: skip
