"""Reads a file of people into lines of text cells: CSV, or the first sheet of an XLSX workbook. Pure."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final

from python_calamine import CalamineError, CalamineWorkbook

from platform_api.imports.workbooks import WorkbookError, judged
from platform_api.kit.nouns import unguarded

ZIP_MAGIC: Final = b"PK\x03\x04"
Cell = int | float | str | bool | time | date | datetime | timedelta


class TableError(Exception):
    """A file that is no table; ``line`` is where it ends to be one."""

    def __init__(self, line: int, text: str) -> None:
        super().__init__(text)
        self.line = line


@dataclass(frozen=True, slots=True)
class Table:
    """Names of the columns, and lines of cells with their numbers (the header is line 1). Reading raises TableError."""

    header: list[str]
    lines: Iterator[tuple[int, list[str]]]


def read_table(content: bytes) -> Table:
    """The table in a file. Raises TableError."""
    lines = _workbook(content) if content.startswith(ZIP_MAGIC) else _csv(content)
    _, header = next(lines, (1, []))
    return Table([name.strip() for name in header], lines)


def _csv(content: bytes) -> Iterator[tuple[int, list[str]]]:
    if b"\0" in content:
        raise TableError(1, "the file has zero bytes: it is no text")
    # Decoded as it is read: the text of a file takes up to four times the room of its bytes.
    reader = csv.reader(io.TextIOWrapper(io.BytesIO(content), "utf-8-sig", newline=""), strict=True)
    try:
        for cells in reader:
            if cells:
                yield reader.line_num, [unguarded(cell) for cell in cells]
    except UnicodeDecodeError as error:
        after = f"not UTF-8 after line {reader.line_num}: export the file as “CSV UTF-8”"
        raise TableError(reader.line_num + 1, after) from error
    except csv.Error as error:
        raise TableError(reader.line_num, f"not CSV: {error}") from error


def _workbook(content: bytes) -> Iterator[tuple[int, list[str]]]:
    try:
        sheet = CalamineWorkbook.from_filelike(io.BytesIO(judged(content))).get_sheet_by_index(0)
    except WorkbookError as error:
        raise TableError(1, str(error)) from error
    except (CalamineError, ValueError, OSError) as error:
        raise TableError(1, f"not a workbook: {str(error)[:100]}") from error
    # Rows are told from the first one on, their cells from the first column that has any.
    left = 0 if sheet.start is None else sheet.start[1]
    width = 0
    for line, row in enumerate(sheet.iter_rows(), start=1):
        cells = [""] * left + [_text(cell) for cell in row]
        while cells and not cells[-1]:
            cells.pop()
        if "\0" in "".join(cells):
            raise TableError(line, "a cell has zero bytes")
        if cells:
            width = width or len(cells)
            yield line, cells + [""] * (width - len(cells))


def _text(cell: Cell) -> str:
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    if isinstance(cell, datetime | date | time):
        return cell.isoformat()
    return str(cell)
