"""What rows name and nobody knows, or what is bound otherwise already: one check a kind of file."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import psycopg
from psycopg.rows import tuple_row

from platform_api.imports import queries
from platform_api.imports.plan_rows import ChannelSettingRow, PromotionRow
from platform_api.imports.rows import (
    CreditRow,
    DeviceRow,
    EntitlementRow,
    OrgRow,
    PackRow,
    PolicyRow,
    PosSaleRow,
    PriceListRow,
    PriceRow,
    SiteRow,
    SlotRow,
)
from platform_api.imports.staging import Fault, Staged
from platform_api.kit.nouns import Kind
from platform_api.kit.times import CLOCK_AHEAD_MAX

Connection = psycopg.Connection[Any]


def fetch(connection: Connection, query: str, tenants: list[str]) -> list[tuple[Any, ...]]:
    """Rows of one of the queries about what is registered."""
    with connection.cursor(row_factory=tuple_row) as cursor:
        return cursor.execute(query.encode(), {"tenants": tenants}).fetchall()


def _check_orgs(connection: Connection, tenants: list[str], rows: Sequence[Staged]) -> Iterator[Fault]:
    connection.execute(queries.LOCK_TREES.encode(), {"tenants": tenants})
    parents = {(tenant, org): parent for tenant, org, parent in fetch(connection, queries.PARENTS, tenants)}
    known = set(parents)
    for item in rows:
        row = item.row
        assert isinstance(row, OrgRow)
        if row.parent is not None and (row.tenant, row.parent) not in known:
            yield Fault(item.line, "parent", f"org {row.parent!r} is neither registered nor in a line above")
        known.add((row.tenant, row.org))
        parents[row.tenant, row.org] = row.parent
    for item in rows:
        if isinstance(item.row, OrgRow) and _stands_below_itself(parents, item.row):
            yield Fault(item.line, "parent", "an organisation cannot stand below itself")


def _stands_below_itself(parents: Mapping[tuple[str, str], str | None], row: OrgRow) -> bool:
    seen: set[str] = set()
    above = row.parent
    while above is not None and above not in seen:
        if above == row.org:
            return True
        seen.add(above)
        above = parents.get((row.tenant, above))
    return False


def _check_sites(connection: Connection, tenants: list[str], rows: Sequence[Staged]) -> Iterator[Fault]:
    orgs = set(fetch(connection, queries.ORGS, tenants))
    for item in rows:
        row = item.row
        assert isinstance(row, SiteRow)
        if row.org is not None and (row.tenant, row.org) not in orgs:
            yield Fault(item.line, "org", f"there is no org {row.org!r}")


def _check_devices(connection: Connection, tenants: list[str], rows: Sequence[Staged]) -> Iterator[Fault]:
    sites = set(fetch(connection, queries.SITES, tenants))
    stands_in = {(tenant, gateway): site for tenant, gateway, site in fetch(connection, queries.GATEWAYS, tenants)}
    for item in rows:
        row = item.row
        assert isinstance(row, DeviceRow)
        if (row.tenant, row.site) not in sites:
            yield Fault(item.line, "site", f"there is no site {row.site!r}")
        elif (site := stands_in.setdefault((row.tenant, row.gateway), row.site)) != row.site:
            yield Fault(item.line, "gateway", f"{row.gateway!r} stands in site {site!r}")


def _check_slots(connection: Connection, tenants: list[str], rows: Sequence[Staged]) -> Iterator[Fault]:
    gateways = {(tenant, gateway): site for tenant, gateway, site in fetch(connection, queries.GATEWAYS, tenants)}
    skus = set(fetch(connection, queries.SKUS, tenants))
    moved = {item.row.key for item in rows}
    taken = {
        (tenant, gateway, channel): slot
        for tenant, gateway, channel, slot in fetch(connection, queries.CHANNELS, tenants)
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
    sites = set(fetch(connection, queries.SITES, tenants))
    skus = set(fetch(connection, queries.SKUS, tenants))
    latest = datetime.now(UTC) + CLOCK_AHEAD_MAX
    for item in rows:
        row = item.row
        assert isinstance(row, PosSaleRow)
        if (row.tenant, row.site) not in sites:
            yield Fault(item.line, "site", f"there is no site {row.site!r}")
        if (row.tenant, row.sku) not in skus:
            yield Fault(item.line, "sku", f"there is no SKU {row.sku!r}")
        if row.sold_at > latest:
            yield Fault(item.line, "sold_at", "lies in the future: is the till's clock right, and its offset?")
    told = {name: [getattr(item.row, name) for item in rows] for name in PosSaleRow.model_fields}
    with connection.cursor(row_factory=tuple_row) as cursor:
        for (place,) in cursor.execute(queries.DIFFERENT_SALES.encode(), told):
            yield Fault(rows[place - 1].line, "", "this line was told before with other contents")


def _check_packs(connection: Connection, tenants: list[str], rows: Sequence[Staged]) -> Iterator[Fault]:
    skus = set(fetch(connection, queries.SKUS, tenants))
    named = {item.row.key for item in rows}
    taken = {
        (tenant, gtin): (sku, uom)
        for tenant, gtin, sku, uom in fetch(connection, queries.GTINS, tenants)
        if (tenant, sku, uom) not in named
    }
    for item in rows:
        row = item.row
        assert isinstance(row, PackRow)
        if (row.tenant, row.sku) not in skus:
            yield Fault(item.line, "sku", f"there is no SKU {row.sku!r}")
        pack = taken.setdefault((row.tenant, row.gtin), (row.sku, row.uom)) if row.gtin else (row.sku, row.uom)
        if pack != (row.sku, row.uom):
            yield Fault(item.line, "gtin", f"{row.gtin} is that of {pack[0]} in {pack[1]}")


def _check_channel_settings(connection: Connection, tenants: list[str], rows: Sequence[Staged]) -> Iterator[Fault]:
    gateways = {(tenant, gateway): site for tenant, gateway, site in fetch(connection, queries.GATEWAYS, tenants)}
    for item in rows:
        row = item.row
        assert isinstance(row, ChannelSettingRow)
        site = gateways.get((row.tenant, row.gateway))
        if site is None:
            yield Fault(item.line, "gateway", f"there is no gateway {row.gateway!r}")
        elif site != row.site:
            yield Fault(item.line, "site", f"gateway {row.gateway!r} stands in site {site!r}")


def _check_sites_skus(connection: Connection, tenants: list[str], rows: Sequence[Staged]) -> Iterator[Fault]:
    sites = set(fetch(connection, queries.SITES, tenants))
    skus = set(fetch(connection, queries.SKUS, tenants))
    for item in rows:
        row = item.row
        assert isinstance(row, PolicyRow | PromotionRow)
        if (row.tenant, row.site) not in sites:
            yield Fault(item.line, "site", f"there is no site {row.site!r}")
        if (row.tenant, row.sku) not in skus:
            yield Fault(item.line, "sku", f"there is no SKU {row.sku!r}")


def _check_price_lists(connection: Connection, tenants: list[str], rows: Sequence[Staged]) -> Iterator[Fault]:
    orgs = set(fetch(connection, queries.ORGS, tenants))
    kept = {(tenant, name): told for tenant, name, _, *told in fetch(connection, queries.LISTS, tenants)}
    states = {(tenant, name): state for tenant, name, state, *_ in fetch(connection, queries.LISTS, tenants)}
    for item in rows:
        row = item.row
        assert isinstance(row, PriceListRow)
        if row.level in {"special", "org"} and (row.tenant, row.target) not in orgs:
            yield Fault(item.line, "target", f"there is no org {row.target!r}")
        state = states.get((row.tenant, row.list), "draft")
        told = [row.name, row.level, row.target, row.currency]
        if state != "draft" and kept[row.tenant, row.list] != told:
            yield Fault(item.line, "list", f"{row.list!r} is {state}: only drafts change")


def _check_prices(connection: Connection, tenants: list[str], rows: Sequence[Staged]) -> Iterator[Fault]:
    states = {(tenant, name): state for tenant, name, state, *_ in fetch(connection, queries.LISTS, tenants)}
    skus = set(fetch(connection, queries.SKUS, tenants))
    packs = set(fetch(connection, queries.PACKS, tenants))
    kept = {tuple(item[:6]): tuple(item[6:]) for item in fetch(connection, queries.PRICES, tenants)}
    for item in rows:
        row = item.row
        assert isinstance(row, PriceRow)
        state = states.get((row.tenant, row.list))
        key = (row.tenant, row.list, row.sku, row.uom, row.min_qty, row.valid_from)
        if state is None:
            yield Fault(item.line, "list", f"there is no price list {row.list!r}")
        elif state != "draft" and kept.get(key) != (row.amount_minor, row.valid_to):
            yield Fault(item.line, "list", f"{row.list!r} is {state}: only drafts change")
        if (row.tenant, row.sku) not in skus:
            yield Fault(item.line, "sku", f"there is no SKU {row.sku!r}")
        elif row.uom != "unit" and (row.tenant, row.sku, row.uom) not in packs:
            yield Fault(item.line, "uom", f"{row.sku!r} has no pack {row.uom!r}")


def _check_entitlements(connection: Connection, tenants: list[str], rows: Sequence[Staged]) -> Iterator[Fault]:
    orgs = set(fetch(connection, queries.ORGS, tenants))
    skus = set(fetch(connection, queries.SKUS, tenants))
    for item in rows:
        row = item.row
        assert isinstance(row, EntitlementRow)
        if (row.tenant, row.org) not in orgs:
            yield Fault(item.line, "org", f"there is no org {row.org!r}")
        if row.sku != "*" and (row.tenant, row.sku) not in skus:
            yield Fault(item.line, "sku", f"there is no SKU {row.sku!r}")


def _check_credit(connection: Connection, tenants: list[str], rows: Sequence[Staged]) -> Iterator[Fault]:
    orgs = set(fetch(connection, queries.ORGS, tenants))
    for item in rows:
        row = item.row
        assert isinstance(row, CreditRow)
        if (row.tenant, row.org) not in orgs:
            yield Fault(item.line, "org", f"there is no org {row.org!r}")


CHECKS: Final[Mapping[Kind, Callable[[Connection, list[str], Sequence[Staged]], Iterator[Fault]]]] = {
    Kind.ORGS: _check_orgs,
    Kind.SITES: _check_sites,
    Kind.DEVICES: _check_devices,
    Kind.PACKS: _check_packs,
    Kind.SLOTS: _check_slots,
    Kind.POLICIES: _check_sites_skus,
    Kind.PRICE_LISTS: _check_price_lists,
    Kind.PRICES: _check_prices,
    Kind.ENTITLEMENTS: _check_entitlements,
    Kind.CREDIT: _check_credit,
    Kind.POS_SALES: _check_pos_sales,
    Kind.CHANNEL_SETTINGS: _check_channel_settings,
    Kind.PROMOTION_PLAN: _check_sites_skus,
}
"""The check of each kind that refers to something."""
