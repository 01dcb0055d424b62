"""Plain readings that carry a time count once for the same series, time and value: against each other and the database.

Live readings are newer than all that is stored of their series, and ``Newest`` knows that without a question. The
database is asked two for the others: first, of each series, whether it has anything at all from its earliest new
reading on; only where it has, each reading is looked up by itself.
"""

import time
from typing import Final, LiteralString

import numpy as np
import numpy.typing as npt
import psycopg

from stream import queries
from stream.epoch import COPY_HEADER, COPY_TRAILER, PG_EPOCH_US, Part, keep_readings
from stream.facts import Columns, join_columns
from stream.rows import moment

_RANGE: Final = np.dtype([
    ("fields", ">i2"), ("series_bytes", ">i4"), ("series", ">i4"), ("lo_bytes", ">i4"), ("lo", ">i8"),
])  # fmt: skip
_RANGE_BLANK: Final = np.array([(2, 4, 0, 8, 0)], _RANGE)
_ASKED: Final = np.dtype([
    ("fields", ">i2"), ("position_bytes", ">i4"), ("position", ">i4"), ("series_bytes", ">i4"), ("series", ">i4"),
    ("time_bytes", ">i4"), ("time", ">i8"), ("value_bytes", ">i4"), ("value", ">f8"),
])  # fmt: skip
_ASKED_BLANK: Final = np.array([(4, 4, 0, 4, 0, 8, 0, 8, 0.0)], _ASKED)


_DAY_US: Final = 86_400_000_000
_UNKNOWN: Final = np.iinfo(np.int64).max
_END_US: Final = 253_402_300_799_000_000
"""The end of year 9999."""


class Newest:
    """For each series a time that nothing stored is newer than, where that is known: 8 bytes a series.

    It holds while nobody else writes readings of these series: where one process has all buckets (``alone``) the fence
    sees to it, and elsewhere nothing is known. A transaction that came to nothing leaves times that are too late, which
    only costs a question.
    """

    def __init__(self, *, alone: bool) -> None:
        self.alone = alone
        self._times_us = np.empty(0, np.int64)

    def unpassed(self, columns: Columns) -> npt.NDArray[np.bool_]:
        """Which readings may be stored already."""
        inside = columns.series < len(self._times_us)
        if inside.all():
            return columns.time_us <= self._times_us[columns.series]
        mask = np.ones(len(columns), np.bool_)
        mask[inside] = columns.time_us[inside] <= self._times_us[columns.series[inside]]
        return mask

    def learn(self, series: npt.NDArray[np.int32], times_us: npt.NDArray[np.int64]) -> None:
        """Take in that nothing stored of each of these series is newer."""
        room = int(np.max(series)) + 1
        if room > len(self._times_us):
            # Half as much again, so that a fleet whose series are new one by one does not copy all for each.
            grown = np.full(room + room // 2, _UNKNOWN)
            grown[: len(self._times_us)] = self._times_us
            self._times_us = grown
        self._times_us[series] = times_us

    def note(self, columns: Columns) -> None:
        """Take in that these readings are about to be stored."""
        if not len(self._times_us):
            return
        inside = columns.series < len(self._times_us)
        places, times_us = (columns.series, columns.time_us) if inside.all() else (
            columns.series[inside], columns.time_us[inside]
        )  # fmt: skip
        np.maximum.at(self._times_us, places, times_us)


def are_new(parts: list[Part], newest: Newest) -> bool:
    """Whether no reading of the parts that counts once can be stored already, or stands in them twice."""
    masks = [_once(part) for part in parts]
    asked = join_columns([part.columns.take(mask) for part, mask in zip(parts, masks, strict=True) if mask.any()])
    return not len(asked) or (not newest.unpassed(asked).any() and bool(_first_of_each(asked).all()))


def without_known(cursor: psycopg.Cursor, parts: list[Part], newest: Newest) -> list[Part]:
    """The parts without plain readings that are stored already, or that stand in them twice. Raises psycopg.Error."""
    masks = [_once(part) for part in parts]
    asked = join_columns([part.columns.take(mask) for part, mask in zip(parts, masks, strict=True) if mask.any()])
    if not len(asked):
        return parts
    fresh = _first_of_each(asked)
    fresh[_known(cursor, asked, newest)] = False
    if fresh.all():
        return parts
    kept = []
    at = 0
    for part, mask in zip(parts, masks, strict=True):
        keep = np.ones(len(mask), np.bool_)
        count = int(mask.sum())
        keep[mask] = fresh[at : at + count]
        at += count
        kept.append(part if keep.all() else keep_readings(part, keep))
    return kept


def _once(part: Part) -> npt.NDArray[np.bool_]:
    """Which of a part's readings count once."""
    mask = np.zeros(len(part.columns), np.bool_)
    for frame in part.frames:
        if frame.once:
            mask[frame.lo : frame.hi] = True
    return mask


def _first_of_each(asked: Columns) -> npt.NDArray[np.bool_]:
    """False for each reading that stands further ahead with the same series, time and value."""
    order = np.lexsort((asked.value, asked.time_us, asked.series))
    series, times, values = asked.series[order], asked.time_us[order], asked.value[order]
    again = (series[1:] == series[:-1]) & (times[1:] == times[:-1]) & (values[1:] == values[:-1])
    first = np.ones(len(asked), np.bool_)
    # The sort is stable: of equals the earliest comes first.
    first[order[1:][again]] = False
    return first


def _known(cursor: psycopg.Cursor, asked: Columns, newest: Newest) -> npt.NDArray[np.int64]:
    """Positions of the readings that the database has."""
    doubtful = np.flatnonzero(newest.unpassed(asked))
    if not len(doubtful):
        return doubtful
    doubted = asked.take(doubtful)
    bounds = {"lo": moment(int(np.min(doubted.time_us))), "hi": moment(int(np.max(doubted.time_us)))}
    doubtful = doubtful[np.isin(doubted.series, _near(cursor, doubted, newest))]
    if not len(doubtful):
        return doubtful
    rows = np.repeat(_ASKED_BLANK, len(doubtful))
    rows["position"], rows["series"] = doubtful, asked.series[doubtful]
    rows["time"], rows["value"] = asked.time_us[doubtful] - PG_EPOCH_US, asked.value[doubtful]
    _copy(cursor, queries.PLAIN_ASKED_COPY, rows)
    return np.array([position for (position,) in cursor.execute(queries.PLAIN_KNOWN, bounds)], np.int64)


def _near(cursor: psycopg.Cursor, asked: Columns, newest: Newest) -> npt.NDArray[np.int32]:
    """Series with something stored from their earliest reading on; learns how far that goes where it is not long ago.

    In a past of many partitions each series would be looked for in each of them.
    """
    ids, inverse = np.unique(asked.series, return_inverse=True)
    earliest = np.full(len(ids), np.iinfo(np.int64).max)
    latest = np.full(len(ids), np.iinfo(np.int64).min)
    np.minimum.at(earliest, inverse, asked.time_us)
    np.maximum.at(latest, inverse, asked.time_us)
    now_us = time.time_ns() // 1000
    is_recent = newest.alone and int(np.min(earliest)) > now_us - _DAY_US
    until_us = _END_US if is_recent else int(np.max(latest))
    ranges = np.repeat(_RANGE_BLANK, len(ids))
    ranges["series"], ranges["lo"] = ids, earliest - PG_EPOCH_US
    _copy(cursor, queries.PLAIN_RANGE_COPY, ranges)
    bounds = {"lo": moment(int(np.min(earliest))), "hi": moment(until_us)}
    stored = cursor.execute(queries.PLAIN_NEAR, bounds).fetchall()
    near = np.array([series for series, _ in stored], np.int32)
    if is_recent:
        latest[np.searchsorted(ids, near)] = [at_us for _, at_us in stored]
        newest.learn(ids, latest)
    return near


def _copy(cursor: psycopg.Cursor, statement: LiteralString, rows: npt.NDArray[np.void]) -> None:
    with cursor.copy(statement) as copy:
        copy.write(COPY_HEADER)
        copy.write(rows.tobytes())
        copy.write(COPY_TRAILER)
