"""Spikes over whole frames with numpy: an isolated impossible jump that returns. Pure.

``SpikeFinder`` learns per series how noisy readings are and how large believable jumps are (sales, restocks, hands on a
shelf), and alarms on what is far beyond both and comes back at once, or lies outside the physical range of the metric.
A jump that stays is a level: never a spike, however large.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from contracts.frames import Quality
from stream.facts import Columns
from stream.spike_state import HISTORY, Floats, NameOf, SpikeState

WIDTHS: Final = (1, 2)
"""Readings that a spike may last; what lasts longer is a level, however unlikely."""
LEARNING: Final = 50
"""Readings of a series before a jump inside the physical range may alarm."""
LEARNING_KNOWN: Final = 10
"""The same for a metric whose nature is known (``FLOORS``)."""
RETURNED: Final = 0.3
"""A spike has returned when less than this share of the jump is left."""
NOISE_FACTOR: Final = 12.0
"""Jump over mean absolute change: 12 is about 10 standard deviations of white noise."""
JUMP_FACTOR: Final = 3.0
"""Jump over the mean of the believable jumps of this series."""
NOISE_RATE: Final = 0.02
JUMP_RATE: Final = 0.1
CLIP: Final = 4.0
"""A change counts as at most this many times the noise, so that jumps do not blow up the noise."""
REST_US: Final = 300_000_000
"""After an alarm a series is left alone for five minutes."""
EVIDENCE_READINGS: Final = 8


class Spike(NamedTuple):
    """An isolated jump. Times in µs since 1970 UTC; ``end_us`` is the reading that had returned, or the last one."""

    series: int
    start_us: int
    end_us: int
    detected_us: int
    severity: float
    score: float
    evidence: dict[str, Any]


@dataclass(slots=True)
class _Block:
    """Readings of a chunk sorted by series and time, each series behind its HISTORY carried ones.

    ``at``: place of each new reading in ``values``; ``of``: its group; ``rows``: state row of each group;
    ``starts``: place of each group's first carried reading; ``counts``: new readings of each group.
    """

    values: Floats
    times: npt.NDArray[np.int64]
    flags: npt.NDArray[np.bool_]
    at: npt.NDArray[np.int64]
    of: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]
    series: npt.NDArray[np.int32]


class _Hit(NamedTuple):
    """A spike in a block: its group, places of its first reading and of the one that settled it, jump over limit."""

    group: int
    start: int
    end: int
    ratio: float


class SpikeFinder:
    """Finds spikes in the series of one bucket. ``step`` with every chunk; O(1) memory a series.

    Thresholds move once a chunk; which readings form a spike does not depend on how they are cut into chunks.
    """

    def __init__(self) -> None:
        self._state = SpikeState()

    @property
    def series(self) -> npt.NDArray[np.int32]:
        """Series that were seen, by row."""
        return self._state.series

    def snapshot(self, rows: npt.NDArray[np.int64] | None = None) -> bytes:
        """State for the recovery store: of all series, or of those in ``rows``."""
        return self._state.snapshot(rows)

    def learn(self, snapshot: bytes, is_known: Callable[[int], bool] = lambda _: True) -> None:
        """Take in series that another finder's ``snapshot`` knows, but for those that this one has."""
        self._state.learn(snapshot, is_known)

    @classmethod
    def restore(cls, snapshot: bytes) -> "SpikeFinder":
        """The finder whose ``snapshot`` this was."""
        finder = cls()
        finder.learn(snapshot)
        return finder

    def step(self, columns: Columns, name_of: NameOf) -> list[Spike]:
        """Spikes that the new readings settle. ``name_of`` gives (tenant, gateway, channel) of a series."""
        block = self._sort(columns, name_of)
        if block is None:
            return []
        found = self._match(block)
        self._learn(block)
        self._carry(block)
        return found

    # ------------------------------------------------------------- one chunk

    def _sort(self, columns: Columns, name_of: NameOf) -> _Block | None:
        """The chunk's good readings in order; what is older than the newest known of its series is left out."""
        good = columns if not columns.quality.any() else columns.take(columns.quality != Quality.BAD)
        if len(good) == 0:
            return None
        order = np.lexsort((good.time_us, good.series))
        series, times, values = good.series[order], good.time_us[order], good.value[order]
        ids, of = _groups(series)
        rows = self._state.rows(ids, name_of)
        late = times <= self._state.times[rows[of], -1]
        if late.any():
            fresh = ~late
            series, times, values = series[fresh], times[fresh], values[fresh]
            if len(series) == 0:
                return None
            ids, of = _groups(series)
            rows = self._state.rows(ids, name_of)
        counts = np.bincount(of)
        firsts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        starts = firsts + HISTORY * np.arange(len(ids))
        at = np.arange(len(series)) + HISTORY * (of + 1)
        carried = starts[:, None] + np.arange(HISTORY)
        block = _Block(
            np.empty(len(series) + HISTORY * len(ids)),
            np.empty(len(series) + HISTORY * len(ids), np.int64),
            np.zeros(len(series) + HISTORY * len(ids), np.bool_),
            at, of, rows, starts, counts, ids,
        )  # fmt: skip
        block.values[carried], block.values[at] = self._state.values[rows], values
        block.times[carried], block.times[at] = self._state.times[rows], times
        block.flags[carried] = self._state.flags[rows]
        return block

    def _match(self, block: _Block) -> list[Spike]:
        """Mark what is part of a spike in ``block.flags``; returns those that may alarm."""
        state, rows = self._state, block.rows
        limit = np.fmax(np.fmax(state.noise * NOISE_FACTOR, state.jump * JUMP_FACTOR), state.floor)
        # A metric of unknown nature must have moved before it can move too far; of a known one less must be seen, and
        # a jump over its largest believable step needs no learning at all.
        known = ~np.isnan(state.floor)
        unready = np.where(known, state.count < LEARNING_KNOWN, (state.count < LEARNING) | (state.noise == 0.0))
        limit[unready] = state.step[unready]
        limits = limit[rows][block.of]
        found: list[_Hit] = []
        for width in WIDTHS:
            before, after = block.values[block.at - width - 1], block.values[block.at]
            jumps = np.stack([block.values[block.at - width + k] - before for k in range(width)])
            size = np.abs(jumps).min(axis=0)
            one_way = np.abs(np.sign(jumps).sum(axis=0)) == width
            hit = one_way & (size > limits) & (np.abs(after - before) <= RETURNED * size)
            for n in np.flatnonzero(hit).tolist():
                end = int(block.at[n])
                block.flags[end - width : end + 1] = True
                found.append(_Hit(int(block.of[n]), end - width, end, float(size[n] / limits[n])))
        values = block.values[block.at]
        impossible = (values < state.low[rows][block.of]) | (values > state.high[rows][block.of])
        for n in np.flatnonzero(impossible).tolist():
            end = int(block.at[n])
            block.flags[end] = True
            found.append(_Hit(int(block.of[n]), end, end, np.inf))
        return self._rested(block, sorted(found, key=lambda hit: (hit.group, hit.end)))

    def _rested(self, block: _Block, found: list[_Hit]) -> list[Spike]:
        """One alarm for what belongs together: after one its series rests, and each further one prolongs the rest."""
        spikes = []
        for hit in found:
            row = int(block.rows[hit.group])
            detected_us = int(block.times[hit.end])
            if detected_us >= self._state.rest_until[row]:
                spikes.append(_spike(block, hit, self._state))
            self._state.rest_until[row] = detected_us + REST_US
        return spikes

    def _learn(self, block: _Block) -> None:
        """Learn from changes two readings back, by when it is known whether they were part of a spike."""
        state, rows, lag = self._state, block.rows, max(WIDTHS)
        known = block.at - lag
        change = np.abs(block.values[known] - block.values[known - 1])
        usable = ~(np.isnan(change) | block.flags[known] | block.flags[known - 1])
        change = np.where(usable, change, 0.0)
        noise = state.noise[rows]
        group_starts = block.starts - HISTORY * np.arange(len(rows))
        learnt = np.add.reduceat(usable.astype(np.int64), group_starts)
        young = state.count[rows] < LEARNING
        # While young the cap would be that of a guess; the mean of what came so far is taken instead.
        cap = np.where(young, np.inf, np.maximum(noise * CLIP, 1e-12))[block.of]
        mean = np.add.reduceat(np.minimum(change, cap), group_starts) / np.maximum(learnt, 1)
        seen = np.minimum(state.count[rows], LEARNING)
        rate = np.where(young, learnt / np.maximum(seen + learnt, 1), 1.0 - (1.0 - NOISE_RATE) ** learnt)
        state.noise[rows] = np.where(learnt > 0, noise + rate * (mean - noise), noise)
        jumped = usable & (change > CLIP * noise[block.of]) & (change > 0.0)
        jumps = np.add.reduceat(jumped.astype(np.int64), group_starts)
        if jumps.any():
            size = np.add.reduceat(np.where(jumped, change, 0.0), group_starts) / np.maximum(jumps, 1)
            known_jump = state.jump[rows]
            rate = np.where(known_jump == 0.0, 1.0, 1.0 - (1.0 - JUMP_RATE) ** jumps)
            state.jump[rows] = np.where(jumps > 0, known_jump + rate * (size - known_jump), known_jump)
        state.count[rows] += block.counts

    def _carry(self, block: _Block) -> None:
        """Keep the last readings of each series for the next chunk."""
        last = (block.starts + HISTORY + block.counts)[:, None] - HISTORY + np.arange(HISTORY)
        self._state.values[block.rows] = block.values[last]
        self._state.times[block.rows] = block.times[last]
        self._state.flags[block.rows] = block.flags[last]


def _groups(series: npt.NDArray[np.int32]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Distinct values of sorted ``series``, and the index into them of each entry."""
    new = np.concatenate([[True], series[1:] != series[:-1]])
    return series[new], np.cumsum(new) - 1


def _spike(block: _Block, hit: _Hit, state: SpikeState) -> Spike:
    """The finding, with the numbers that a person can check and the readings around it."""
    row = int(block.rows[hit.group])
    first = int(block.starts[hit.group])
    last = first + HISTORY + int(block.counts[hit.group])
    near = range(max(first, hit.start - EVIDENCE_READINGS // 2), min(last, hit.end + EVIDENCE_READINGS // 2))
    before = float(block.values[hit.start - 1])
    peak = float(max(block.values[hit.start : max(hit.end, hit.start + 1)], key=lambda value: abs(value - before)))
    outside = not state.low[row] <= peak <= state.high[row]
    score = 1.0 if outside else 1.0 - 0.5 / hit.ratio
    evidence: dict[str, Any] = {
        "peak": peak,
        "before": None if np.isnan(before) else before,
        "returned": None if hit.end == hit.start else float(block.values[hit.end]),
        "outside_range": outside,
        "typical_change": float(state.noise[row]),
        "typical_jump": float(state.jump[row]),
        "readings": [
            {"t_ms": int(block.times[place]) // 1000, "value": float(block.values[place])}
            for place in near
            if not np.isnan(block.values[place])
        ],
    }
    return Spike(
        series=int(block.series[hit.group]),
        start_us=int(block.times[hit.start]),
        end_us=int(block.times[hit.end]),
        detected_us=int(block.times[hit.end]),
        severity=1.0 if outside else round(min(0.3 + 0.1 * hit.ratio, 0.9), 3),
        score=round(score, 4),
        evidence=evidence,
    )
