"""Plain readings that carry a time count once for the same series, time and value: against each other and the database.

Two questions, because live readings are newer than what is stored: first, of each series, whether the table has
anything at all between its earliest and latest new reading; only where it has, each reading is looked up by itself.
"""

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
    ("hi_bytes", ">i4"), ("hi", ">i8"),
])  # fmt: skip
_RANGE_BLANK: Final = np.array([(3, 4, 0, 8, 0, 8, 0)], _RANGE)
_ASKED: Final = np.dtype([
    ("fields", ">i2"), ("position_bytes", ">i4"), ("position", ">i4"), ("series_bytes", ">i4"), ("series", ">i4"),
    ("time_bytes", ">i4"), ("time", ">i8"), ("value_bytes", ">i4"), ("value", ">f8"),
])  # fmt: skip
_ASKED_BLANK: Final = np.array([(4, 4, 0, 4, 0, 8, 0, 8, 0.0)], _ASKED)


def without_known(cursor: psycopg.Cursor, parts: list[Part]) -> list[Part]:
    """The parts without plain readings that are stored already, or that stand in them twice. Raises psycopg.Error."""
    masks = [_once(part) for part in parts]
    asked = join_columns([part.columns.take(mask) for part, mask in zip(parts, masks, strict=True) if mask.any()])
    if not len(asked):
        return parts
    fresh = _first_of_each(asked)
    fresh[_known(cursor, asked)] = False
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


def _known(cursor: psycopg.Cursor, asked: Columns) -> npt.NDArray[np.int64]:
    """Positions of the readings that the database has."""
    ids, inverse = np.unique(asked.series, return_inverse=True)
    earliest = np.full(len(ids), np.iinfo(np.int64).max)
    latest = np.full(len(ids), np.iinfo(np.int64).min)
    np.minimum.at(earliest, inverse, asked.time_us)
    np.maximum.at(latest, inverse, asked.time_us)
    bounds = {"lo": moment(int(earliest.min())), "hi": moment(int(latest.max()))}
    ranges = np.repeat(_RANGE_BLANK, len(ids))
    ranges["series"], ranges["lo"], ranges["hi"] = ids, earliest - PG_EPOCH_US, latest - PG_EPOCH_US
    _copy(cursor, queries.PLAIN_RANGE_COPY, ranges)
    near = np.array([series for (series,) in cursor.execute(queries.PLAIN_NEAR, bounds)], np.int32)
    doubtful = np.flatnonzero(np.isin(asked.series, near))
    if not len(doubtful):
        return doubtful
    rows = np.repeat(_ASKED_BLANK, len(doubtful))
    rows["position"], rows["series"] = doubtful, asked.series[doubtful]
    rows["time"], rows["value"] = asked.time_us[doubtful] - PG_EPOCH_US, asked.value[doubtful]
    _copy(cursor, queries.PLAIN_ASKED_COPY, rows)
    return np.array([position for (position,) in cursor.execute(queries.PLAIN_KNOWN, bounds)], np.int64)


def _copy(cursor: psycopg.Cursor, statement: LiteralString, rows: npt.NDArray[np.void]) -> None:
    with cursor.copy(statement) as copy:
        copy.write(COPY_HEADER)
        copy.write(rows.tobytes())
        copy.write(COPY_TRAILER)
