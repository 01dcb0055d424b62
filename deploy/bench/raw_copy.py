"""The yardstick: the same rows into the same indexed table by packed binary COPY, and nothing else."""

import time
from datetime import UTC, datetime
from typing import Final

import numpy as np

from stream.facts import Columns
from stream.storage import Connection

READ: Final = """
    COPY (SELECT time, series_id, value, quality FROM reading WHERE time >= '{since}' AND time < '{until}')
    TO STDOUT (FORMAT BINARY)
"""
WRITE: Final = b"COPY reading (time, series_id, value, quality) FROM STDIN (FORMAT BINARY)"
EMPTY: Final = b"TRUNCATE reading"
_HEADER: Final = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_TRAILER: Final = b"\xff\xff"
_PG_EPOCH_US: Final = 946_684_800_000_000
_ROW: Final = np.dtype(
    [
        ("fields", ">i2"),
        ("time_bytes", ">i4"),
        ("time", ">i8"),
        ("series_bytes", ">i4"),
        ("series", ">i4"),
        ("value_bytes", ">i4"),
        ("value", ">f8"),
        ("quality_bytes", ">i4"),
        ("quality", ">i2"),
    ]
)
_ROW_BLANK: Final = np.array([(4, 8, 0, 4, 0, 8, 0.0, 2, 0)], _ROW)


def stored_columns(connection: Connection, since_s: float, until_s: float) -> Columns:
    """Readings between two times (seconds since 1970) in the order in which they were stored."""
    bounds = {
        name: datetime.fromtimestamp(at_s, UTC).isoformat() for name, at_s in (("since", since_s), ("until", until_s))
    }
    with connection.cursor() as cursor, cursor.copy(READ.format(**bounds).encode()) as copy:
        body = b"".join(copy)
    rows = np.frombuffer(body[len(_HEADER) : -len(_TRAILER)], _ROW)
    return Columns(
        rows["time"].astype(np.int64) + _PG_EPOCH_US,
        rows["series"].astype(np.int32),
        rows["value"].astype(np.float64),
        rows["quality"].astype(np.int16),
    )


def copy_rows_per_s(connection: Connection, columns: Columns, rows_per_commit: int) -> float:
    """Rows a second into the emptied table, packing and commits included; one connection, as the sink has.

    ``rows_per_commit`` is the size of the epochs that the rate is compared with.
    """
    connection.execute(EMPTY)
    started_s = time.perf_counter()
    for start in range(0, len(columns), rows_per_commit):
        part = columns.take(slice(start, start + rows_per_commit))
        with connection.transaction(), connection.cursor() as cursor, cursor.copy(WRITE) as copy:
            copy.write(_packed(part))
    return len(columns) / (time.perf_counter() - started_s)


def _packed(columns: Columns) -> bytes:
    # Our own, though the sink has the like: a yardstick does not change with what it measures.
    rows = np.empty(len(columns), _ROW)
    rows[:] = _ROW_BLANK
    rows["time"] = columns.time_us - _PG_EPOCH_US
    rows["series"] = columns.series
    rows["value"] = columns.value
    rows["quality"] = columns.quality
    return _HEADER + rows.tobytes() + _TRAILER
