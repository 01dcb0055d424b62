"""Rows of documents: stock moves, orders, shipments. They are posted once by their number, by what posts any other.

The same document again changes nothing; told with other contents it is a mistake of the file, since what happened is
corrected by a new document. Pure.
"""

from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, Field, model_validator

from contracts.ids import IDENTIFIER_PATTERN
from platform_api.imports.rows import Day, Name, OrgId, Row, Sku

UNITS_MAX = 1_000_000
PACKS_MAX = 10_000
LINES_MAX = 100
"""Of one document."""

Reference = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\x00/]+$")]
Line = Annotated[int, Field(ge=1, le=1_000_000)]
Place = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
Count = Annotated[int, Field(ge=1, le=UNITS_MAX)]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]


class MoveRow(Row):
    """A stock move: ``opening`` balance, ``receipt``, ``adjust`` (negative units take away), ``loss``, or ``transfer``.

    ``value_minor`` is what the units of an opening or receipt cost in all; ``to`` is where a transfer goes; ``lot`` and
    ``expires`` are for SKUs kept by lot; ``happened`` is RFC 3339 with its offset, now unless given.
    """

    identity = ("tenant", "reference", "line")

    reference: Reference
    line: Line = 1
    kind: Literal["opening", "receipt", "adjust", "loss", "transfer"]
    location: Place
    to: Place | None = None
    sku: Sku
    units: Annotated[int, Field(ge=-UNITS_MAX, le=UNITS_MAX)]
    value_minor: Annotated[int, Field(ge=0, le=10**15)] | None = None
    lot: Annotated[str, Field(max_length=64)] = ""
    expires: Day | None = None
    happened: AwareDatetime | None = None
    reason: Name = ""

    @model_validator(mode="after")
    def _of_its_kind(self) -> Self:
        fault = ""
        if not self.units or (self.units < 0 and self.kind != "adjust"):
            fault = "units must be above 0" if self.kind != "adjust" else "units must not be 0"
        elif (self.to is not None) is not (self.kind == "transfer") or self.to == self.location:
            fault = "a transfer, and nothing else, names another place that it goes to"
        elif self.kind in {"adjust", "loss"} and len(self.reason) < 3:  # noqa: PLR2004 - as in the API
            fault = "reason is needed"
        elif self.kind not in {"opening", "receipt"} and (self.value_minor is not None or self.lot or self.expires):
            fault = "value_minor, lot and expires are for openings and receipts"
        elif self.expires is not None and not self.lot:
            fault = "expires is that of a lot"
        if fault:
            raise ValueError(fault)
        return self


class OrderRow(Row):
    """A line of an order: ``packs`` of a SKU in a ``uom``; the lines of an order (org, reference) stand together.

    It is priced and given credit as any other, and submitted unless ``submit`` is false. ``ship_from`` is the warehouse
    of the nearest organisation above unless given.
    """

    identity = ("tenant", "org", "reference", "line")

    org: OrgId
    reference: Reference
    line: Line = 1
    ship_to: Place
    ship_from: Place | None = None
    currency: Currency = "CNY"
    sku: Sku
    uom: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,15}$")] = "unit"
    packs: Annotated[int, Field(ge=1, le=PACKS_MAX)]
    submit: bool = True


class ShipmentRow(Row):
    """Units of an order's line that left; the lines of a shipment (carrier, tracking_no) stand together.

    The order is named by its number, or by ``org`` and ``reference`` when it was imported. ``signer`` and ``delivered``
    tell that it has arrived, with ``accepted`` units of the line (all but the ``missing`` ones unless given; what is
    neither was refused): they may come in a later file.
    """

    identity = ("tenant", "carrier", "tracking_no", "line")

    carrier: Annotated[str, Field(pattern=IDENTIFIER_PATTERN)]
    tracking_no: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    order: Annotated[int, Field(ge=1)] | None = None
    org: OrgId | None = None
    reference: Reference | None = None
    line: Line
    units: Count
    eta: AwareDatetime | None = None
    signer: Annotated[str, Field(min_length=2, max_length=200)] | None = None
    delivered: AwareDatetime | None = None
    accepted: Annotated[int, Field(ge=0, le=UNITS_MAX)] | None = None
    missing: Annotated[int, Field(ge=0, le=UNITS_MAX)] = 0

    @model_validator(mode="after")
    def _named(self) -> Self:
        fault = ""
        if (self.org is None) is not (self.reference is None) or (self.order is None) is (self.org is None):
            fault = "name the order, or its org and reference"
        elif (self.signer is None) is not (self.delivered is None):
            fault = "signer and delivered go together"
        elif (self.accepted is not None or self.missing) and self.signer is None:
            fault = "accepted and missing are of units that somebody signed for"
        elif (self.accepted or 0) + self.missing > self.units:
            fault = "accepted and missing are more than the units that left"
        if fault:
            raise ValueError(fault)
        return self
