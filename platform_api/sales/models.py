"""What the intake of sales takes and gives over HTTP. Quantities are units of the SKU, times RFC 3339."""

from datetime import datetime
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from contracts.ids import IDENTIFIER_PATTERN
from platform_api.kit.inputs import Input
from platform_api.kit.times import Instant

SALES_MAX: Final = 1_000
"""Lines of one request; below the limit of a body, with room for long names."""
UNITS_MAX: Final = 100_000
LINE_MAX: Final = 1_000_000

# What PostgreSQL cannot hold in a text is refused here, with its place.
Receipt = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\u0000]*$")]
_LINE: Final[dict[str, JsonValue]] = {
    "site": "sh-001",
    "sku": "tea-500",
    "units": 2,
    "sold_at": "2026-01-05T08:12:31Z",
    "receipt": "till-3/2026-01-05/0192",
    "line": 1,
}


class NewPosSale(Input):
    """A line of a receipt. ``units`` is negative for a return; (site, receipt, line) names the line for ever."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_LINE]})

    site: Annotated[str, Field(pattern=IDENTIFIER_PATTERN)]
    sku: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\u0000]*$")]
    units: Annotated[int, Field(ge=-UNITS_MAX, le=UNITS_MAX)]
    sold_at: Instant
    receipt: Receipt
    line: Annotated[int, Field(ge=0, le=LINE_MAX)]


class NewPosSales(Input):
    """Lines of receipts, in any order."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"sales": [_LINE]}]})

    sales: Annotated[list[NewPosSale], Field(min_length=1, max_length=SALES_MAX)]


class PosIntake(BaseModel):
    """What became of the lines: all are stored now, ``known`` of them were before."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"received": 1, "created": 1, "known": 0}]})

    received: int
    created: int
    known: int


class PosSale(BaseModel):
    """A line of a receipt as it is stored; ``id`` grows with each."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"id": 17, **_LINE, "received_at": "2026-01-05T08:12:40Z"}]}
    )

    id: int
    site: str
    sku: str
    units: int
    sold_at: datetime
    receipt: str
    line: int
    received_at: datetime
