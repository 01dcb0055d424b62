"""What subscribers are told: the section ``webhooks`` of the OpenAPI document, one request for each noun."""

from datetime import datetime
from typing import Annotated, Any, Final, Generic, Literal, TypeVar
from uuid import UUID

from fastapi import APIRouter, Body, Depends, Header
from pydantic import BaseModel, Field, create_model

from platform_api.kit.money import MoneyText
from platform_api.webhooks.rules import MEDIA_TYPE, STATES, TEST_TYPE, TYPE_PREFIX

Data = TypeVar("Data", bound=BaseModel)


class OrderData(BaseModel):
    """An order that came to a state."""

    id: UUID
    number: int
    org: str
    state: str
    ship_from: str
    ship_to: str
    reference: str
    proposal: UUID | None
    total: MoneyText


class ShipmentData(BaseModel):
    """A shipment that came to a state, or of which the shelf said its verdict; ``shelf_seen`` is units by SKU."""

    id: UUID
    order: UUID
    org: str
    ship_from: str
    ship_to: str
    carrier: str
    tracking_no: str
    state: str
    shelf_verdict: str
    shelf_seen: dict[str, int]
    eta: datetime | None


class ProposalData(BaseModel):
    """A suggested replenishment that came to a state."""

    id: UUID
    site: str
    sku: str
    units: int
    state: str


class AnomalyData(BaseModel):
    """An anomaly that came to a state; ``severity`` and ``score`` are in [0, 1]."""

    id: UUID
    site: str
    gateway: str
    kind: str
    place_kind: str
    place: str
    start: datetime
    severity: float
    score: float
    state: str


class ReceivableData(BaseModel):
    """An entry of what an organisation owes; payments, credit notes and deposits are negative."""

    id: UUID
    org: str
    kind: str
    order: UUID | None
    reference: str
    amount: MoneyText


class CountData(BaseModel):
    """A stock count that came to a state."""

    id: UUID
    location: str
    state: str
    reason: str


class ReturnData(BaseModel):
    """A return that came to a state."""

    id: UUID
    order: UUID
    org: str
    state: str
    reason: str
    decision: str


class TransferData(BaseModel):
    """A transfer of which something was asked, sent, received or given up; ``proposal`` is what asked for it."""

    id: UUID
    from_: Annotated[str, Field(alias="from")]
    to: str
    state: str
    reference: str
    reason: str
    proposal: UUID | None


class StockData(BaseModel):
    """Units that were put on hold at a site, released or written off, and why; of one lot unless ``lot`` is null."""

    move: UUID
    site: str
    sku: str
    lot: str | None
    units: int
    reason: str


class TrialData(BaseModel):
    """A trial of a subscription, and who asked for it."""

    id: UUID
    by: str


class Told(BaseModel, Generic[Data]):
    """A CloudEvent (1.0, structured JSON). ``id`` is the header ``webhook-id``, the same at each attempt.

    ``sandbox`` is there, and true, for what happened to the test data of a sandbox, and for nothing else.
    """

    specversion: Literal["1.0"]
    id: UUID
    source: Annotated[str, Field(examples=["/tenants/acme"])]
    type: str
    subject: Annotated[str, Field(examples=["orders/018f3b1e-0000-7000-8000-000000000022"])]
    time: datetime
    datacontenttype: Literal["application/json"]
    sandbox: Literal[True] | None = None
    data: Data


DATA: Final[dict[str, type[BaseModel]]] = {
    "anomaly": AnomalyData,
    "count": CountData,
    "order": OrderData,
    "proposal": ProposalData,
    "receivable": ReceivableData,
    "return": ReturnData,
    "shipment": ShipmentData,
    "stock": StockData,
    "transfer": TransferData,
}
"""What is told of each noun of ``rules.STATES``."""


def _signed(
    webhook_id: Annotated[str, Header(alias="webhook-id", description="The event: a repetition has the same")],
    webhook_timestamp: Annotated[int, Header(alias="webhook-timestamp", description="Unix time of the attempt, in s")],
    webhook_signature: Annotated[
        str, Header(alias="webhook-signature", description="`v1,…` of each valid secret, a space between (HMAC-SHA256)")
    ],
) -> None:
    """The headers of Standard Webhooks."""
    del webhook_id, webhook_timestamp, webhook_signature


router = APIRouter(tags=["webhooks"], dependencies=[Depends(_signed)])


def _announce(noun: str, types: list[str], data: type[BaseModel]) -> None:
    """Put one noun into the document; nothing is served here."""
    names = tuple(TYPE_PREFIX + name for name in types)
    # Literal and Told are given what is known when the module is read, which no type checker follows.
    base: Any = Told[data]  # type: ignore[valid-type]
    kind: Any = Literal[names]
    event = create_model(
        f"Told{data.__name__.removesuffix('Data')}", __base__=base, __doc__=Told.__doc__, type=(kind, ...)
    )

    def told(event: Any) -> None:
        del event

    told.__annotations__["event"] = Annotated[event, Body(media_type=MEDIA_TYPE)]
    router.add_api_route(
        noun,
        told,
        methods=["POST"],
        name=noun,
        summary="Told at a trial" if noun == TEST_TYPE else f"Told of {noun}s",
        description=(
            "At least once, for three days until it is taken. Events of one subject come in the order in which they"
            " happened: a later one when the earlier was taken, or given up."
        ),
        status_code=204,
        response_description="Taken, as by any other 2xx",
        responses={"4XX": {"description": "Not taken, as with any other answer; 410 disables the subscription"}},
    )


for _noun, _states in STATES.items():
    _announce(_noun, [f"{_noun}.{state}" for state in _states], DATA[_noun])
_announce(TEST_TYPE, [TEST_TYPE], TrialData)
