"""One detector for any series: scores by how rarely this series has been so far from where it was expected. Pure.

A value is compared with two predictions, the recent level and the usual value at this hour (of weekdays or weekends);
whichever has been nearer lately counts. The distance, in units of the usual distance, is ranked in a histogram of this
series' own past, with the tail beyond it taken as exponential, so that scores are shares of rows whatever the unit,
the interval or the distribution. What is far away moves the level only once a second row confirms it, so that a spike
leaves no trace. ``stream.detector_frame`` does the same for many series at once.
"""

import math
from array import array
from bisect import bisect_right
from datetime import datetime
from typing import Final

ALARM_SCORE: Final = 0.9995
LEARNING: Final = 50
"""Rows before a score other than 0."""
FIRST_RANKED: Final = 10
"""Rows before distances are ranked: by then the usual one is roughly known."""
OPEN_ROWS_MAX: Final = 300
REST_ROWS: Final = 50
RESTING_SCORE: Final = 0.5
WORSE: Final = 1.5
"""While an alarm is open or rests, only what is so many times further away scores."""
BACK: Final = 3.0
"""A series is back when it is within so many usual distances of where it was."""
FAR: Final = 6.0
"""What is so many usual distances away moves the level only when the next row is there as well."""
LEVEL_RATE: Final = 0.2
SEASON_RATE: Final = 0.25
SCALE_RATE: Final = 0.02
CLIP: Final = 5.0
"""A distance counts as at most so many usual ones when the usual one is learnt."""
GAP: Final = 10.0
"""After a silence of so many usual intervals the nearer of the two predictions counts."""
INTERVAL_RATE: Final = 0.05
SMOOTH_S: Final = 1_200.0
"""Of a series with shorter intervals the usual value is interpolated between the middles of hours."""

BINS: Final = 40
BIN_LOW: Final = 0.1
BIN_RATIO: Final = 1.2
EDGES: Final = tuple(BIN_LOW * BIN_RATIO**number for number in range(BINS - 1))
"""Bin n holds distances from EDGES[n - 1] to EDGES[n]; bin 0 everything below, the last everything above."""
WIDTHS: Final = tuple(high - low for low, high in zip((0.0, *EDGES), EDGES, strict=False))
MIDDLE: Final = 1.07
"""Where in a bin its rows are, times its lower edge: the lower part, for the density falls in the tail."""
ROW: Final = 256
"""What a row weighs in the histogram: whole numbers, so that sums do not depend on their order."""
PRIOR_ROWS: Final = 30
MEMORY_ROWS: Final = 50_000
"""When the histogram holds so many rows, all of it is halved."""
TAIL: Final = 0.003
"""Share of rows from which on the tail is extrapolated."""
HOURS: Final = 48
HOUR_S: Final = 3_600.0
_THURSDAY: Final = 3
"""Weekday of 1970-01-01, counted from Monday."""
_SATURDAY: Final = 5


NEXT: Final = tuple((hour + 1) % 24 + hour // 24 * 24 for hour in range(HOURS))
BEFORE: Final = tuple((hour - 1) % 24 + hour // 24 * 24 for hour in range(HOURS))
"""Neighbours of an hour in the season."""

# Numbers of one series in one array: a Python float of its own is three times as large.
(TIME, INTERVAL, LEVEL, OFFSET, SCALE, LEVEL_MISS, SEASON_MISS, AWAY, HOUR_SUM, START_LEVEL, START_OFFSET, START_SCALE,
 WORST) = range(13)  # fmt: skip
VALUES: Final = 13
"""Time of the last row and usual interval, s; the recent level, and what is added to the season's values; usual
distance, that from the level and that from the season; a far value that waits for a second one; sum of this hour;
level, offset and usual distance at the opening of the last alarm, and the largest distance since."""


def _prior() -> tuple[int, ...]:
    """A histogram before anything is known: exponential, which is heavier than noise, so a start is calm."""
    above = [1.0, *(math.exp(-edge) for edge in EDGES), 0.0]
    return tuple(round(ROW * PRIOR_ROWS * (above[n] - above[n + 1])) for n in range(BINS))


PRIOR: Final = _prior()


class SeriesDetector:
    """Anomaly score of one series; O(1) time and memory, no tuning, deterministic.

    ``alarm`` tells whether a generic anomaly is open; it opens at a score of ``alarm_score``.
    """

    __slots__ = ("_alarm_score", "_count", "_histogram", "_hour", "_hour_rows", "_hours", "_phase", "_season", "_total",
                 "_values")  # fmt: skip

    def __init__(self, *, alarm_score: float = ALARM_SCORE) -> None:
        self._alarm_score = alarm_score
        self._count = 0
        self._values = array("d", bytes(8 * VALUES))
        self._values[AWAY] = math.nan
        self._season = array("f", [math.nan]) * HOURS
        self._hours = self._hour = self._hour_rows = 0
        self._histogram = array("i", PRIOR)
        self._total = sum(PRIOR)
        self._phase = 0

    @property
    def alarm(self) -> bool:
        """Whether an anomaly is open."""
        return self._phase > 0

    def step(self, timestamp: datetime | float, value: float) -> float:
        """Score of the next row, 0.0 (usual) … 1.0; a share 1 - s of the rows of a quiet series scores s or more.

        ``timestamp`` is aware, or seconds since 1970 UTC. A value that is not finite scores 0.0 and is not learnt.
        """
        if not math.isfinite(value):
            return 0.0
        seconds = timestamp.timestamp() if isinstance(timestamp, datetime) else timestamp
        values = self._values
        self._count += 1
        if self._count == 1:
            values[LEVEL] = values[OFFSET] = value
            values[TIME] = seconds
        hours = int(seconds // HOUR_S)
        if hours != self._hours:
            self._change_hour(hours)
        if self._count == 1:
            self._hour_rows = 1
            return 0.0
        usual = self._usual(seconds)
        level_miss = season_miss = abs(value - values[LEVEL])
        by_season = False
        elapsed = seconds - values[TIME]
        if usual == usual:  # noqa: PLR0124 - not NaN, and this is called a million times
            season_miss = abs(value - (usual + values[OFFSET]))
            by_season = values[SEASON_MISS] < values[LEVEL_MISS] or (
                elapsed > GAP * values[INTERVAL] and season_miss < level_miss
            )
        miss = season_miss if by_season else level_miss
        scale = values[SCALE]
        units = miss / scale if scale > 0.0 else math.inf if miss > 0.0 else 0.0
        at = bisect_right(EDGES, units)
        score = 0.0
        phase = self._phase
        if miss > 0.0 and self._count > LEARNING:
            score = 1.0 - self._share_beyond(at, units)
        if phase or score >= self._alarm_score:
            away = abs(value - (usual + values[START_OFFSET])) if by_season else abs(value - values[START_LEVEL])
            score = self._judge(score, away, miss, value if by_season else values[START_LEVEL])
        if phase <= 0 and scale > 0.0 and self._count > FIRST_RANKED:
            self._rank(at)
        self._learn(value, miss, level_miss, season_miss)
        if elapsed > 0.0:
            values[TIME] = seconds
            known = values[INTERVAL]
            rate, interval = (INTERVAL_RATE, min(elapsed, CLIP * known)) if known > 0.0 else (1.0, elapsed)
            values[INTERVAL] = known + rate * (interval - known)
        return score

    def _usual(self, seconds: float) -> float:
        """Usual value at this time less the offset; NaN when this hour is not known."""
        usual = self._season[self._hour]
        if not 0.0 < self._values[INTERVAL] <= SMOOTH_S or usual != usual:  # noqa: PLR0124 - NaN
            return usual
        part = seconds / HOUR_S - self._hours - 0.5
        near = self._season[(NEXT if part > 0.0 else BEFORE)[self._hour]]
        return usual if near != near else usual + abs(part) * (near - usual)  # noqa: PLR0124 - NaN

    def _judge(self, score: float, away: float, miss: float, back_at: float) -> float:
        """Open, keep or close the alarm; returns the score that counts.

        ``away``: distance from where the series was when the last alarm opened; ``back_at``: its level if it is back.
        """
        values = self._values
        if self._phase:
            start_scale = values[START_SCALE]
            worse = away > WORSE * values[WORST]
            values[WORST] = max(values[WORST], away)
            if self._phase > 0:
                self._phase += 1
                back = away <= BACK * start_scale
                if back:
                    values[OFFSET] = values[START_OFFSET]
                    values[LEVEL] = back_at
                if back or self._phase > OPEN_ROWS_MAX:
                    self._phase = -REST_ROWS
            else:
                self._phase += 1
            if not worse:
                return min(score, RESTING_SCORE)
        if score >= self._alarm_score and self._phase <= 0:
            self._phase = 1
            values[START_LEVEL], values[START_OFFSET] = values[LEVEL], values[OFFSET]
            values[START_SCALE] = values[SCALE] if values[SCALE] > 0.0 else abs(values[LEVEL]) * 1e-9 + 1e-12
            values[WORST] = miss
        return score

    def _share_beyond(self, at: int, units: float) -> float:
        """Share of rows that were at least so far away: from the histogram, in its thin tail exponential."""
        counts = self._histogram
        rows = float(sum(counts[at + 1 :]))
        if at == BINS - 1:
            # The last bin has no upper edge: all that is in it counts as far.
            rows += counts[at]
        else:
            rows += counts[at] * ((EDGES[at] - units) / WIDTHS[at])
        share = rows / self._total
        return share if share >= TAIL else tail_beyond(counts, self._total, units, share)

    def _rank(self, at: int) -> None:
        self._histogram[at] += ROW
        self._total += ROW
        if self._total > MEMORY_ROWS * ROW:
            for number, rows in enumerate(self._histogram):
                self._histogram[number] = rows // 2
            self._total = sum(self._histogram)

    def _learn(self, value: float, miss: float, level_miss: float, season_miss: float) -> None:
        values = self._values
        rate, pull = SCALE_RATE, LEVEL_RATE
        far = most = math.inf
        if self._count <= LEARNING:
            rate = 1.0 / self._count
            pull = max(rate, pull)
        elif values[SCALE] > 0.0:
            # What an anomaly does must not become the measure of the next one.
            far = FAR * values[LEVEL_MISS]
            most = CLIP * values[SCALE]
        usual_level_miss, usual_season_miss = values[LEVEL_MISS], values[SEASON_MISS]
        values[SCALE] += rate * (min(miss, most) - values[SCALE])
        values[LEVEL_MISS] += rate * (min(level_miss, most) - usual_level_miss)
        values[SEASON_MISS] += rate * (min(season_miss, most) - usual_season_miss)
        level = values[LEVEL]
        if level_miss <= far:
            values[LEVEL] = level + pull * (value - level)
            values[AWAY] = math.nan
            values[HOUR_SUM] += value - values[OFFSET]
            self._hour_rows += 1
        elif abs(value - values[AWAY]) <= BACK * usual_level_miss:
            new = (value + values[AWAY]) / 2.0
            # A change that the season expects is none of the season.
            if season_miss > BACK * usual_season_miss and season_miss != level_miss:
                values[OFFSET] += new - level
            values[LEVEL] = new
            values[AWAY] = math.nan
        else:
            values[AWAY] = value

    def _change_hour(self, hours: int) -> None:
        """Learn the mean of the hour that is over."""
        if self._hour_rows:
            mean = self._values[HOUR_SUM] / self._hour_rows
            known = self._season[self._hour]
            self._season[self._hour] = mean if known != known else known + SEASON_RATE * (mean - known)  # noqa: PLR0124
        self._hours, self._hour, self._hour_rows = hours, hour_of_week(hours), 0
        self._values[HOUR_SUM] = 0.0


def tail_beyond(counts: "array[int]", total: int, units: float, counted: float) -> float:
    """Share of rows beyond ``units`` when the histogram's thin tail is continued as exponential.

    ``counted`` is the share that the histogram holds beyond it.
    """
    rows, weighted = 0, 0.0
    for number in range(BINS - 1, 0, -1):
        rows += counts[number]
        weighted += counts[number] * EDGES[number - 1] * MIDDLE
        if rows >= TAIL * total:
            start = EDGES[number - 1]
            excess = max(weighted / rows - start, 1e-9)
            share = rows / total * math.exp(-max(units - start, 0.0) / excess)
            # A last bin that was filled before is no surprise, however far it reaches.
            return max(share, counted) if units >= EDGES[-1] else share
    return counted


def hour_of_week(hours: int) -> int:
    """Hour of the day in UTC of hours since 1970, those of Saturday and Sunday 24 further."""
    weekday = (hours // 24 + _THURSDAY) % 7
    return hours % 24 + (24 if weekday >= _SATURDAY else 0)
