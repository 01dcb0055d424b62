"""Compares a staged file with what is registered, and writes it: all of it, or nothing."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import tuple_row

from platform_api.imports import queries
from platform_api.imports.checks import CHECKS, fetch
from platform_api.imports.rows import DeviceRow, Kind, SlotRow
from platform_api.imports.staging import Fault, Staged, stage

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


def import_csv(
    connection: Connection, kind: Kind, content: bytes, *, tenant: str | None = None, dry_run: bool = False
) -> Outcome:
    """Import a file in a transaction of its own; ``dry_run`` checks everything and writes nothing.

    Importing a file again changes nothing. Rows that a file leaves out stay as they are.
    ``tenant`` is whose file it is, when that is known.
    """
    staged = stage(kind, content, tenant)
    with connection.transaction(force_rollback=dry_run):
        faults = list(staged.faults)
        faults.extend(_missing_references(connection, kind, staged.rows))
        if faults:
            return Outcome(kind, len(staged.rows), 0, 0, tuple(sorted(faults, key=lambda fault: fault.line)))
        created, updated = _write(connection, kind, staged.rows)
    return Outcome(kind, len(staged.rows), created, updated, ())


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
