"""What orders take and give over HTTP. Quantities are packs where so named, else units of the SKU."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from platform_api.kit.inputs import Input, Name, Text
from platform_api.kit.money import Currency, MoneyText
from platform_api.orders.rules import State

PACKS_MAX = 10_000
LINES_MAX = 100


class LineRequest(Input):
    """So many packs of a SKU."""

    model_config = ConfigDict(extra="forbid")

    sku: Name
    uom: Annotated[str, StringConstraints(max_length=32, pattern=r"^[^\x00]*$")] = "unit"
    packs: Annotated[int, Field(ge=1, le=PACKS_MAX)]


class OrderRequest(Input):
    """An order as it shall be.

    ``org`` is who buys (the caller's own unless given), ``ship_to`` a store or warehouse of theirs, ``ship_from`` a
    warehouse (that of the nearest organisation above unless given).
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"org": "dealer-east", "ship_to": "sh-001", "lines": [{"sku": "tea-500", "uom": "case", "packs": 4}]}
            ]
        },
    )

    org: Name | None = None
    ship_to: Name
    ship_from: Name | None = None
    currency: Currency = "CNY"
    reference: Text = ""
    lines: Annotated[list[LineRequest], Field(min_length=1, max_length=LINES_MAX)]


class ReasonRequest(Input):
    """Why."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"reason": "agreed with finance"}]})

    reason: Annotated[Text, StringConstraints(min_length=3)]


class DiscountRequest(Input):
    """What is taken off, and why: a share in basis points (100 are one per cent), or an amount before tax.

    An amount is in the order's currency, and takes no more off than there is.
    """

    model_config = ConfigDict(extra="forbid")

    basis_points: Annotated[int, Field(ge=1, le=10_000)] | None = None
    amount: MoneyText | None = None
    reason: Annotated[Text, StringConstraints(min_length=3)]

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.basis_points is None) == (self.amount is None):
            raise ValueError("give basis_points or an amount")
        if self.amount is not None and self.amount.minor <= 0:
            raise ValueError("an amount that is taken off is above 0")
        return self


class DiscountsRequest(Input):
    """Discounts of an order, all of them: of the whole, and of lines by their number."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"order": {"basis_points": 250, "reason": "spring fair"}}]},
    )

    order: DiscountRequest | None = None
    lines: Annotated[dict[Annotated[int, Field(ge=1)], DiscountRequest], Field(max_length=LINES_MAX)] = {}


class OrderLine(BaseModel):
    """A line: its price with the explanation, what is added and taken, and how far its units are.

    ``refused`` units were not taken at the door and go back, ``missing`` ones never came; both are credited.
    """

    line: int
    sku: str
    uom: str
    packs: int
    units: int
    unit_price: MoneyText
    net: MoneyText
    explanation: dict[str, Any]
    adjustments: list[dict[str, Any]]
    reserved: int
    shipped: int
    delivered: int
    refused: int
    missing: int
    returned: int
    back_ordered: int
    invoiced: MoneyText
    credited: MoneyText


class OrderEvent(BaseModel):
    """What happened to an order."""

    action: str
    from_state: str
    to_state: str
    reason: str
    login: str
    at: datetime


class OrderSummary(BaseModel):
    """An order without its lines."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "018f3b1e-0000-7000-8000-000000000006",
                    "number": 17,
                    "org": "dealer-east",
                    "ship_from": "wh-east",
                    "ship_to": "sh-001",
                    "state": "allocated",
                    "reference": "",
                    "proposal": None,
                    "net": {"amount": "240.00", "currency": "CNY"},
                    "adjustments": {"amount": "31.20", "currency": "CNY"},
                    "total": {"amount": "271.20", "currency": "CNY"},
                    "created": "2026-01-05T08:12:31Z",
                    "submitted": "2026-01-05T08:13:02Z",
                    "version": 3,
                }
            ]
        }
    )

    id: UUID
    number: int
    org: str
    ship_from: str
    ship_to: str
    state: State
    reference: str
    proposal: UUID | None
    net: MoneyText
    adjustments: MoneyText
    total: MoneyText
    created: datetime
    submitted: datetime | None
    version: int


class Order(OrderSummary):
    """An order with its lines and its history."""

    lines: list[OrderLine]
    history: list[OrderEvent]


class QuoteLine(BaseModel):
    """A line at its price now. ``available``: units that could be promised at once."""

    sku: str
    uom: str
    packs: int
    units: int
    unit_price: MoneyText
    net: MoneyText
    explanation: dict[str, Any]
    adjustments: list[dict[str, Any]]
    available: int


class Quote(BaseModel):
    """What an order would cost now, each unit of money explained. Nothing is stored or promised."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "org": "dealer-east",
                    "ship_from": "wh-east",
                    "net": {"amount": "240.00", "currency": "CNY"},
                    "adjustments": {"amount": "31.20", "currency": "CNY"},
                    "total": {"amount": "271.20", "currency": "CNY"},
                    "lines": [],
                }
            ]
        }
    )

    org: str
    ship_from: str
    net: MoneyText
    adjustments: MoneyText
    total: MoneyText
    lines: list[QuoteLine]


def summary_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """What a summary shows of an order's row."""
    currency = row["currency"]
    return {
        "id": row["order_id"],
        "number": row["order_no"],
        "org": row["org_id"],
        "proposal": row["proposal_id"],
        "net": MoneyText.of(row["net_minor"], currency),
        "adjustments": MoneyText.of(row["adjustment_minor"], currency),
        "total": MoneyText.of(row["total_minor"], currency),
        "created": row["created_at"],
        "submitted": row["submitted_at"],
        **{name: row[name] for name in ("ship_from", "ship_to", "state", "reference", "version")},
    }


def line_of(row: Mapping[str, Any], currency: str) -> OrderLine:
    """A line from its row."""
    return OrderLine(
        line=row["line_no"],
        unit_price=MoneyText.of(row["unit_price_minor"], currency),
        net=MoneyText.of(row["net_minor"], currency),
        adjustments=[adjustment_of(one, currency) for one in row["adjustments"]],
        reserved=row["reserved_units"],
        shipped=row["shipped_units"],
        delivered=row["delivered_units"],
        refused=row["refused_units"],
        missing=row["missing_units"],
        returned=row["returned_units"],
        back_ordered=row["units"] - row["reserved_units"] - row["shipped_units"],
        invoiced=MoneyText.of(row["invoiced_minor"], currency),
        credited=MoneyText.of(row["credited_minor"], currency),
        **{name: row[name] for name in ("sku", "uom", "packs", "units", "explanation")},
    )


def adjustment_of(one: Mapping[str, Any], currency: str) -> dict[str, Any]:
    """An adjustment as it is shown."""
    return {
        "kind": one["kind"],
        "amount": MoneyText.of(one["amount_minor"], currency).model_dump(),
        "explanation": one["explanation"],
    }
