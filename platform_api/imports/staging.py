"""Reads a CSV or XLSX file into checked rows, and says everything that is wrong with it at once. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError

from platform_api.imports.rows import MODELS, Kind, Row, columns, required_columns
from platform_api.imports.tables import Table, TableError, read_table

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


def stage(kind: Kind, content: bytes, tenant: str | None = None) -> Stage:
    """Check a whole file of one kind: CSV (UTF-8, comma separated) or XLSX (its first sheet), with a header.

    ``tenant`` is whose file it is, when that is known: rows need not say so, and may say nothing else.
    """
    if len(content) > FILE_MAX_BYTES:
        return _refused(f"the file has {len(content)} bytes, more than {FILE_MAX_BYTES}")
    try:
        table = read_table(content)
        header_faults = list(_header_faults(kind, table.header, given=() if tenant is None else ("tenant",)))
        return Stage([], header_faults) if header_faults else _rows(kind, table, tenant)
    except TableError as error:
        return Stage([], [Fault(error.line, "", str(error))])


def _rows(kind: Kind, table: Table, tenant: str | None) -> Stage:
    model = MODELS[kind]
    result = Stage([], [])
    first_line: dict[tuple[str, ...], int] = {}
    given = {} if tenant is None else {"tenant": tenant}
    for line, cells in table.lines:
        if len(cells) > len(table.header):
            result.faults.append(Fault(line, "", "more cells than columns"))
        elif len(result.rows) >= ROWS_MAX:
            result.faults.append(Fault(line, "", f"more than {ROWS_MAX} rows: split the file"))
            break
        else:
            told = {name: cell for name, cell in zip(table.header, cells, strict=False) if cell and cell.strip()}
            try:
                row = model.model_validate(given | told)
            except ValidationError as error:
                result.faults.extend(_explain(line, error))
            else:
                if tenant not in {None, row.tenant}:
                    result.faults.append(Fault(line, "tenant", f"{row.tenant!r} is not yours"))
                    continue
                if (before := first_line.setdefault(row.key, line)) != line:
                    result.faults.append(Fault(line, "", f"{'/'.join(row.key)} stands in line {before} already"))
                result.rows.append(Staged(line, row))
        if len(result.faults) >= FAULTS_MAX:
            break
    if not result.rows and not result.faults:
        return _refused("the file has no rows")
    return result


def _header_faults(kind: Kind, names: list[str], given: tuple[str, ...]) -> Iterator[Fault]:
    known = columns(kind)
    for name in required_columns(kind):
        if name not in names and name not in given:
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
