"""Reads a CSV file into checked rows, and says everything that is wrong with it at once. Pure."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError

from platform_api.imports.rows import MODELS, Kind, Row, columns, required_columns

FILE_MAX_BYTES: Final = 64 * 1024 * 1024
ROWS_MAX: Final = 500_000
FAULTS_MAX: Final = 1_000
"""Beyond so many the file is of another kind, and one more line helps nobody."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A mistake: the line of the file (the header is line 1), the column ('' for the row as a whole), and what."""

    line: int
    column: str
    text: str


@dataclass(frozen=True, slots=True)
class Staged:
    """A row that is right in itself, and the line on which it ends."""

    line: int
    row: Row


@dataclass(frozen=True, slots=True)
class Stage:
    """What a file holds. With any fault nothing of it may be written."""

    rows: list[Staged]
    faults: list[Fault]


def stage(kind: Kind, content: bytes) -> Stage:
    """Check a whole file of one kind (UTF-8, with or without a byte order mark, comma separated, with a header)."""
    if len(content) > FILE_MAX_BYTES:
        return _refused(f"the file has {len(content)} bytes, more than {FILE_MAX_BYTES}")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return _refused(f"not UTF-8 at byte {error.start}: export the file as “CSV UTF-8”")
    if "\0" in text:
        return _refused("the file has zero bytes: it is no text")
    reader = csv.DictReader(text.splitlines(keepends=True), strict=True)
    try:
        header_faults = list(_header_faults(kind, list(reader.fieldnames or ())))
        if header_faults:
            return Stage([], header_faults)
        return _rows(kind, reader)
    except csv.Error as error:
        return Stage([], [Fault(reader.line_num, "", f"not CSV: {error}")])


def _rows(kind: Kind, reader: "csv.DictReader[str]") -> Stage:
    model = MODELS[kind]
    result = Stage([], [])
    first_line: dict[tuple[str, ...], int] = {}
    for cells in reader:
        line = reader.line_num
        if None in cells:
            result.faults.append(Fault(line, "", "more cells than columns"))
        elif len(result.rows) >= ROWS_MAX:
            result.faults.append(Fault(line, "", f"more than {ROWS_MAX} rows: split the file"))
            break
        else:
            try:
                row = model.model_validate({name: cell for name, cell in cells.items() if cell and cell.strip()})
            except ValidationError as error:
                result.faults.extend(_explain(line, error))
            else:
                if (before := first_line.setdefault(row.key, line)) != line:
                    result.faults.append(Fault(line, "", f"{'/'.join(row.key)} stands in line {before} already"))
                result.rows.append(Staged(line, row))
        if len(result.faults) >= FAULTS_MAX:
            break
    if not result.rows and not result.faults:
        return _refused("the file has no rows")
    return result


def _header_faults(kind: Kind, names: list[str]) -> Iterator[Fault]:
    known = columns(kind)
    for name in required_columns(kind):
        if name not in names:
            yield Fault(1, name, "this column is missing")
    for position, name in enumerate(names):
        if name not in known:
            yield Fault(1, name, f"unknown column; {kind} has {', '.join(known)}")
        elif name in names[:position]:
            yield Fault(1, name, "this column stands twice")


def _explain(line: int, error: ValidationError) -> Iterator[Fault]:
    for item in error.errors(include_url=False, include_context=False):
        text = item["msg"].removeprefix("Value error, ")
        if item["type"] == "missing":
            text = "is empty"
        elif item["loc"]:
            text = f"{str(item['input'])[:40]!r}: {text[:1].lower()}{text[1:]}"
        yield Fault(line, str(item["loc"][0]) if item["loc"] else "", text)


def _refused(text: str) -> Stage:
    return Stage([], [Fault(1, "", text)])
