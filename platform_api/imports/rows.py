"""What a row of each kind of file is: its columns, and what they may hold. Pure.

An empty cell is a column left out. The docstring of a row's class is the help that ``shelfpulse import`` shows.
"""

import re
from datetime import date
from typing import Annotated, ClassVar, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from contracts.ids import CHANNEL_PATTERN, IDENTIFIER_PATTERN
from platform_api.kit.gtin import has_check_digit
from platform_api.kit.names import check_org, check_sku

UNITS_MAX: Final = 100_000
LINE_MAX: Final = 1_000_000
WEIGHT_MAX_G: Final = 1_000_000.0

Identifier = Annotated[str, Field(pattern=IDENTIFIER_PATTERN)]
OrgId = Annotated[str, Field(min_length=1, max_length=64)]
Name = Annotated[str, Field(max_length=200)]
Sku = Annotated[str, Field(min_length=1, max_length=64)]
Grams = Annotated[float, Field(gt=0, le=WEIGHT_MAX_G, allow_inf_nan=False)]
Spread = Annotated[float, Field(ge=0, le=WEIGHT_MAX_G, allow_inf_nan=False)]
Units = Annotated[int, Field(ge=0, le=UNITS_MAX)]
ListId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]


def _is_time_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        message = f"{name!r} is no time zone, write it like Asia/Shanghai"
        raise ValueError(message) from error
    return name


def _is_day(text: object) -> object:
    # A workbook's day comes as text as well; a number would be taken for a Unix time.
    if not isinstance(text, str) or _DAY.fullmatch(text) is None:
        message = "write it like 2026-01-05"
        raise ValueError(message)
    return text


_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
Day = Annotated[date, BeforeValidator(_is_day)]
TimeZone = Annotated[str, AfterValidator(_is_time_zone)]


class Row(BaseModel):
    """Common to all: ``tenant`` is the company that the row belongs to."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)
    identity: ClassVar[tuple[str, ...]]
    """Columns that name the thing: they may stand together only once in a file."""

    tenant: Identifier

    @property
    def key(self) -> tuple[str, ...]:
        """Values of the identity."""
        return tuple(str(getattr(self, column)) for column in self.identity)


class OrgRow(Row):
    """An organisation: the brand, a region, a dealer, a store's owner; ``parent`` is the org above it."""

    identity = ("tenant", "org")

    org: Annotated[OrgId, AfterValidator(check_org)]
    parent: OrgId | None = None
    kind: Literal["brand", "region", "dealer", "store"]
    name: Annotated[Name, Field(min_length=1)]


class SiteRow(Row):
    """A store or a warehouse; ``org`` says who runs it, ``lat`` and ``lon`` are degrees (WGS 84)."""

    identity = ("tenant", "site")

    site: Identifier
    org: OrgId | None = None
    kind: Literal["store", "warehouse"] = "store"
    name: Annotated[Name, Field(min_length=1)]
    city: Name = ""
    lat: Annotated[float, Field(ge=-90, le=90)] | None = None
    lon: Annotated[float, Field(ge=-180, le=180)] | None = None
    timezone: TimeZone = "Asia/Shanghai"

    @model_validator(mode="after")
    def _both_coordinates(self) -> "SiteRow":
        if (self.lat is None) != (self.lon is None):
            message = "lat and lon go together"
            raise ValueError(message)
        return self


class DeviceRow(Row):
    """A gateway (``device`` left empty) or a device behind one; a gateway that is new is registered with its device."""

    identity = ("tenant", "gateway", "device")

    site: Identifier
    gateway: Identifier
    device: Identifier | None = None
    profile: Annotated[str, Field(max_length=64)] = ""
    name: Name = ""


class SkuRow(Row):
    """An article; ``price_minor`` is in the currency's smallest unit (fen, cent), ``pack_units`` what a case holds."""

    identity = ("tenant", "sku")

    sku: Annotated[Sku, AfterValidator(check_sku)]
    name_zh: Name = ""
    name_en: Name = ""
    gtin: Annotated[str, Field(pattern=r"^([0-9]{8}|[0-9]{12,14})?$")] = ""
    unit_weight_g: Grams
    unit_weight_sd_g: Spread = 0.0
    pack_units: Annotated[int, Field(ge=1, le=UNITS_MAX)] = 1
    price_minor: Annotated[int, Field(ge=0, le=10**12)] = 0
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "CNY"

    @model_validator(mode="after")
    def _named_and_numbered(self) -> "SkuRow":
        if not (self.name_zh or self.name_en):
            message = "name_zh or name_en is needed"
            raise ValueError(message)
        if self.gtin and not has_check_digit(self.gtin):
            message = f"gtin {self.gtin} has a wrong check digit"
            raise ValueError(message)
        return self


class SlotRow(Row):
    """A place on a shelf: the channel that weighs it, the SKU on it, and that SKU's first stock policy in the site."""

    identity = ("tenant", "gateway", "slot")

    site: Identifier
    gateway: Identifier
    slot: Identifier
    channel: Annotated[str, Field(pattern=CHANNEL_PATTERN)]
    sku: Sku
    unit_weight_g: Grams
    unit_weight_sd_g: Spread = 0.0
    capacity: Annotated[int, Field(ge=1, le=UNITS_MAX)]
    reorder_point: Units
    target: Annotated[int, Field(ge=1, le=UNITS_MAX)]

    @model_validator(mode="after")
    def _room_to_fill(self) -> "SlotRow":
        if not self.reorder_point < self.target <= self.capacity:
            message = "reorder_point < target <= capacity is needed"
            raise ValueError(message)
        return self


class PosSaleRow(Row):
    """A line of a till's receipt; ``units`` is negative for a return, ``sold_at`` RFC 3339 with its offset.

    A line that is stored already is left alone; told with other contents it is a mistake of the file.
    """

    identity = ("tenant", "site", "receipt", "line")

    site: Identifier
    sku: Sku
    units: Annotated[int, Field(ge=-UNITS_MAX, le=UNITS_MAX)]
    sold_at: AwareDatetime
    receipt: Annotated[str, Field(min_length=1, max_length=64)]
    line: Annotated[int, Field(ge=0, le=LINE_MAX)]

    @model_validator(mode="after")
    def _something_sold(self) -> "PosSaleRow":
        if not self.units:
            message = "units must not be 0"
            raise ValueError(message)
        return self


class PackRow(Row):
    """How a SKU is packed: ``factor`` units in one ``uom``; the unit itself needs no row."""

    identity = ("tenant", "sku", "uom")

    sku: Sku
    uom: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,15}$")]
    factor: Annotated[int, Field(gt=1, le=UNITS_MAX)]
    gtin: Annotated[str, Field(pattern=r"^([0-9]{8}|[0-9]{12,14})?$")] = ""

    @model_validator(mode="after")
    def _numbered(self) -> "PackRow":
        if self.uom == "unit":
            message = "the unit itself is no pack"
            raise ValueError(message)
        if self.gtin and not has_check_digit(self.gtin):
            message = f"gtin {self.gtin} has a wrong check digit"
            raise ValueError(message)
        return self


class PolicyRow(Row):
    """How a SKU is refilled in a site: in units; ``mode`` off, suggest or auto, ``cooldown_s`` between auto orders."""

    identity = ("tenant", "site", "sku")

    site: Identifier
    sku: Sku
    reorder_point: Units
    target: Annotated[int, Field(ge=1, le=UNITS_MAX)]
    mode: Literal["off", "suggest", "auto"] = "suggest"
    cooldown_s: Annotated[int, Field(ge=0, le=31_536_000)] = 3_600

    @model_validator(mode="after")
    def _room_to_fill(self) -> "PolicyRow":
        if not self.reorder_point < self.target:
            message = "reorder_point < target is needed"
            raise ValueError(message)
        return self


class PriceListRow(Row):
    """A price list, a draft until it is published; ``target`` is the org or segment that it is for, none by default."""

    identity = ("tenant", "list")

    list: ListId
    name: Annotated[Name, Field(min_length=1)]
    level: Literal["special", "org", "segment", "default"]
    target: Annotated[str, Field(max_length=64)] = ""
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "CNY"

    @model_validator(mode="after")
    def _for_somebody(self) -> "PriceListRow":
        if (self.level == "default") is not (not self.target):
            message = "every level but default names a target"
            raise ValueError(message)
        return self


class PriceRow(Row):
    """A price on a draft list: of one ``uom`` from ``min_qty`` such packs on, in the currency's smallest unit."""

    identity = ("tenant", "list", "sku", "uom", "min_qty", "valid_from")

    list: ListId
    sku: Sku
    uom: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,15}$")] = "unit"
    min_qty: Annotated[int, Field(ge=1, le=UNITS_MAX)] = 1
    amount_minor: Annotated[int, Field(ge=0, le=10**12)]
    valid_from: AwareDatetime | None = None
    valid_to: AwareDatetime | None = None

    @model_validator(mode="after")
    def _a_time(self) -> "PriceRow":
        if self.valid_from is not None and self.valid_to is not None and self.valid_from >= self.valid_to:
            message = "valid_from < valid_to is needed"
            raise ValueError(message)
        return self


class EntitlementRow(Row):
    """Whether an organisation, and those below it, may order a SKU; ``sku`` * is everything."""

    identity = ("tenant", "org", "sku")

    org: OrgId
    sku: Sku
    allowed: bool


class CreditRow(Row):
    """Up to what a dealer may owe, in the currency's smallest unit; ``auto_approve`` within it."""

    identity = ("tenant", "org", "currency")

    org: OrgId
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "CNY"
    limit_minor: Annotated[int, Field(ge=0, le=10**15)]
    auto_approve: bool = False
