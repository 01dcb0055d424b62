"""Writes rows as CSV or XLSX that no spreadsheet calculates anything of. Pure."""

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from xlsxwriter import Workbook

GUARDED: Final = frozenset("=+-@\t\r")
"""What a spreadsheet takes for a formula at the beginning of a text (OWASP, "CSV injection")."""
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


def write(form: Format, sheet: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """A file with a header. Times are UTC, in both formats as text (RFC 3339); empty cells are None."""
    return _csv(columns, rows) if form is Format.CSV else _xlsx(sheet, columns, rows)


def plain(value: Any) -> str | int | float | bool | None:
    """A value as a cell holds it."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date | UUID):
        return str(value)
    if isinstance(value, bool | int | float | str) or value is None:
        return value
    return str(value)


def guarded(text: str) -> str:
    """A text that is not taken for a formula: with an apostrophe before it where it could be.

    What begins with an apostrophe and such a character gets another, so that the import can take exactly one off.
    """
    return f"'{text}" if text.lstrip("'")[:1] in GUARDED else text


def _csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_cell(plain(value)) for value in row])
    return b"\xef\xbb\xbf" + text.getvalue().encode()


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return guarded(value) if isinstance(value, str) else value


def _xlsx(sheet: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    target = io.BytesIO()
    # Every text is written as a text: none becomes a formula, a link or a number by itself.
    options = {"in_memory": True, "constant_memory": False}
    with Workbook(target, options) as book:
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
    return target.getvalue()
