"""What returns take and give over HTTP. Quantities are units of the SKU."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from platform_api.kit.inputs import Input, Text
from platform_api.kit.money import MoneyText
from platform_api.orders.models import LINES_MAX
from platform_api.orders.return_rules import ReturnState

UNITS_MAX = 100_000_000

Reason = Annotated[Text, StringConstraints(min_length=3)]


class ReturnRequest(Input):
    """What shall come back, units by line number of the order, and why; ``reasons`` of lines that have their own."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"reason": "crushed cartons", "units": {"1": 6}, "reasons": {"1": "wet as well"}}]
        },
    )

    reason: Reason
    units: Annotated[dict[int, Annotated[int, Field(ge=1, le=UNITS_MAX)]], Field(min_length=1, max_length=LINES_MAX)]
    reasons: Annotated[dict[int, Reason], Field(max_length=LINES_MAX)] = {}


class FateRequest(Input):
    """Units of a line that came back: fit to be sold again, not, and on hold until somebody has decided."""

    model_config = ConfigDict(extra="forbid")

    restock: Annotated[int, Field(ge=0, le=UNITS_MAX)] = 0
    write_off: Annotated[int, Field(ge=0, le=UNITS_MAX)] = 0
    hold: Annotated[int, Field(ge=0, le=UNITS_MAX)] = 0


class ReceiveRequest(Input):
    """What came back, by line number; lines that are not named did not. All of it, to be restocked, unless given."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"lines": {"1": {"restock": 3, "write_off": 1, "hold": 2}}}]}
    )

    lines: Annotated[dict[int, FateRequest], Field(min_length=1, max_length=LINES_MAX)] | None = None


class ReturnLine(BaseModel):
    """A line of a return: units asked for, and what came of them."""

    line: int
    sku: str
    units: int
    reason: str
    restocked: int
    written_off: int
    held: int
    credited: MoneyText


class Return(BaseModel):
    """Goods of an order that come back, and what is credited for them.

    ``shipment`` names the delivery at which they were refused: that one credited them, so nothing is here.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "018f3b1e-0000-7000-8000-000000000009",
                    "order": "018f3b1e-0000-7000-8000-000000000006",
                    "org": "dealer-east",
                    "shipment": None,
                    "state": "received",
                    "reason": "crushed cartons",
                    "decision": "",
                    "credited": {"amount": "40.68", "currency": "CNY"},
                    "created": "2026-01-08T08:12:31Z",
                    "updated": "2026-01-09T08:12:31Z",
                    "version": 3,
                    "lines": [
                        {
                            "line": 1,
                            "sku": "tea-500",
                            "units": 6,
                            "reason": "wet as well",
                            "restocked": 3,
                            "written_off": 1,
                            "held": 2,
                            "credited": {"amount": "40.68", "currency": "CNY"},
                        }
                    ],
                }
            ]
        }
    )

    id: UUID
    order: UUID
    org: str
    shipment: UUID | None
    state: ReturnState
    reason: str
    decision: str
    credited: MoneyText
    created: datetime
    updated: datetime
    version: int
    lines: list[ReturnLine]


def return_of(row: Mapping[str, Any]) -> Return:
    """A return from its row."""
    currency = row["currency"]
    return Return(
        id=row["return_id"],
        order=row["order_id"],
        org=row["org_id"],
        shipment=row["shipment_id"],
        created=row["created_at"],
        updated=row["updated_at"],
        credited=MoneyText.of(sum(line["credited_minor"] for line in row["lines"]), currency),
        lines=[
            ReturnLine(
                line=line["line_no"],
                credited=MoneyText.of(line["credited_minor"], currency),
                **{name: line[name] for name in ("sku", "units", "reason", "restocked", "written_off", "held")},
            )
            for line in row["lines"]
        ],
        **{name: row[name] for name in ("state", "reason", "decision", "version")},
    )
