"""Compares a staged file with what is registered, and writes it: all of it, or nothing."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

import psycopg
from psycopg.rows import tuple_row

from platform_api.imports import queries
from platform_api.imports.checks import CHECKS, fetch
from platform_api.imports.rows import DeviceRow, SlotRow
from platform_api.imports.staging import FAULTS_MAX, ROWS_MAX, Fault, Staged, read_rows
from platform_api.kit.nouns import Kind

BATCH_ROWS: Final = 2_000
WHOLE: Final = frozenset({Kind.SLOTS, Kind.PACKS})
"""Of these a row is right or wrong by all of the file: what is bound to a slot or pack may move to another."""

Connection = psycopg.Connection[Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an import did. With ``faults`` nothing was written."""

    kind: Kind
    rows: int
    created: int
    updated: int
    faults: tuple[Fault, ...]

    @property
    def unchanged(self) -> int:
        """Rows that were registered exactly so already."""
        return 0 if self.faults else self.rows - self.created - self.updated


@dataclass(slots=True)
class Tally:
    """What has become of the rows so far."""

    rows: int = 0
    created: int = 0
    updated: int = 0
    faults: list[Fault] = field(default_factory=list)

    @property
    def is_hopeless(self) -> bool:
        """Whether one more fault helps nobody."""
        return len(self.faults) >= FAULTS_MAX


Write = Callable[[Connection, Kind, Iterator[Staged], Tally], None]
"""Writes the rows of a file, in the transaction that is there, and tallies them."""


def import_csv(
    connection: Connection, kind: Kind, content: bytes, *, tenant: str | None = None, dry_run: bool = False
) -> Outcome:
    """Import a file of a kind that is registered, in a transaction of its own.

    ``dry_run`` checks everything and writes nothing. Importing a file again changes nothing. Rows that a file leaves
    out stay as they are. ``tenant`` is whose file it is, when that is known.
    """
    return import_rows(connection, kind, read_rows(kind, content, tenant), register, dry_run=dry_run)


def import_rows(
    connection: Connection, kind: Kind, items: Iterable[Staged | Fault], write: Write, *, dry_run: bool = False
) -> Outcome:
    """Write rows as they are read: all of them, or nothing when any of them has a fault."""
    tally = Tally()
    with connection.transaction() as tx:
        write(connection, kind, _good(items, tally), tally)
        if tally.faults or dry_run:
            raise psycopg.Rollback(tx)
    if tally.faults:
        faults = sorted(tally.faults, key=lambda fault: fault.line)[:FAULTS_MAX]
        return Outcome(kind, tally.rows, 0, 0, tuple(faults))
    return Outcome(kind, tally.rows, tally.created, tally.updated, ())


def register(connection: Connection, kind: Kind, rows: Iterator[Staged], tally: Tally) -> None:
    """Write what is registered as it is told, a batch at a time: a row may name what stands in a line above."""
    size = ROWS_MAX if kind in WHOLE else BATCH_ROWS
    while (batch := list(islice(rows, size))) and not tally.is_hopeless:
        faults = list(_missing_references(connection, kind, batch))
        tally.faults += faults
        faulty = {fault.line for fault in faults}
        good = [item for item in batch if item.line not in faulty]
        try:
            with connection.transaction():
                created, updated = _write(connection, kind, good)
        except (psycopg.IntegrityError, psycopg.DataError):
            tally.faults += _refused(connection, kind, good)
        else:
            tally.created += created
            tally.updated += updated


def _good(items: Iterable[Staged | Fault], tally: Tally) -> Iterator[Staged]:
    for item in items:
        if isinstance(item, Fault):
            tally.faults.append(item)
        else:
            tally.rows += 1
            yield item


def _refused(connection: Connection, kind: Kind, rows: Sequence[Staged]) -> Iterator[Fault]:
    """Which rows the database does not take, each tried by itself."""
    for item in rows:
        try:
            with connection.transaction():
                _write(connection, kind, [item])
        except (psycopg.IntegrityError, psycopg.DataError) as error:
            rule = error.diag.constraint_name or error.diag.message_primary or type(error).__name__
            yield Fault(item.line, "", f"cannot be stored: {rule}")


def _missing_references(connection: Connection, kind: Kind, rows: Sequence[Staged]) -> Iterator[Fault]:
    """Everything that rows name and nobody knows, or that is bound otherwise already."""
    tenants = sorted({item.row.tenant for item in rows})
    known = {name for (name,) in fetch(connection, queries.TENANTS, tenants)}
    for item in rows:
        if item.row.tenant not in known:
            yield Fault(item.line, "tenant", f"there is no tenant {item.row.tenant!r}")
    check = CHECKS.get(kind)
    if check is not None:
        yield from check(connection, tenants, [item for item in rows if item.row.tenant in known])


def _write(connection: Connection, kind: Kind, rows: Sequence[Staged]) -> tuple[int, int]:
    if kind is not Kind.DEVICES:
        result = _execute(connection, queries.UPSERTS[kind], (item.row.model_dump() for item in rows))
        if kind is Kind.SLOTS:
            _execute(connection, queries.FIRST_POLICY, _first_policies(rows))
        if kind is Kind.SKUS:
            _execute(connection, queries.FIRST_PACK, (item.row.model_dump() for item in rows))
        return result
    devices = [item.row for item in rows if isinstance(item.row, DeviceRow)]
    # A gateway's own row has its name; that of a device names the device.
    gateways = {(row.tenant, row.gateway): row.model_dump() | {"name": ""} for row in devices}
    gateways |= {(row.tenant, row.gateway): row.model_dump() for row in devices if row.device is None}
    own = _execute(connection, queries.UPSERT_GATEWAY, gateways.values())
    below = _execute(connection, queries.UPSERTS[kind], (row.model_dump() for row in devices if row.device is not None))
    told = sum(row.device is None for row in devices)
    # A gateway without a row of its own is no row of the file.
    return min(own[0], told) + below[0], min(own[1], told) + below[1]


def _first_policies(rows: Iterable[Staged]) -> list[dict[str, Any]]:
    """One policy for each SKU of a site: its slots are summed."""
    sums: defaultdict[tuple[str, str, str], list[int]] = defaultdict(lambda: [0, 0])
    for item in rows:
        row = item.row
        assert isinstance(row, SlotRow)
        total = sums[row.tenant, row.site, row.sku]
        total[0] += row.reorder_point
        total[1] += row.target
    return [
        {"tenant": tenant, "site": site, "sku": sku, "reorder_point": reorder_point, "target": target}
        for (tenant, site, sku), (reorder_point, target) in sums.items()
    ]


def _execute(connection: Connection, query: str, parameters: Iterable[Mapping[str, Any]]) -> tuple[int, int]:
    """Rows created and rows changed by one statement run for each set of parameters."""
    created = changed = 0
    with connection.cursor(row_factory=tuple_row) as cursor:
        batch = list(parameters)
        if not batch:
            return 0, 0
        returning = "RETURNING" in query
        cursor.executemany(query.encode(), batch, returning=returning)
        if not returning:
            return 0, 0
        while True:
            row = cursor.fetchone()
            if row is not None:
                created += bool(row[0])
                changed += not row[0]
            if not cursor.nextset():
                return created, changed
