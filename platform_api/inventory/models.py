"""What inventory gives over HTTP. Quantities are units of the SKU, weights grams, times RFC 3339 UTC."""

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from contracts.frames import EventKind


class ShelfPosition(BaseModel):
    """Units on one slot. ``on_shelf`` and ``as_of`` null: never observed.

    ``reorder_point`` and ``target`` are those of the site and SKU, whose slots are summed.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "site": "sh-001",
                    "gateway": "gw-sh-001",
                    "slot": "s01-b1",
                    "sku": "tea-500",
                    "name_zh": "绿茶 500 毫升",
                    "name_en": "Green tea 500 ml",
                    "capacity": 24,
                    "on_shelf": 12,
                    "as_of": "2026-01-05T08:12:31Z",
                    "reorder_point": 8,
                    "target": 24,
                    "series_id": 17,
                }
            ]
        }
    )

    site: str
    gateway: str
    slot: str
    sku: str
    name_zh: str
    name_en: str
    capacity: int
    on_shelf: int | None
    as_of: datetime | None
    reorder_point: int | None
    target: int | None
    series_id: int | None


class ShelfEvent(BaseModel):
    """A decision of the edge. ``units`` is the change on the slot; ``on_shelf`` the count after it.

    ``other`` counts units of foreign SKUs; ``synced`` is false while the gateway's clock was not yet right.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "01J9Z",
                    "site": "sh-001",
                    "gateway": "gw-sh-001",
                    "slot": "s01-b1",
                    "sku": "tea-500",
                    "kind": "sale",
                    "units": -2,
                    "delta_g": -1039.0,
                    "confidence": 0.99,
                    "on_shelf": 10,
                    "of": "",
                    "why": "",
                    "other": {},
                    "synced": True,
                    "time": "2026-01-05T08:12:31Z",
                    "received_at": "2026-01-05T08:12:32Z",
                }
            ]
        }
    )

    id: str
    site: str
    gateway: str
    slot: str
    sku: str
    kind: EventKind
    units: int
    delta_g: float
    confidence: float
    on_shelf: int | None
    of: str
    why: str
    other: dict[str, int]
    synced: bool
    time: datetime
    received_at: datetime


class Step(StrEnum):
    """How wide a step of sell-through is, on the site's own clock."""

    HOUR = "hour"
    DAY = "day"


class SellThrough(BaseModel):
    """What left and reached the shelves of a site in one hour or day.

    ``sold`` counts units taken, ``put_back`` those of them that were laid back, ``net`` what is left: sales.
    ``restocked`` is refills less what was removed again.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "start": "2026-01-04T16:00:00Z",
                    "site": "sh-001",
                    "sku": "tea-500",
                    "sold": 31,
                    "put_back": 2,
                    "net": 29,
                    "restocked": 24,
                }
            ]
        }
    )

    start: datetime
    site: str
    sku: str
    sold: int
    put_back: int
    net: int
    restocked: int


class Availability(BaseModel):
    """On-shelf availability of a SKU at a site: the share of the observed time in which any unit lay there.

    ``since``: when the first of its slots was observed in the range; ``empty_s``: seconds with no unit. ``since`` and
    ``availability`` are null when no shelf has counted it.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "site": "sh-001",
                    "sku": "tea-500",
                    "since": "2026-01-04T16:00:00Z",
                    "observed_s": 86400.0,
                    "empty_s": 1800.0,
                    "availability": 0.9792,
                }
            ]
        }
    )

    site: str
    sku: str
    since: datetime | None
    observed_s: float
    empty_s: float
    availability: float | None
