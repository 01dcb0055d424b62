"""What stock takes and gives over HTTP. Quantities are units of the SKU, money is at moving average, times UTC."""

from datetime import date, datetime
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from platform_api.kit.inputs import Input, Text
from platform_api.kit.money import MoneyText
from platform_api.kit.times import Day, Instant
from platform_api.stock.rules import MoveKind

UNITS_MAX = 1_000_000
LINES_MAX = 200

Place = Annotated[str, StringConstraints(pattern=r"^\.?[a-z0-9][a-z0-9_.-]{0,63}$")]
Sku = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[^\x00]*$")]
Reason = Annotated[Text, StringConstraints(min_length=3)]
Units = Annotated[int, Field(ge=1, le=UNITS_MAX)]


class Location(BaseModel):
    """Where units can be. ``supplier, customer, loss, adjust`` are where they come from and go to."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"id": "sh-001.shelf", "kind": "shelf", "site": "sh-001", "parent": "sh-001", "name": "Jing'an Temple"}
            ]
        }
    )

    id: str
    kind: str
    site: str | None
    parent: str | None
    name: str


class Balance(BaseModel):
    """What a place holds of a SKU by the books, and what of it can be promised (``atp``: free now, and due in time).

    ``expired`` units are on hand, and promised to nobody; nor is anything at places that are no warehouse and no store:
    on a shelf, on the road (``transit``) or on hold.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "location": "wh-east",
                    "kind": "warehouse",
                    "site": "wh-east",
                    "sku": "tea-500",
                    "name_zh": "绿茶 500 毫升",
                    "name_en": "Green tea 500 ml",
                    "on_hand": 240,
                    "reserved": 30,
                    "expired": 0,
                    "due": 120,
                    "atp": 330,
                    "value": {"amount": "720.00", "currency": "CNY"},
                    "updated": "2026-01-05T08:12:31Z",
                }
            ]
        }
    )

    location: str
    kind: str
    site: str | None
    sku: str
    name_zh: str
    name_en: str
    on_hand: int
    reserved: int
    expired: int
    due: int
    atp: int
    value: MoneyText
    updated: datetime


class MoveEntry(BaseModel):
    """One side of a move: units and value that a place gained, or lost (negative)."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "move": "018f3b1e-0000-7000-8000-000000000003",
                    "entry": 1,
                    "kind": "sale",
                    "location": "sh-001.shelf",
                    "sku": "tea-500",
                    "lot": None,
                    "units": -2,
                    "value": {"amount": "-6.00", "currency": "CNY"},
                    "happened": "2026-01-05T08:12:31Z",
                    "booked": "2026-01-05T08:12:31Z",
                    "reason": "",
                    "reference": "sh-001.shelf",
                }
            ]
        }
    )

    move: UUID
    entry: int
    kind: MoveKind
    location: str
    sku: str
    lot: str | None
    units: int
    value: MoneyText
    happened: datetime
    booked: datetime
    reason: str
    reference: str


class Posted(BaseModel):
    """A move that is in the ledger."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"move": "018f3b1e-0000-7000-8000-000000000003"}]})

    move: UUID


class ReceiptLine(Input):
    """Units that arrive, what they cost in all, and their lot when the SKU is kept by lot."""

    model_config = ConfigDict(extra="forbid")

    sku: Sku
    units: Units
    cost: MoneyText | None = None
    lot: Annotated[str, StringConstraints(max_length=64, pattern=r"^[^\x00]*$")] = ""
    expires: Day | None = None


class Receipt(Input):
    """Goods from a supplier. ``due``: the expected receipt that this is."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "to": "wh-east",
                    "lines": [
                        {"sku": "tea-500", "units": 150, "cost": {"amount": "450.00", "currency": "CNY"}},
                        {
                            "sku": "milk-1l",
                            "units": 48,
                            "cost": {"amount": "384.00", "currency": "CNY"},
                            "lot": "L2601",
                            "expires": "2027-01-31",
                        },
                    ],
                }
            ]
        },
    )

    to: Place
    lines: Annotated[list[ReceiptLine], Field(min_length=1, max_length=LINES_MAX)]
    happened: Instant | None = None
    reference: Text = ""
    due: UUID | None = None


class Line(Input):
    """So many units of a SKU."""

    model_config = ConfigDict(extra="forbid")

    sku: Sku
    units: Units


class Transfer(Input):
    """Units that change places; lots that expire first go first."""

    model_config = ConfigDict(
        extra="forbid",
        populate_by_name=True,
        json_schema_extra={
            "examples": [{"from": "wh-east", "to": "sh-001", "lines": [{"sku": "tea-500", "units": 30}]}]
        },
    )

    from_: Annotated[Place, Field(alias="from")]
    to: Place
    lines: Annotated[list[Line], Field(min_length=1, max_length=LINES_MAX)]
    reference: Text = ""

    @model_validator(mode="after")
    def _two_places(self) -> Self:
        if self.from_ == self.to:
            msg = "a transfer has two places"
            raise ValueError(msg)
        if len({line.sku for line in self.lines}) < len(self.lines):
            msg = "a SKU stands twice"
            raise ValueError(msg)
        return self


class Adjustment(Input):
    """A correction with its reason: ``units`` positive or negative; ``loss`` says that they are gone."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"at": "wh-east", "sku": "tea-500", "units": -2, "reason": "broken bottles", "loss": True}]
        },
    )

    at: Place
    sku: Sku
    units: Annotated[int, Field(ge=-UNITS_MAX, le=UNITS_MAX)]
    reason: Reason
    loss: bool = False

    @model_validator(mode="after")
    def _moves(self) -> Self:
        if self.units == 0 or (self.loss and self.units > 0):
            msg = "a correction moves units, a loss negative ones"
            raise ValueError(msg)
        return self


class DueRequest(Input):
    """Goods that a supplier has promised: they count for what can be promised from that day on."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"to": "wh-east", "sku": "tea-500", "units": 120, "due_at": "2026-01-08T08:00:00Z"}]
        },
    )

    to: Place
    sku: Sku
    units: Units
    due_at: Instant
    reference: Text = ""


class Due(DueRequest):
    """An expected receipt."""

    id: UUID


class Lot(BaseModel):
    """Units of a lot at a place, first expired first."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"lot": "L2601", "expires": "2027-01-31", "units": 150}]})

    lot: str
    expires: date | None
    units: int


class CountRequest(Input):
    """A place to count; all that lies there by the books unless ``skus`` says which."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"at": "wh-east", "reason": "cycle count", "skus": ["tea-500"]}]},
    )

    at: Place
    reason: Text = ""
    skus: Annotated[list[Sku], Field(max_length=LINES_MAX)] = []


class CountedLine(Input):
    """What somebody counted."""

    model_config = ConfigDict(extra="forbid")

    sku: Sku
    counted: Annotated[int, Field(ge=0, le=UNITS_MAX)]
    reason: Text = ""


class Counted(Input):
    """What somebody counted so far."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"lines": [{"sku": "tea-500", "counted": 238}]}]}
    )

    lines: Annotated[list[CountedLine], Field(min_length=1, max_length=LINES_MAX)]


class CountReasons(Input):
    """Why what was counted differs from the books, by SKU: whoever counted did not know that it does."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"reasons": {"tea-500": "two broken"}}]})

    reasons: Annotated[dict[Sku, Reason], Field(max_length=LINES_MAX)]


class Count(BaseModel):
    """A count of a place. ``booked`` is null until it is posted: whoever counts does not know it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "018f3b1e-0000-7000-8000-000000000004",
                    "at": "wh-east",
                    "state": "open",
                    "reason": "cycle count",
                    "created": "2026-01-05T08:12:31Z",
                    "counted_at": None,
                    "counted_by": None,
                    "posted_at": None,
                    "version": 1,
                    "lines": [{"sku": "tea-500", "counted": None, "reason": "", "booked": None}],
                }
            ]
        }
    )

    id: UUID
    at: str
    state: str
    reason: str
    created: datetime
    counted_at: datetime | None
    counted_by: str | None
    posted_at: datetime | None
    version: int
    lines: list[dict[str, Any]]


class ReconCase(BaseModel):
    """A shelf that shows something else than is booked, as of ``as_of``, for so many quiet windows.

    ``booked`` is null while a count of it is asked for or waits to be booked: whoever counts must not know it.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "018f3b1e-0000-7000-8000-000000000005",
                    "location": "sh-001.shelf",
                    "sku": "tea-500",
                    "state": "count_asked",
                    "observed": 41,
                    "booked": None,
                    "as_of": "2026-01-05T08:00:00Z",
                    "windows": 3,
                    "opened": "2026-01-05T07:50:00Z",
                    "count": "018f3b1e-0000-7000-8000-000000000004",
                }
            ]
        }
    )

    id: UUID
    location: str
    sku: str
    state: str
    observed: int
    booked: int | None
    as_of: datetime
    windows: int
    opened: datetime
    count: UUID | None


class PeriodRequest(Input):
    """A month to close, by any of its days."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"month": "2026-01-01"}]})

    month: Day


class Period(BaseModel):
    """A month that is closed: nothing is booked into it any more."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"month": "2026-01-01", "closed": "2026-02-03T08:12:31Z", "closed_by": "hq@example.com"}]
        }
    )

    month: date
    closed: datetime
    closed_by: str | None
