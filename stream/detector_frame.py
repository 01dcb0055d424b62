"""``SeriesDetector`` for many series at once: the same scores from numpy arrays of state. Pure.

One step takes at most one row of each series. What few rows need (the tail of a histogram, an alarm that opens or
rests, an hour that ends) is done for those alone. Every number is computed with the same operations in the same order
as there, so that results are equal, not merely near.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from stream import detector as one

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

BLOCK_ROWS: Final = 1_024
"""Series that one pass takes: what they need stays in the processor's cache."""
_EDGES: Final = np.array([*one.EDGES, np.inf])
_WIDTHS: Final = np.array([*one.WIDTHS, 1.0])
_BINS: Final = np.arange(one.BINS, dtype=np.int8)[:, None]
_NEXT: Final = np.array(one.NEXT)
_BEFORE: Final = np.array(one.BEFORE)


class FrameDetector:
    """Detectors of ``rows`` series; ``alarm[row]`` tells whether an anomaly of that series is open."""

    def __init__(self, rows: int, *, alarm_score: float = one.ALARM_SCORE) -> None:
        self._alarm_score = alarm_score
        self._count = np.zeros(rows, np.int64)
        self._values = np.zeros((one.VALUES, rows))
        self._values[one.AWAY] = np.nan
        self._season = np.full((rows, one.HOURS), np.nan, np.float32)
        self._hours = np.zeros(rows, np.int64)
        self._hour = np.zeros(rows, np.int64)
        self._hour_rows = np.zeros(rows, np.int64)
        self._histogram = np.repeat(np.array(one.PRIOR, np.int32)[:, None], rows, axis=1)
        self._total = np.full(rows, sum(one.PRIOR), np.int64)
        self._phase = np.zeros(rows, np.int64)

    def __len__(self) -> int:
        """Number of series."""
        return len(self._count)

    @property
    def alarm(self) -> Bools:
        """Which series have an open anomaly, shape (rows,)."""
        return self._phase > 0

    @property
    def bytes_per_series(self) -> float:
        """Size of the state of one series."""
        arrays = (self._count, self._values, self._season, self._hours, self._hour, self._hour_rows, self._histogram,
                  self._total, self._phase)  # fmt: skip
        return sum(array.nbytes for array in arrays) / max(len(self), 1)

    def step(self, timestamps: Floats, values: Floats, rows: Ints | None = None) -> Floats:
        """Scores of one row of each series, shape of ``values``; see ``SeriesDetector.step``.

        ``timestamps`` s since 1970 UTC; ``rows``: distinct series that the values are of, all in order unless given.
        A value that is not finite scores 0.0 and is not learnt. The arguments are not changed.
        """
        scores = np.zeros(len(values))
        every = np.arange(len(self)) if rows is None else rows
        assert len(every) == len(values) == len(timestamps)
        finite = np.isfinite(values)
        if not finite.all():
            kept = np.flatnonzero(finite)
            scores[kept] = self.step(timestamps[kept], values[kept], every[kept])
            return scores
        for low in range(0, len(values), BLOCK_ROWS):
            block = slice(low, low + BLOCK_ROWS)
            scores[block] = self._step(timestamps[block], values[block], every[block])
        return scores

    def _step(self, seconds: Floats, value: Floats, rows: Ints) -> Floats:
        state = self._values[:, _span(rows)]
        count = self._count[rows] + 1
        self._count[rows] = count
        first = count == 1
        if first.any():
            state[one.LEVEL, first] = state[one.OFFSET, first] = value[first]
            state[one.TIME, first] = seconds[first]
        hours = np.floor_divide(seconds, one.HOUR_S).astype(np.int64)
        changed = np.flatnonzero(hours != self._hours[rows])
        if len(changed):
            self._change_hour(rows[changed], hours[changed], state, changed)
        if first.any():
            self._hour_rows[rows[first]] = 1
            self._values[:, _span(rows)] = state
            known = np.flatnonzero(~first)
            scores = np.zeros(len(value))
            if len(known):
                scores[known] = self._judge_rows(seconds[known], value[known], rows[known])
            return scores
        return self._judge_rows(seconds, value, rows, state)

    def _judge_rows(self, seconds: Floats, value: Floats, rows: Ints, state: Floats | None = None) -> Floats:
        """Score and learn rows of series that have begun; their hour is up to date."""
        if state is None:
            state = self._values[:, _span(rows)]
        count = self._count[rows]
        usual = self._usual(seconds, rows, state[one.INTERVAL])
        level_miss = np.abs(value - state[one.LEVEL])
        elapsed = seconds - state[one.TIME]
        season_miss = np.abs(value - (usual + state[one.OFFSET]))
        unknown = np.isnan(usual)
        np.copyto(season_miss, level_miss, where=unknown)
        by_season = state[one.SEASON_MISS] < state[one.LEVEL_MISS]
        by_season |= (elapsed > one.GAP * state[one.INTERVAL]) & (season_miss < level_miss)
        by_season &= ~unknown
        miss = np.where(by_season, season_miss, level_miss)
        scale = state[one.SCALE]
        scaled = scale > 0.0
        units = np.where(miss > 0.0, np.inf, 0.0)
        np.divide(miss, scale, out=units, where=scaled)
        at = np.searchsorted(_EDGES[:-1], units, side="right")
        scores = np.where((miss > 0.0) & (count > one.LEARNING), 1.0 - self._share_beyond(at, units, rows), 0.0)
        phase = self._phase[rows]
        alarming = np.flatnonzero((phase != 0) | (scores >= self._alarm_score))
        if len(alarming):
            scores[alarming] = self._judge(
                alarming, rows[alarming], scores[alarming], value[alarming], usual[alarming], by_season[alarming],
                miss[alarming], state,
            )  # fmt: skip
        ranked = (phase <= 0) & scaled & (count > one.FIRST_RANKED)
        self._rank(rows[ranked], at[ranked])
        self._learn(rows, state, count, value, (miss, level_miss, season_miss))
        _learn_interval(state, seconds, elapsed)
        self._values[:, _span(rows)] = state
        return scores

    def _usual(self, seconds: Floats, rows: Ints, interval: Floats) -> Floats:
        hour = self._hour[rows]
        usual = self._season[rows, hour].astype(np.float64)
        smooth = (interval > 0.0) & (interval <= one.SMOOTH_S) & ~np.isnan(usual)
        if smooth.any():
            part = seconds / one.HOUR_S - self._hours[rows] - 0.5
            near = self._season[rows, np.where(part > 0.0, _NEXT[hour], _BEFORE[hour])].astype(np.float64)
            smooth &= ~np.isnan(near)
            usual = np.where(smooth, usual + np.abs(part) * (near - usual), usual)
        return usual

    def _judge(  # noqa: PLR0913, PLR0917 - the columns of the rows at hand
        self, at: Ints, rows: Ints, scores: Floats, value: Floats, usual: Floats, by_season: Bools, miss: Floats,
        state: Floats,
    ) -> Floats:  # fmt: skip
        """Open, keep or close alarms of the places ``at`` in ``state``; returns the scores that count."""
        phase = self._phase[rows]
        start_level, start_offset = state[one.START_LEVEL, at], state[one.START_OFFSET, at]
        start_scale, worst = state[one.START_SCALE, at], state[one.WORST, at]
        away = np.where(by_season, np.abs(value - (usual + start_offset)), np.abs(value - start_level))
        busy = phase != 0
        was_open = phase > 0
        worse = away > one.WORSE * worst
        state[one.WORST, at] = np.where(busy, np.maximum(worst, away), worst)
        phase = np.where(busy, phase + 1, phase)
        back = was_open & (away <= one.BACK * start_scale)
        state[one.OFFSET, at] = np.where(back, start_offset, state[one.OFFSET, at])
        state[one.LEVEL, at] = np.where(back, np.where(by_season, value, start_level), state[one.LEVEL, at])
        phase = np.where(back | (was_open & (phase > one.OPEN_ROWS_MAX)), -one.REST_ROWS, phase)
        calm = busy & ~worse
        opened = at[~calm & (scores >= self._alarm_score) & (phase <= 0)]
        now_open = ~calm & (scores >= self._alarm_score) & (phase <= 0)
        state[one.START_LEVEL, opened] = state[one.LEVEL, opened]
        state[one.START_OFFSET, opened] = state[one.OFFSET, opened]
        scale = state[one.SCALE, opened]
        state[one.START_SCALE, opened] = np.where(scale > 0.0, scale, np.abs(state[one.LEVEL, opened]) * 1e-9 + 1e-12)
        state[one.WORST, opened] = miss[now_open]
        self._phase[rows] = np.where(now_open, 1, phase)
        return np.where(calm, np.minimum(scores, one.RESTING_SCORE), scores)

    def _share_beyond(self, at: Ints, units: Floats, rows: Ints) -> Floats:
        counts = self._histogram[:, _span(rows)]
        total = self._total[rows]
        beyond = (counts * (at.astype(np.int8) < _BINS)).sum(axis=0, dtype=np.int32).astype(np.float64)
        own = counts[at, np.arange(len(rows))]
        inside = np.ones(len(rows))
        low = at < one.BINS - 1
        np.divide(_EDGES[at] - np.where(low, units, 0.0), _WIDTHS[at], out=inside, where=low)
        beyond += own * inside
        share: Floats = beyond / total
        for place in np.flatnonzero(share < one.TAIL).tolist():
            share[place] = one.tail_beyond(
                counts[:, place].tolist(), int(total[place]), float(units[place]), float(share[place])
            )
        return share

    def _rank(self, rows: Ints, at: Ints) -> None:
        self._histogram[at, rows] += one.ROW
        self._total[rows] += one.ROW
        full = rows[self._total[rows] > one.MEMORY_ROWS * one.ROW]
        if len(full):
            self._histogram[:, full] //= 2
            self._total[full] = self._histogram[:, full].sum(axis=0, dtype=np.int64)

    def _learn(
        self, rows: Ints, state: Floats, count: Ints, value: Floats, misses: tuple[Floats, Floats, Floats]
    ) -> None:
        miss, level_miss, season_miss = misses
        learning = count <= one.LEARNING
        rate = np.where(learning, 1.0 / count, one.SCALE_RATE)
        pull = np.where(learning, np.maximum(rate, one.LEVEL_RATE), one.LEVEL_RATE)
        scale, usual_level_miss, usual_season_miss = state[one.SCALE], state[one.LEVEL_MISS], state[one.SEASON_MISS]
        settled = ~learning & (scale > 0.0)
        far = np.where(settled, one.FAR * usual_level_miss, np.inf)
        most = np.where(settled, one.CLIP * scale, np.inf)
        new_level_miss = usual_level_miss + rate * (np.minimum(level_miss, most) - usual_level_miss)
        new_season_miss = usual_season_miss + rate * (np.minimum(season_miss, most) - usual_season_miss)
        state[one.SCALE] = scale + rate * (np.minimum(miss, most) - scale)
        near = level_miss <= far
        away = state[one.AWAY]
        level = state[one.LEVEL]
        moved = level + pull * (value - level)
        if near.all():
            state[one.LEVEL] = moved
            state[one.AWAY] = np.nan
            state[one.HOUR_SUM] += value - state[one.OFFSET]
            self._hour_rows[rows] += 1
        else:
            confirmed = ~near & (np.abs(value - away) <= one.BACK * usual_level_miss)
            new = (value + away) / 2.0
            state[one.HOUR_SUM] += np.where(near, value - state[one.OFFSET], 0.0)
            self._hour_rows[rows] += near
            shifts = confirmed & (season_miss > one.BACK * usual_season_miss) & (season_miss != level_miss)
            state[one.OFFSET] = np.where(shifts, state[one.OFFSET] + (new - level), state[one.OFFSET])
            state[one.LEVEL] = np.where(near, moved, np.where(confirmed, new, level))
            state[one.AWAY] = np.where(near | confirmed, np.nan, value)
        state[one.LEVEL_MISS] = new_level_miss
        state[one.SEASON_MISS] = new_season_miss

    def _change_hour(self, rows: Ints, hours: Ints, state: Floats, at: Ints) -> None:
        """Learn the mean of the hour that is over, of the places ``at`` in ``state``."""
        filled = self._hour_rows[rows] > 0
        done = rows[filled]
        if len(done):
            mean = state[one.HOUR_SUM, at[filled]] / self._hour_rows[done]
            known = self._season[done, self._hour[done]].astype(np.float64)
            learnt = np.where(np.isnan(known), mean, known + one.SEASON_RATE * (mean - known))
            self._season[done, self._hour[done]] = learnt
        self._hours[rows] = hours
        self._hour[rows] = [one.hour_of_week(each) for each in hours.tolist()]
        self._hour_rows[rows] = 0
        state[one.HOUR_SUM, at] = 0.0


def _span(rows: Ints) -> "Ints | slice":
    """Rows that follow each other as a slice: what is taken by it is not copied."""
    if len(rows) and rows[-1] - rows[0] == len(rows) - 1 and bool((np.diff(rows) == 1).all()):
        return slice(int(rows[0]), int(rows[-1]) + 1)
    return rows


def _learn_interval(state: Floats, seconds: Floats, elapsed: Floats) -> None:
    known = state[one.INTERVAL]
    began = known > 0.0
    rate = np.where(began, one.INTERVAL_RATE, 1.0)
    interval = np.where(began, np.minimum(elapsed, one.CLIP * known), elapsed)
    forward = elapsed > 0.0
    state[one.INTERVAL] = np.where(forward, known + rate * (interval - known), known)
    state[one.TIME] = np.where(forward, seconds, state[one.TIME])
