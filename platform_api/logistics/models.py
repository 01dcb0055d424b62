"""What logistics takes and gives over HTTP. Quantities are units of the SKU, times RFC 3339 UTC."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, Base64Bytes, BaseModel, ConfigDict, Field, StringConstraints

from contracts.ids import IDENTIFIER_PATTERN
from platform_api.kit.inputs import Input, Text
from platform_api.kit.money import MoneyText
from platform_api.kit.times import Instant
from platform_api.logistics.proofs import media_type_of
from platform_api.logistics.rules import ShelfVerdict, ShipmentState

PHOTO_MAX_BYTES = 150_000
SIGNATURE_MAX_BYTES = 30_000

CarrierId = Annotated[str, StringConstraints(pattern=IDENTIFIER_PATTERN)]
TrackingNo = Annotated[str, StringConstraints(max_length=64, pattern=r"^[A-Za-z0-9._-]*$")]
Units = Annotated[int, Field(ge=0, le=1_000_000)]


def _picture(value: bytes) -> bytes:
    if media_type_of(value) is None:
        msg = "is neither JPEG nor PNG"
        raise ValueError(msg)
    return value


Signature = Annotated[Base64Bytes, Field(max_length=SIGNATURE_MAX_BYTES), AfterValidator(_picture)]
Photo = Annotated[Base64Bytes, Field(max_length=PHOTO_MAX_BYTES), AfterValidator(_picture)]


class NewCarrier(Input):
    """A carrier: ``simulated`` moves by itself, ``webhook`` tells us what happens."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"id": "sf", "kind": "webhook", "name": "SF Express"}]}
    )

    id: CarrierId
    kind: Literal["simulated", "webhook"]
    name: Annotated[Text, StringConstraints(min_length=1)]


class Carrier(BaseModel):
    """A carrier."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"id": "sf", "kind": "webhook", "name": "SF Express"}]})

    id: str
    kind: str
    name: str


class MadeCarrier(Carrier):
    """A new carrier, and the secret that it signs with: the only time that it can be read."""

    secret: str


class ShipmentRequest(Input):
    """What shall leave: units by line number, all that is held unless given."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"carrier": "van", "tracking_no": "V1001", "units": {"1": 30}}]}
    )

    carrier: CarrierId
    tracking_no: TrackingNo = ""
    units: Annotated[dict[int, Units], Field(max_length=100)] | None = None
    eta: Instant | None = None


class ProofRequest(BaseModel):
    """Who took it: name, time, place, units accepted by line (all unless given).

    ``missing`` are units by line that were not in the delivery. What is neither accepted nor missing was refused: it
    goes back. Signature and photo are JPEG or PNG, in base64.
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"signer": "Sun Li", "at": "2026-01-06T09:30:00Z", "lat": 31.22, "lon": 121.44}]
        },
    )

    signer: Annotated[Text, StringConstraints(min_length=2)]
    at: Instant
    accepted: Annotated[dict[int, Units], Field(max_length=100)] | None = None
    missing: Annotated[dict[int, Units], Field(max_length=100)] | None = None
    lat: Annotated[float, Field(ge=-90, le=90, allow_inf_nan=False)] | None = None
    lon: Annotated[float, Field(ge=-180, le=180, allow_inf_nan=False)] | None = None
    signature: Signature | None = None
    photo: Photo | None = None
    note: Text = ""


class ShipmentLine(BaseModel):
    """Units of a line that left. Before somebody has signed, ``accepted`` and what follows from it are unknown.

    ``refused`` units go back (``/v1/returns``), ``missing`` ones were not there; ``credited`` is for both.
    """

    line: int
    sku: str
    units: int
    accepted: int | None
    refused: int | None
    missing: int | None
    invoiced: MoneyText
    credited: MoneyText


class TrackingEvent(BaseModel):
    """What a carrier told."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"id": "e-1", "state": "in_transit", "place": "Shanghai hub", "note": "", "at": "2026-01-05T20:00:00Z"}
            ]
        }
    )

    id: str
    state: ShipmentState
    place: str
    note: str
    at: datetime


class CarrierEvent(BaseModel):
    """A carrier's own words: one event of one shipment; the same ``event_id`` counts once."""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={
            "examples": [
                {
                    "event_id": "e-1",
                    "tracking_no": "SF1001",
                    "state": "in_transit",
                    "place": "Shanghai hub",
                    "at": "2026-01-05T20:00:00Z",
                }
            ]
        },
    )

    event_id: Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[!-~]+$")]
    tracking_no: Annotated[TrackingNo, StringConstraints(min_length=1)]
    state: ShipmentState
    place: Text = ""
    note: Text = ""
    at: Instant
    eta: Instant | None = None


class Proof(BaseModel):
    """A proof of delivery; signature and photo are read by themselves."""

    signer: str
    at: datetime
    lat: float | None
    lon: float | None
    signature: bool
    photo: bool
    note: str


class ShipmentSummary(BaseModel):
    """A shipment. ``shelf_verdict``: whether the store's shelves saw what was signed for."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "018f3b1e-0000-7000-8000-000000000008",
                    "order": "018f3b1e-0000-7000-8000-000000000006",
                    "org": "dealer-east",
                    "ship_from": "wh-east",
                    "ship_to": "sh-001",
                    "carrier": "sf",
                    "tracking_no": "SF1001",
                    "state": "in_transit",
                    "shelf_verdict": "waiting",
                    "shelf_seen": {},
                    "dispatched": "2026-01-05T08:12:31Z",
                    "eta": "2026-01-06T10:00:00Z",
                    "delivered": None,
                    "version": 2,
                    "lines": [
                        {
                            "line": 1,
                            "sku": "tea-500",
                            "units": 30,
                            "accepted": None,
                            "refused": None,
                            "missing": None,
                            "invoiced": {"amount": "203.40", "currency": "CNY"},
                            "credited": {"amount": "0.00", "currency": "CNY"},
                        }
                    ],
                }
            ]
        }
    )

    id: UUID
    order: UUID
    org: str
    ship_from: str
    ship_to: str
    carrier: str
    tracking_no: str
    state: ShipmentState
    shelf_verdict: ShelfVerdict
    shelf_seen: dict[str, Any]
    dispatched: datetime
    eta: datetime | None
    delivered: datetime | None
    version: int
    lines: list[ShipmentLine]


class Shipment(ShipmentSummary):
    """A shipment with what its carrier told, and its proof of delivery."""

    events: list[TrackingEvent]
    proof: Proof | None
