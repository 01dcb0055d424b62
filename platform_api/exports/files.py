"""Writes rows as CSV or XLSX that no spreadsheet calculates anything of. Memory is bounded by one row."""

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import IO, Any, Final
from uuid import UUID

from xlsxwriter import Workbook

from platform_api.kit.nouns import guarded

CELL_MAX_CHARS: Final = 32_767
"""Of a workbook's cell."""


class Format(StrEnum):
    """What a file can be."""

    CSV = "csv"
    XLSX = "xlsx"


MEDIA_TYPES: Final = {
    Format.CSV: "text/csv; charset=utf-8",
    Format.XLSX: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


def write(target: IO[bytes], form: Format, sheet: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a file with a header. Times are UTC, in both formats as text (RFC 3339); empty cells are None."""
    if form is Format.CSV:
        _csv(target, columns, rows)
    else:
        _xlsx(target, sheet, columns, rows)


def plain(value: Any) -> str | int | float | bool | None:
    """A value as a cell holds it."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date | UUID):
        return str(value)
    if isinstance(value, bool | int | float | str) or value is None:
        return value
    return str(value)


def _csv(target: IO[bytes], columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    text = io.TextIOWrapper(target, "utf-8-sig", newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_cell(plain(value)) for value in row])
    # The file stays open: it is the caller's.
    text.detach()


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return guarded(value) if isinstance(value, str) else value


def _xlsx(target: IO[bytes], sheet: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    # Every text is written as a text: none becomes a formula, a link or a number by itself. Rows go to a temporary file
    # one by one.
    with Workbook(target, {"constant_memory": True}) as book:
        page = book.add_worksheet(sheet[:31])
        page.freeze_panes(1, 0)
        for number, name in enumerate(columns):
            page.write_string(0, number, name)
        for line, row in enumerate(rows, start=1):
            for number, value in enumerate(map(plain, row)):
                if isinstance(value, bool):
                    page.write_boolean(line, number, value)
                elif isinstance(value, int | float):
                    page.write_number(line, number, value)
                elif value:
                    page.write_string(line, number, value[:CELL_MAX_CHARS])
