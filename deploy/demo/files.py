"""Writes the demo down as the files that a real customer would have: CSV tables, a configuration for each gateway."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from deploy.demo import market
from deploy.demo.story import story
from platform_api.imports.kinds import columns
from platform_api.kit.nouns import Kind
from simulators import plan as plans

SHOPPERS_PER_HOUR: Final = 700.0
"""Of each store: a purchase every five seconds, so that something always happens."""
POLL_S: Final = 0.25
HEARTBEAT_S: Final = 2.0
"""How often a weight is told that does not change: often, so that detectors have learnt it within half a minute."""
DRAIN_S: Final = 20.0
"""How long a stopping gateway waits for its last frames to be committed."""


def tables() -> dict[Kind, str]:
    """CSV text of each kind, in the order of import."""
    orgs = [{"tenant": market.TENANT, **org._asdict()} for org in market.ORGS]
    sites = [
        {"tenant": market.TENANT, "kind": "store", "timezone": "Asia/Shanghai", **store._asdict()}
        for store in market.STORES
    ]
    skus = [
        {
            "tenant": market.TENANT,
            "sku": article.sku,
            "name_zh": article.zh,
            "name_en": article.en,
            "gtin": market.gtin_of(position),
            "unit_weight_g": article.unit_weight_g,
            "unit_weight_sd_g": article.unit_weight_sd_g,
            "pack_units": article.pack_units,
            "price_minor": article.price_minor,
            "currency": "CNY",
        }
        for position, article in enumerate(market.ARTICLES)
    ]
    return {
        Kind.ORGS: csv_of(Kind.ORGS, orgs),
        Kind.SITES: csv_of(Kind.SITES, sites),
        Kind.DEVICES: csv_of(Kind.DEVICES, _devices()),
        Kind.SKUS: csv_of(Kind.SKUS, skus),
        Kind.SLOTS: csv_of(Kind.SLOTS, map(_slot, market.bays())),
    }


def plan(ports: Mapping[str, int]) -> plans.Plan:
    """The simulators' plan; ``ports`` are the Modbus ports by gateway."""
    return plans.Plan(
        tenant=market.TENANT,
        skus=tuple(
            plans.Sku(article.sku, article.unit_weight_g, article.unit_weight_sd_g, article.popularity)
            for article in market.ARTICLES
        ),
        stores=tuple(
            plans.StorePlan(
                site=store.site,
                shoppers_per_hour=SHOPPERS_PER_HOUR,
                gateways=(plans.GatewayPlan(store.gateway, ports[store.gateway], _shelves(store)),),
            )
            for store in market.STORES
        ),
        story=story(),
    )


def edge_toml(store: market.Store, modbus_port: int, slots: Path, outbox: Path) -> str:
    """Configuration of a store's gateway. The broker's address comes from the environment."""
    shelves = dict.fromkeys((bay.device, bay.unit) for bay in market.bays() if bay.store == store)
    head = f"""\
tenant = "{market.TENANT}"
site = "{store.site}"
gateway = "{store.gateway}"
slots = "{slots}"
drain_s = {DRAIN_S}

[outbox]
path = "{outbox}"

[report]
heartbeat_s = {HEARTBEAT_S}

[[bus]]
name = "shelves"
kind = "tcp"
host = "127.0.0.1"
port = {modbus_port}
"""
    devices = (
        f"""
[[device]]
name = "{device}"
bus = "shelves"
unit = {unit}
profile = "loadcell_shelf"
bays = {market.BAYS}
period_s = {POLL_S}
"""
        for device, unit in shelves
    )
    return head + "".join(devices)


def _shelves(store: market.Store) -> tuple[plans.ShelfPlan, ...]:
    shelves: dict[tuple[str, int], list[plans.BayPlan]] = {}
    for bay in market.bays():
        if bay.store == store:
            shelves.setdefault((bay.device, bay.unit), []).append(
                plans.BayPlan(bay.bay, bay.article.sku, bay.units, bay.article.capacity)
            )
    return tuple(plans.ShelfPlan(device, unit, tuple(bays)) for (device, unit), bays in shelves.items())


def _devices() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for store in market.STORES:
        place = {"tenant": market.TENANT, "site": store.site, "gateway": store.gateway}
        rows.append({**place, "name": store.name})
        own = [bay for bay in market.bays() if bay.store == store]
        rows.extend(
            {**place, "device": device, "profile": "loadcell_shelf", "name": f"Shelf {unit}"}
            for device, unit in dict.fromkeys((bay.device, bay.unit) for bay in own)
        )
        rows.extend({**place, "device": bay.slot, "profile": "loadcell_bay"} for bay in own)
    return rows


def _slot(bay: market.Bay) -> dict[str, Any]:
    article = bay.article
    return {
        "tenant": market.TENANT,
        "site": bay.store.site,
        "gateway": bay.store.gateway,
        "slot": bay.slot,
        "channel": f"{bay.slot}.weight_g",
        "sku": article.sku,
        "unit_weight_g": article.unit_weight_g,
        "unit_weight_sd_g": article.unit_weight_sd_g,
        "capacity": article.capacity,
        "reorder_point": bay.reorder_point,
        "target": article.capacity,
    }


def csv_of(kind: Kind, rows: Iterable[Mapping[str, Any]]) -> str:
    """CSV text with the header of the kind; what a row leaves out stays empty."""
    names: Sequence[str] = columns(kind)
    text = io.StringIO()
    writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
