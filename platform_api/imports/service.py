"""Compares a staged file with what is registered, and writes it: all of it, or nothing."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg.rows import tuple_row

from platform_api.imports import queries
from platform_api.imports.rows import DeviceRow, Kind, OrgRow, PosSaleRow, SiteRow, SlotRow
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


def import_csv(connection: Connection, kind: Kind, content: bytes, *, dry_run: bool = False) -> Outcome:
    """Import a CSV file in a transaction of its own; ``dry_run`` checks everything and writes nothing.

    Importing a file again changes nothing. Rows that a file leaves out stay as they are.
    """
    staged = stage(kind, content)
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
    known = {name for (name,) in _fetch(connection, queries.TENANTS, tenants)}
    for item in rows:
        if item.row.tenant not in known:
            yield Fault(item.line, "tenant", f"there is no tenant {item.row.tenant!r}")
    check = _CHECKS.get(kind)
    if check is not None:
        yield from check(connection, tenants, [item for item in rows if item.row.tenant in known])


def _check_orgs(connection: Connection, tenants: list[str], rows: Sequence[Staged]) -> Iterator[Fault]:
    known = set(_fetch(connection, queries.ORGS, tenants))
    for item in rows:
        row = item.row
        assert isinstance(row, OrgRow)
        if row.parent is not None and (row.tenant, row.parent) not in known:
            yield Fault(item.line, "parent", f"org {row.parent!r} is neither registered nor in a line above")
        known.add((row.tenant, row.org))


def _check_sites(connection: Connection, tenants: list[str], rows: Sequence[Staged]) -> Iterator[Fault]:
    orgs = set(_fetch(connection, queries.ORGS, tenants))
    for item in rows:
        row = item.row
        assert isinstance(row, SiteRow)
        if row.org is not None and (row.tenant, row.org) not in orgs:
            yield Fault(item.line, "org", f"there is no org {row.org!r}")


def _check_devices(connection: Connection, tenants: list[str], rows: Sequence[Staged]) -> Iterator[Fault]:
    sites = set(_fetch(connection, queries.SITES, tenants))
    stands_in = {(tenant, gateway): site for tenant, gateway, site in _fetch(connection, queries.GATEWAYS, tenants)}
    for item in rows:
        row = item.row
        assert isinstance(row, DeviceRow)
        if (row.tenant, row.site) not in sites:
            yield Fault(item.line, "site", f"there is no site {row.site!r}")
        elif (site := stands_in.setdefault((row.tenant, row.gateway), row.site)) != row.site:
            yield Fault(item.line, "gateway", f"{row.gateway!r} stands in site {site!r}")


def _check_slots(connection: Connection, tenants: list[str], rows: Sequence[Staged]) -> Iterator[Fault]:
    gateways = {(tenant, gateway): site for tenant, gateway, site in _fetch(connection, queries.GATEWAYS, tenants)}
    skus = set(_fetch(connection, queries.SKUS, tenants))
    moved = {item.row.key for item in rows}
    taken = {
        (tenant, gateway, channel): slot
        for tenant, gateway, channel, slot in _fetch(connection, queries.CHANNELS, tenants)
        if (tenant, gateway, slot) not in moved
    }
    for item in rows:
        row = item.row
        assert isinstance(row, SlotRow)
        site = gateways.get((row.tenant, row.gateway))
        if site is None:
            yield Fault(item.line, "gateway", f"there is no gateway {row.gateway!r}")
        elif site != row.site:
            yield Fault(item.line, "site", f"gateway {row.gateway!r} stands in site {site!r}")
        if (row.tenant, row.sku) not in skus:
            yield Fault(item.line, "sku", f"there is no SKU {row.sku!r}")
        if (slot := taken.setdefault((row.tenant, row.gateway, row.channel), row.slot)) != row.slot:
            yield Fault(item.line, "channel", f"{row.channel} weighs slot {slot!r} already")


def _check_pos_sales(connection: Connection, tenants: list[str], rows: Sequence[Staged]) -> Iterator[Fault]:
    sites = set(_fetch(connection, queries.SITES, tenants))
    skus = set(_fetch(connection, queries.SKUS, tenants))
    for item in rows:
        row = item.row
        assert isinstance(row, PosSaleRow)
        if (row.tenant, row.site) not in sites:
            yield Fault(item.line, "site", f"there is no site {row.site!r}")
        if (row.tenant, row.sku) not in skus:
            yield Fault(item.line, "sku", f"there is no SKU {row.sku!r}")
    told = {name: [getattr(item.row, name) for item in rows] for name in PosSaleRow.model_fields}
    with connection.cursor(row_factory=tuple_row) as cursor:
        for (place,) in cursor.execute(queries.DIFFERENT_SALES.encode(), told):
            yield Fault(rows[place - 1].line, "", "this line was told before with other contents")


_CHECKS: Final[Mapping[Kind, Callable[[Connection, list[str], Sequence[Staged]], Iterator[Fault]]]] = {
    Kind.ORGS: _check_orgs,
    Kind.SITES: _check_sites,
    Kind.DEVICES: _check_devices,
    Kind.SLOTS: _check_slots,
    Kind.POS_SALES: _check_pos_sales,
}


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


def _fetch(connection: Connection, query: str, tenants: list[str]) -> list[tuple[Any, ...]]:
    with connection.cursor(row_factory=tuple_row) as cursor:
        return cursor.execute(query.encode(), {"tenants": tenants}).fetchall()


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
