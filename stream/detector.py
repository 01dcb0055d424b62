"""One detector for any series: scores by how rarely this series has been so far from where it was expected. Pure.

A value is compared with two predictions, the recent level and the usual value at this hour (of weekdays or weekends);
whichever has been nearer lately counts. The distance, in units of the usual distance, is ranked in a histogram of this
series' own past, with the tail beyond it taken as exponential, so that scores are shares of rows whatever the unit,
the interval or the distribution.
"""

import math
from array import array
from datetime import datetime
from typing import Final

ALARM_SCORE: Final = 0.9995
LEARNING: Final = 50
"""Rows before a score other than 0."""
OPEN_ROWS_MAX: Final = 300
REST_ROWS: Final = 50
RESTING_SCORE: Final = 0.5
WORSE: Final = 1.5
"""While an alarm is open or rests, only what is so many times further away scores."""
BACK: Final = 3.0
"""A series is back when it is within so many usual distances of where it was."""

_LEVEL_RATE: Final = 0.2
_SEASON_RATE: Final = 0.15
_SCALE_RATE: Final = 0.02
_CLIP: Final = 5.0
"""A distance counts as at most so many usual ones when the usual one is learnt."""
_BINS: Final = 54
_BIN_LOW: Final = 0.05
_BIN_RATIO: Final = 1.16
_LOG_RATIO: Final = math.log(_BIN_RATIO)
_MIDDLE: Final = 1.05
"""Where in a bin its rows are, times its lower edge: the lower part, for the density falls in the tail."""
_EDGES: Final = tuple(_BIN_LOW * _BIN_RATIO**number for number in range(_BINS))
"""Bin n holds distances from _EDGES[n - 1] to _EDGES[n]; bin 0 everything below, the last everything above."""
_PRIOR_ROWS: Final = 30.0
_MEMORY_ROWS: Final = 50_000.0
"""When the histogram holds so many rows, all of it is halved."""
_TAIL: Final = 0.003
"""Share of rows from which on the tail is extrapolated."""
_HOURS: Final = 48
_THURSDAY: Final = 3
"""Weekday of 1970-01-01, counted from Monday."""
_SATURDAY: Final = 5


class SeriesDetector:
    """Anomaly score of one series; O(1) time and memory, no tuning, deterministic.

    ``alarm`` tells whether a generic anomaly is open.
    """

    __slots__ = (
        "_count", "_histogram", "_level", "_level_miss", "_open_rows", "_rest_rows", "_scale", "_season",
        "_season_miss", "_start_level", "_start_scale", "_total", "_worst", "alarm",
    )  # fmt: skip

    def __init__(self) -> None:
        self.alarm = False
        self._count = 0
        self._level = 0.0
        self._scale = 0.0
        self._level_miss = 0.0
        self._season_miss = 0.0
        self._season = array("f", [math.nan]) * _HOURS
        # Before anything is known the distances are taken as exponential: heavier than noise, so a start is calm.
        above = [1.0, *(math.exp(-edge) for edge in _EDGES[:-1]), 0.0]
        self._histogram = array("f", [_PRIOR_ROWS * (above[n] - above[n + 1]) for n in range(_BINS)])
        self._total = _PRIOR_ROWS
        self._open_rows = 0
        self._rest_rows = 0
        self._start_level = 0.0
        self._start_scale = 0.0
        self._worst = 0.0

    def step(self, timestamp: datetime | float, value: float) -> float:
        """Score of the next row, 0.0 (usual) … 1.0; a share 1 - s of the rows of a quiet series scores s or more.

        ``timestamp`` is aware, or seconds since 1970 UTC. A value that is not finite scores 0.0 and is not learnt.
        """
        if not math.isfinite(value):
            return 0.0
        seconds = timestamp.timestamp() if isinstance(timestamp, datetime) else timestamp
        hour = _hour_of(seconds)
        self._count += 1
        if self._count == 1:
            self._level = value
            self._season[hour] = value
            return 0.0
        expected = self._expected(hour)
        distance = abs(value - expected)
        score = 0.0
        if distance > 0.0:
            units = distance / self._scale if self._scale > 0.0 else math.inf
            if self._count > LEARNING:
                score = 1.0 - self._share_beyond(units)
                score = self._judge(value, expected, score)
            self._rank(units)
        else:
            self._rank(0.0)
            self._judge(value, expected, 0.0)
        self._learn(hour, value, distance)
        return score

    def _expected(self, hour: int) -> float:
        season = self._season[hour]
        if math.isnan(season) or self._level_miss <= self._season_miss:
            return self._level
        return season

    def _judge(self, value: float, expected: float, score: float) -> float:
        """Open, keep or close the alarm; returns the score that counts."""
        if self.alarm or self._rest_rows:
            scale = self._start_scale or abs(self._start_level) * 1e-9 or 1e-12
            away = abs(value - self._start_level) / scale
            worse = away > WORSE * self._worst
            self._worst = max(self._worst, away)
            if self.alarm:
                self._open_rows += 1
                if away <= BACK or self._open_rows >= OPEN_ROWS_MAX:
                    self.alarm = False
                    self._rest_rows = REST_ROWS
            else:
                self._rest_rows -= 1
            if not worse:
                return min(score, RESTING_SCORE)
        if score >= ALARM_SCORE and not self.alarm:
            self.alarm = True
            self._open_rows = 0
            self._rest_rows = 0
            self._start_level = expected
            self._start_scale = self._scale
            scale = self._scale or abs(expected) * 1e-9 or 1e-12
            self._worst = abs(value - expected) / scale
        return score

    def _share_beyond(self, units: float) -> float:
        """Share of rows that were at least so far away: from the histogram, in its thin tail exponential."""
        at = _bin_of(units)
        low = _EDGES[at - 1] if at else 0.0
        # The last bin has no upper edge: all that is in it counts as far.
        inside = 1.0 if at == _BINS - 1 else 1.0 - min(max((units - low) / (_EDGES[at] - low), 0.0), 1.0)
        beyond = (sum(self._histogram[at + 1 :]) + self._histogram[at] * inside) / self._total
        return beyond if beyond >= _TAIL else self._tail_beyond(units, beyond)

    def _tail_beyond(self, units: float, counted: float) -> float:
        rows, weighted = 0.0, 0.0
        for number in range(_BINS - 1, 0, -1):
            rows += self._histogram[number]
            weighted += self._histogram[number] * _EDGES[number - 1] * _MIDDLE
            if rows >= _TAIL * self._total:
                start = _EDGES[number - 1]
                excess = max(weighted / rows - start, 1e-9)
                share = rows / self._total * math.exp(-max(units - start, 0.0) / excess)
                # A last bin that was filled before is no surprise, however far it reaches.
                return max(share, counted) if units >= _EDGES[-2] else share
        return counted

    def _rank(self, units: float) -> None:
        if math.isinf(units):
            # The first distance has no usual one to be measured by.
            return
        self._histogram[_bin_of(units)] += 1.0
        self._total += 1.0
        if self._total > _MEMORY_ROWS:
            for number in range(_BINS):
                self._histogram[number] *= 0.5
            self._total *= 0.5

    def _learn(self, hour: int, value: float, distance: float) -> None:
        rate = max(_SCALE_RATE, 1.0 / self._count)
        season = self._season[hour]
        # What an anomaly does must not become the measure of the next one.
        most = _CLIP * self._scale if self._count > LEARNING and self._scale > 0.0 else math.inf
        self._scale += rate * (min(distance, most) - self._scale)
        self._level_miss += rate * (min(abs(value - self._level), most) - self._level_miss)
        self._level += max(_LEVEL_RATE, 1.0 / self._count) * (value - self._level)
        if math.isnan(season):
            self._season[hour] = value
        else:
            self._season_miss += rate * (min(abs(value - season), most) - self._season_miss)
            self._season[hour] = season + _SEASON_RATE * (value - season)


def _hour_of(seconds: float) -> int:
    """Hour of the day in UTC, those of Saturday and Sunday 24 further."""
    hours = int(seconds // 3600)
    weekday = (hours // 24 + _THURSDAY) % 7
    return hours % 24 + (24 if weekday >= _SATURDAY else 0)


def _bin_of(units: float) -> int:
    if units < _BIN_LOW:
        return 0
    if units >= _EDGES[-2]:
        return _BINS - 1
    return min(int(math.log(units / _BIN_LOW) / _LOG_RATIO) + 1, _BINS - 1)
