"""Which price holds, and why. Pure.

Order of resolution: a special price of the organisation, its list, that of its nearest ancestor, of its segment, the
default. A special price of an ancestor comes before the own list: it was agreed for this. Within a list: valid now, the
exact pack, the largest ``min_qty`` that the quantity reaches.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import combinations
from typing import Any, Final

UNIT: Final = "unit"
"""The pack that every SKU has."""


class Level(StrEnum):
    """For whom a list is, in the order in which lists are asked. Stored, so names never change."""

    SPECIAL = "special"
    ORG = "org"
    SEGMENT = "segment"
    DEFAULT = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A price of a published list: of one pack ``uom``, from ``min_qty`` packs on, valid from … to (open: None)."""

    list_id: str
    level: Level
    target: str
    currency: str
    sku: str
    uom: str
    min_qty: int
    amount_minor: int
    valid_from: datetime | None = None
    valid_to: datetime | None = None

    def is_valid(self, now: datetime) -> bool:
        """Whether the price holds at a time."""
        return (self.valid_from is None or self.valid_from <= now) and (self.valid_to is None or now < self.valid_to)


@dataclass(frozen=True, slots=True)
class Wanted:
    """So many packs of a SKU."""

    sku: str
    uom: str
    packs: int


@dataclass(frozen=True, slots=True)
class Buyer:
    """Who orders: the organisation and those above it, the nearest first, and its segment ('' for none)."""

    orgs: Sequence[str]
    segment: str
    currency: str


@dataclass(frozen=True, slots=True)
class Price:
    """The price of one pack, and how it was found."""

    amount_minor: int
    explanation: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Tie:
    """Two prices of the same rank that would hold at the same time."""

    first: Item
    second: Item


def resolve(wanted: Wanted, buyer: Buyer, items: Iterable[Item], now: datetime) -> Price | None:
    """The price that holds for a buyer, None when there is none. Ties were refused when lists were published."""
    considered = [
        item
        for item in items
        if (item.sku, item.uom, item.currency) == (wanted.sku, wanted.uom, buyer.currency)
        and _rank(item, buyer) is not None
    ]
    fitting = [item for item in considered if item.is_valid(now) and item.min_qty <= wanted.packs]
    if not fitting:
        return None
    chosen = min(fitting, key=lambda item: (_rank(item, buyer), -item.min_qty, item.list_id))
    return Price(
        chosen.amount_minor,
        {
            "list": chosen.list_id,
            "level": chosen.level.value,
            "target": chosen.target,
            "uom": chosen.uom,
            "min_qty": chosen.min_qty,
            "packs": wanted.packs,
            "unit_price_minor": chosen.amount_minor,
            "at": now.isoformat(),
            "passed_over": [
                {
                    "list": item.list_id,
                    "level": item.level.value,
                    "min_qty": item.min_qty,
                    "why": _why(item, wanted, now),
                }
                for item in considered
                if item is not chosen
            ],
        },
    )


def ties(items: Iterable[Item]) -> list[Tie]:
    """Pairs of prices between which nothing decides: the same target, pack and quantity, valid at the same time."""
    groups: dict[tuple[object, ...], list[Item]] = {}
    for item in items:
        key = (item.level, item.target, item.currency, item.sku, item.uom, item.min_qty)
        groups.setdefault(key, []).append(item)
    return [
        Tie(first, second)
        for group in groups.values()
        for first, second in combinations(group, 2)
        if _overlap(first, second)
    ]


def is_entitled(sku: str, orgs: Sequence[str], words: dict[tuple[str, str], bool]) -> bool:
    """Whether an organisation (the first of ``orgs``, then those above it) may order a SKU.

    ``words`` holds what is allowed by (org, sku or '*'). The nearest organisation that says anything decides, its word
    on the SKU before its word on everything.
    """
    for org in orgs:
        for name in (sku, "*"):
            if (org, name) in words:
                return words[org, name]
    return False


def _rank(item: Item, buyer: Buyer) -> tuple[int, int] | None:
    """How early a list is asked; None when it is not for this buyer."""
    match item.level:
        case Level.SPECIAL | Level.ORG if item.target in buyer.orgs:
            return (0 if item.level is Level.SPECIAL else 1, buyer.orgs.index(item.target))
        case Level.SEGMENT if buyer.segment and item.target == buyer.segment:
            return (2, 0)
        case Level.DEFAULT:
            return (3, 0)
        case _:
            return None


def _why(item: Item, wanted: Wanted, now: datetime) -> str:
    if not item.is_valid(now):
        return "not valid now"
    if item.min_qty > wanted.packs:
        return "quantity not reached"
    return "comes later"


def _overlap(first: Item, second: Item) -> bool:
    begins_in_time = first.valid_from is None or second.valid_to is None or first.valid_from < second.valid_to
    ends_in_time = second.valid_from is None or first.valid_to is None or second.valid_from < first.valid_to
    return begins_in_time and ends_in_time
