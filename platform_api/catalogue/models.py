"""What the catalogue takes and gives over HTTP. Prices are of one pack."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from contracts.ids import IDENTIFIER_PATTERN
from platform_api.catalogue.pricing import UNIT, Level
from platform_api.kit.gtin import has_check_digit
from platform_api.kit.inputs import Input
from platform_api.kit.money import AMOUNT_MAX_MINOR, BASIS_POINTS, Currency, MoneyText
from platform_api.kit.names import SKU_PATTERN
from platform_api.kit.times import Instant

UNITS_MAX = 100_000
PACKS_MAX = 20
ITEMS_MAX = 500

Named = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00]*$")]
Sku = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=SKU_PATTERN)]
Uom = Annotated[str, StringConstraints(pattern=IDENTIFIER_PATTERN)]
Gtin = Annotated[str, StringConstraints(pattern=r"^([0-9]{8}|[0-9]{12,14})?$")]
ListId = Annotated[str, StringConstraints(pattern=IDENTIFIER_PATTERN)]
OrgId = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[^\x00]*$")]


class Pack(Input):
    """A pack of so many units, with its own GTIN ('' when it has none)."""

    model_config = ConfigDict(extra="forbid")

    uom: Uom
    factor: Annotated[int, Field(gt=1, le=UNITS_MAX)]
    gtin: Gtin = ""

    @model_validator(mode="after")
    def _checked(self) -> Self:
        if self.uom == UNIT:
            msg = "every SKU has its unit already"
            raise ValueError(msg)
        check_gtin(self.gtin)
        return self


class SkuRequest(Input):
    """An article as it shall be. ``unit_weight_g`` is what a shelf counts by."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "name_zh": "绿茶 500 毫升",
                    "name_en": "Green tea 500 ml",
                    "gtin": "2000000000015",
                    "unit_weight_g": 520.0,
                    "tax_basis_points": 1300,
                    "packs": [{"uom": "case", "factor": 15, "gtin": ""}],
                }
            ]
        },
    )

    name_zh: Named = ""
    name_en: Named = ""
    gtin: Gtin = ""
    unit_weight_g: Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)]
    unit_weight_sd_g: Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)] = 0.0
    tax_basis_points: Annotated[int, Field(ge=0, le=BASIS_POINTS)] = 0
    by_lot: bool = False
    state: Literal["active", "retired"] = "active"
    packs: Annotated[list[Pack], Field(max_length=PACKS_MAX)] = []

    @model_validator(mode="after")
    def _checked(self) -> Self:
        if not (self.name_zh or self.name_en):
            msg = "name_zh or name_en is needed"
            raise ValueError(msg)
        check_gtin(self.gtin)
        if len({pack.uom for pack in self.packs}) < len(self.packs):
            msg = "a pack stands twice"
            raise ValueError(msg)
        return self


class NewSku(SkuRequest):
    """A new article."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "sku": "water-550",
                    "name_zh": "纯净水 550 毫升",
                    "name_en": "Water 550 ml",
                    "gtin": "2000000000046",
                    "unit_weight_g": 570.0,
                    "tax_basis_points": 1300,
                    "packs": [{"uom": "case", "factor": 24}],
                }
            ]
        }
    )

    sku: Sku


class SkuShown(BaseModel):
    """An article with its packs."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "sku": "tea-500",
                    "name_zh": "绿茶 500 毫升",
                    "name_en": "Green tea 500 ml",
                    "gtin": "2000000000015",
                    "unit_weight_g": 520.0,
                    "unit_weight_sd_g": 3.0,
                    "tax_basis_points": 1300,
                    "by_lot": False,
                    "state": "active",
                    "packs": [{"uom": "case", "factor": 15, "gtin": ""}],
                    "version": 1,
                }
            ]
        }
    )

    sku: str
    name_zh: str
    name_en: str
    gtin: str
    unit_weight_g: float
    unit_weight_sd_g: float
    tax_basis_points: int
    by_lot: bool
    state: str
    packs: list[dict[str, Any]]
    version: int


class PriceItem(Input):
    """The price of one pack ``uom`` of a SKU from ``min_qty`` packs on, valid from … to (null: without an end)."""

    model_config = ConfigDict(extra="forbid")

    sku: Sku
    uom: Uom = UNIT
    min_qty: Annotated[int, Field(ge=1, le=UNITS_MAX)] = 1
    price: MoneyText
    valid_from: Instant | None = None
    valid_to: Instant | None = None

    @model_validator(mode="after")
    def _checked(self) -> Self:
        if not 0 <= self.price.minor <= AMOUNT_MAX_MINOR:
            msg = "a price is not negative"
            raise ValueError(msg)
        if self.valid_from is not None and self.valid_to is not None and self.valid_from >= self.valid_to:
            msg = "valid_from is before valid_to"
            raise ValueError(msg)
        return self


class PriceListRequest(Input):
    """A price list as it shall be. ``target`` is an organisation (special, org), a segment, or '' (default)."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "name": "East 2026",
                    "level": "org",
                    "target": "dealer-east",
                    "currency": "CNY",
                    "items": [
                        {
                            "sku": "tea-500",
                            "uom": "case",
                            "min_qty": 10,
                            "price": {"amount": "60.00", "currency": "CNY"},
                        }
                    ],
                }
            ]
        },
    )

    name: Annotated[Named, StringConstraints(min_length=1)]
    level: Level
    target: Annotated[str, StringConstraints(max_length=64, pattern=r"^[^\x00]*$")] = ""
    currency: Currency = "CNY"
    items: Annotated[list[PriceItem], Field(max_length=ITEMS_MAX)] = []

    @model_validator(mode="after")
    def _checked(self) -> Self:
        if (self.level is Level.DEFAULT) != (not self.target):
            msg = "all levels but default name a target"
            raise ValueError(msg)
        if any(item.price.currency != self.currency for item in self.items):
            msg = "prices are in the list's currency"
            raise ValueError(msg)
        return self


class NewPriceList(PriceListRequest):
    """A new price list, a draft until it is published."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "east-2026",
                    "name": "East 2026",
                    "level": "org",
                    "target": "dealer-east",
                    "items": [
                        {"sku": "tea-500", "uom": "case", "price": {"amount": "58.00", "currency": "CNY"}},
                    ],
                }
            ]
        }
    )

    id: ListId


class PriceListShown(BaseModel):
    """A price list; only a published one gives prices."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "east-2026",
                    "name": "East 2026",
                    "level": "org",
                    "target": "dealer-east",
                    "currency": "CNY",
                    "state": "published",
                    "version": 2,
                    "items": [],
                }
            ]
        }
    )

    id: str
    name: str
    level: Level
    target: str
    currency: str
    state: str
    version: int
    items: list[PriceItem]


class EntitlementRequest(Input):
    """What an organisation and those below it may order: SKU, or '*' for everything, and whether."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"skus": {"*": True, "cola-330": False}}]}
    )

    skus: Annotated[dict[Sku, bool], Field(max_length=5_000)]


class EntitlementShown(BaseModel):
    """What is said at this organisation itself; those above it may say more."""

    org: OrgId
    skus: dict[str, bool]


class CatalogueItem(BaseModel):
    """What the caller's organisation may order, at its own price now for one pack (null: nobody has set one)."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "sku": "tea-500",
                    "name_zh": "绿茶 500 毫升",
                    "name_en": "Green tea 500 ml",
                    "uom": "case",
                    "factor": 15,
                    "price": {"amount": "60.00", "currency": "CNY"},
                    "explanation": {"list": "east-2026", "level": "org"},
                }
            ]
        }
    )

    sku: str
    name_zh: str
    name_en: str
    uom: str
    factor: int
    price: MoneyText | None
    explanation: dict[str, Any]


def check_gtin(gtin: str) -> None:
    """Raises ValueError for a GTIN whose check digit does not fit."""
    if gtin and not has_check_digit(gtin):
        msg = f"gtin {gtin} has a wrong check digit"
        raise ValueError(msg)
