"""``cold_chain``: temperature above its limit for longer than it may be. Deterministic. Pure."""

from typing import Final

from contracts.facts import AnomalyKind
from stream.watch.finding import SECOND_US, Finding, Profile, series_place

BELOW_ROWS: Final = 2
"""Readings at or below the limit that end a warm spell: one of them may be a fault of the sensor."""
SILENCE: Final = 10.0
"""After a silence of so many intervals nobody knows what the temperature was."""
SEVERE_C: Final = 10.0
"""Degrees above the limit at which severity is 1."""


class ColdChain:
    """Warm spells of one series."""

    __slots__ = ("_back_us", "_below", "_last_us", "_open", "_peak", "_start_us")

    def __init__(self) -> None:
        self._start_us: int | None = None
        self._below = 0
        self._back_us = self._last_us = 0
        self._peak = 0.0
        self._open: Finding | None = None

    @property
    def is_open(self) -> bool:
        """Whether it is too warm."""
        return self._open is not None

    def step(self, t_us: int, celsius: float, profile: Profile) -> Finding | None:
        """Take the next reading; returns an anomaly that opens or closes."""
        assert profile.limit_c is not None
        silent_us = max(SILENCE * profile.interval_s, 600.0) * SECOND_US
        unknown = self._start_us is not None and self._open is None and t_us - self._last_us > silent_us
        if unknown:
            self._start_us = None
        self._last_us = t_us
        if celsius > profile.limit_c:
            self._below = 0
            if self._start_us is None:
                self._start_us, self._peak = t_us, celsius
            self._peak = max(self._peak, celsius)
            if self._open is None and t_us - self._start_us > profile.limit_s * SECOND_US:
                self._open = self._finding(t_us, celsius, profile)
                return self._open
            return None
        if self._start_us is None:
            return None
        self._below += 1
        if self._below == 1:
            self._back_us = t_us
        if self._below < BELOW_ROWS:
            return None
        self._start_us = None
        found, self._open = self._open, None
        return None if found is None else found.closed(self._back_us)

    def _finding(self, t_us: int, celsius: float, profile: Profile) -> Finding:
        assert profile.limit_c is not None
        assert self._start_us is not None
        above_s = (t_us - self._start_us) / SECOND_US
        return Finding(
            AnomalyKind.COLD_CHAIN, series_place(profile), self._start_us, t_us,
            round(min(1.0, 0.6 + 0.4 * (self._peak - profile.limit_c) / SEVERE_C), 3), 1.0,
            {"limit_c": profile.limit_c, "limit_s": profile.limit_s, "above_s": round(above_s),
             "peak_c": self._peak, "now_c": celsius},
        )  # fmt: skip
