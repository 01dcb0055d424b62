"""Reads a CSV or XLSX file into checked rows, and says everything that is wrong with it at once. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import xxhash
from pydantic import ValidationError

from platform_api.imports.kinds import MODELS, columns, required_columns
from platform_api.imports.rows import Row
from platform_api.imports.tables import Table, TableError, read_table
from platform_api.kit.nouns import Kind

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
    """A whole file in memory, as ``read_rows`` reads it: for small ones."""
    result = Stage([], [])
    for item in read_rows(kind, content, tenant):
        if isinstance(item, Fault):
            result.faults.append(item)
        else:
            result.rows.append(item)
    return result


def read_rows(
    kind: Kind, content: bytes, tenant: str | None = None, rows_max: int = ROWS_MAX
) -> Iterator[Staged | Fault]:
    """Rows of a file of one kind, or what is wrong with them, one after the other: what was read is not kept.

    CSV (UTF-8, comma separated) or XLSX (its first sheet), with a header. Ends after FAULTS_MAX faults, or ``rows_max``
    rows.
    ``tenant`` is whose file it is, when that is known: rows need not say so, and may say nothing else.
    """
    if len(content) > FILE_MAX_BYTES:
        yield Fault(1, "", f"the file has {len(content)} bytes, more than {FILE_MAX_BYTES}")
        return
    faults = 0
    for item in _read(kind, content, tenant, rows_max):
        yield item
        faults += isinstance(item, Fault)
        if faults == FAULTS_MAX:
            return


def _read(kind: Kind, content: bytes, tenant: str | None, rows_max: int) -> Iterator[Staged | Fault]:
    empty = True
    try:
        table = read_table(content)
        for fault in _header_faults(kind, table.header, given=() if tenant is None else ("tenant",)):
            empty = False
            yield fault
        if not empty:
            return
        for item in _rows(kind, table, tenant, rows_max):
            empty = False
            yield item
    except TableError as error:
        yield Fault(error.line, "", str(error))
        return
    if empty:
        yield Fault(1, "", "the file has no rows")


def _rows(kind: Kind, table: Table, tenant: str | None, rows_max: int) -> Iterator[Staged | Fault]:
    model = MODELS[kind]
    # Names of rows are kept as digests, so that they take the same little room whatever they are.
    first_line: dict[int, int] = {}
    given = {} if tenant is None else {"tenant": tenant}
    for line, cells in table.lines:
        if len(cells) > len(table.header):
            yield Fault(line, "", "more cells than columns")
            continue
        if len(first_line) >= rows_max:
            yield Fault(line, "", f"more than {rows_max} rows: split the file")
            return
        told = {name: cell for name, cell in zip(table.header, cells, strict=False) if cell and cell.strip()}
        try:
            row = model.model_validate(given | told)
        except ValidationError as error:
            yield from _explain(line, error)
            continue
        if tenant not in {None, row.tenant}:
            yield Fault(line, "tenant", f"{row.tenant!r} is not yours")
            continue
        before = first_line.setdefault(xxhash.xxh3_128_intdigest("\0".join(row.key).encode()), line)
        if before != line:
            yield Fault(line, "", f"{'/'.join(row.key)} stands in line {before} already")
            continue
        yield Staged(line, row)


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
