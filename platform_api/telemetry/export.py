"""Readings of a range as a file: CSV, an Arrow stream, or Parquet. Memory is bounded by one batch."""

import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from platform_api.kit.db import Connection
from platform_api.telemetry import queries
from platform_api.telemetry.rules import Resolution

BATCH_ROWS: Final = 20_000
ROW_GROUP_BATCHES: Final = 25
"""Batches of one Parquet row group: half a million readings compress well and take 20 MiB."""
ROWS_MAX: Final = 50_000_000
"""An export that would be longer breaks off, which a client sees as an incomplete transfer."""
SLOW_CLIENT: Final = "SET LOCAL idle_in_transaction_session_timeout = '120s'"

_NAME: Final = pa.dictionary(pa.int32(), pa.string())
_HEAD: Final = [("time", pa.timestamp("us", "UTC")), ("gateway", _NAME), ("channel", _NAME)]
RAW_SCHEMA: Final = pa.schema([*_HEAD, ("value", pa.float64()), ("quality", pa.int8())])
ROLLUP_SCHEMA: Final = pa.schema(
    [*_HEAD, ("n", pa.int64()), *((name, pa.float64()) for name in ("mean", "min", "max", "first", "last"))]
)


class ExportTooLongError(Exception):
    """More than ROWS_MAX rows."""


class ReadingsFormat(StrEnum):
    """What a file can be."""

    CSV = "csv"
    ARROW = "arrow"
    PARQUET = "parquet"


MEDIA_TYPES: Final[Mapping[ReadingsFormat, str]] = {
    ReadingsFormat.CSV: "text/csv; charset=utf-8",
    ReadingsFormat.ARROW: "application/vnd.apache.arrow.stream",
    ReadingsFormat.PARQUET: "application/vnd.apache.parquet",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is exported: series (rows of ``queries.SERIES_BY_NAME``), a half-open range, a resolution."""

    series: Sequence[Mapping[str, Any]]
    bounds: Mapping[str, object]
    resolution: Resolution
    with_bad: bool

    @property
    def schema(self) -> pa.Schema:
        """Columns of the file."""
        return RAW_SCHEMA if self.resolution is Resolution.RAW else ROLLUP_SCHEMA


def export(tx: Connection, wanted: Wanted, form: ReadingsFormat) -> Iterator[bytes]:
    """The file in pieces, by series and time. ``tx`` must live until the last one. Raises ExportTooLongError."""
    tx.execute(SLOW_CLIENT)
    return _ENCODERS[form](wanted.schema, _batches(tx, wanted))


def _batches(tx: Connection, wanted: Wanted) -> Iterator[pa.RecordBatch]:
    """Batches of at most BATCH_ROWS rows; series by series, so that each is one walk along its index."""
    raw = wanted.resolution is Resolution.RAW
    query = queries.EXPORT_RAW if raw else queries.EXPORT_ROLLUPS[wanted.resolution]
    left = ROWS_MAX
    for series in wanted.series:
        with tx.cursor("export", row_factory=_plain_rows, binary=True) as cursor:
            cursor.execute(query, {**wanted.bounds, "series_id": series["series_id"], "bad": wanted.with_bad})
            while rows := cursor.fetchmany(BATCH_ROWS):
                left -= len(rows)
                if left < 0:
                    message = f"the export is over {ROWS_MAX} rows"
                    raise ExportTooLongError(message)
                yield _batch(series, rows, wanted.schema)


def _plain_rows(_: object) -> Callable[[Sequence[Any]], Sequence[Any]]:
    """Rows as they come: a dictionary for each would take most of the time."""
    return lambda values: values


def _batch(series: Mapping[str, Any], rows: Sequence[Sequence[Any]], schema: pa.Schema) -> pa.RecordBatch:
    times, *columns = zip(*rows, strict=True)
    names = (_repeated(series["gateway_id"], len(rows)), _repeated(series["channel"], len(rows)))
    fields = list(schema)
    arrays = [pa.array(times, fields[0].type), *names]
    arrays += [pa.array(column, field.type) for column, field in zip(columns, fields[3:], strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _repeated(text: str, count: int) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.repeat(pa.scalar(0, pa.int32()), count), pa.array([text]))


# ---------------------------------------------------------------- encoders


class _Pieces(io.RawIOBase):
    """A file that is written to, and whose bytes are taken away piece by piece."""

    def __init__(self) -> None:
        super().__init__()
        self._buffer = bytearray()

    def writable(self) -> bool:
        """It is for writing."""
        return True

    def write(self, data: Any) -> int:
        """Keep some more."""
        self._buffer += memoryview(data)
        return len(data)

    def take(self) -> bytes:
        """What was written since the last time."""
        taken = bytes(self._buffer)
        self._buffer.clear()
        return taken


def _csv(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Iterator[bytes]:
    yield (",".join(schema.names) + "\r\n").encode()
    options = pa_csv.WriteOptions(include_header=False, quoting_style="none")
    for batch in batches:
        columns = [pc.strftime(batch.column(0), format="%Y-%m-%dT%H:%M:%SZ"), *batch.columns[1:]]
        pieces = _Pieces()
        pa_csv.write_csv(pa.table(columns, names=schema.names), pieces, options)
        yield pieces.take()


def _arrow(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Iterator[bytes]:
    pieces = _Pieces()
    # Each series brings dictionaries of its own.
    options = pa.ipc.IpcWriteOptions(emit_dictionary_deltas=False, compression="zstd")
    with pa.ipc.new_stream(pieces, schema, options=options) as writer:
        for batch in batches:
            writer.write_batch(batch)
            yield pieces.take()
    yield pieces.take()


def _parquet(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Iterator[bytes]:
    pieces = _Pieces()
    waiting: list[pa.RecordBatch] = []
    with pq.ParquetWriter(pieces, schema, compression="zstd") as writer:
        for batch in batches:
            waiting.append(batch)
            if len(waiting) == ROW_GROUP_BATCHES:
                writer.write_table(pa.Table.from_batches(waiting).unify_dictionaries())
                waiting.clear()
                yield pieces.take()
        if waiting:
            writer.write_table(pa.Table.from_batches(waiting).unify_dictionaries())
    yield pieces.take()


_ENCODERS: Final[Mapping[ReadingsFormat, Callable[[pa.Schema, Iterable[pa.RecordBatch]], Iterator[bytes]]]] = {
    ReadingsFormat.CSV: _csv,
    ReadingsFormat.ARROW: _arrow,
    ReadingsFormat.PARQUET: _parquet,
}
