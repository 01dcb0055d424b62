"""Reads a file of people into lines of text cells: CSV, or the first sheet of an XLSX workbook. Pure."""

import csv
import io
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final

from python_calamine import CalamineError, CalamineWorkbook

from platform_api.kit.nouns import unguarded

ZIP_MAGIC: Final = b"PK\x03\x04"
UNPACKED_MAX_BYTES: Final = 64 * 1024 * 1024
"""A workbook may unpack to so much: more is no table of people."""
CELLS_MAX: Final = 6_000_000
"""Of the rectangle that a sheet spans: it is held in memory, empty or not."""
_PLACE: Final = re.compile(rb"""\br=["']([A-Z]{1,3})([0-9]{1,7})["']""")
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
    _check_size(content)
    try:
        sheet = CalamineWorkbook.from_filelike(io.BytesIO(content)).get_sheet_by_index(0)
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


def _check_size(content: bytes) -> None:
    """Refuse what unpacks to more than a table may be. A member that lies about its size fails its checksum."""
    total = 0
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for member in archive.infolist():
                total += member.file_size
                if total > UNPACKED_MAX_BYTES:
                    raise TableError(1, f"the workbook unpacks to more than {UNPACKED_MAX_BYTES} bytes")
            names = archive.namelist()
            if "xl/workbook.xml" not in names or "content.xml" in names:
                raise TableError(1, "not a workbook of Excel: save it as XLSX")
            for name in names:
                content_of = archive.read(name)
                if name.startswith("xl/worksheets/") and _spans(content_of) > CELLS_MAX:
                    raise TableError(1, f"the sheet spans more than {CELLS_MAX} cells")
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, ValueError, zlib.error) as error:
        raise TableError(1, "not a workbook: the archive is damaged") from error


def _spans(sheet: bytes) -> int:
    """Cells of the rectangle from A1 to the farthest one."""
    width = height = 0
    for letters, row in (match.groups() for match in _PLACE.finditer(sheet)):
        column = 0
        for letter in letters:
            column = column * 26 + letter - 64
        width, height = max(width, column), max(height, int(row))
    return width * height


def _text(cell: Cell) -> str:
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    if isinstance(cell, datetime | date | time):
        return cell.isoformat()
    return str(cell)
