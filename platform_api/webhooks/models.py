"""What webhooks take and give over HTTP."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from platform_api.kit.destinations import URL_MAX_CHARS
from platform_api.kit.inputs import Input, Text
from platform_api.kit.times import Instant
from platform_api.webhooks.rules import EVENT_TYPES

REPLAY_MAX = 10_000

_ID = "018f3b1e-0000-7000-8000-000000000020"


def _is_event_type(name: str) -> str:
    if name not in EVENT_TYPES:
        message = f"{name[:40]!r} is no type of event"
        raise ValueError(message)
    return name


EventType = Annotated[str, AfterValidator(_is_event_type), Field(json_schema_extra={"enum": sorted(EVENT_TYPES)})]
Url = Annotated[str, StringConstraints(min_length=8, max_length=URL_MAX_CHARS, pattern=r"^https?://[!-~]+$")]
DeliveryState = Literal["pending", "delivered", "failed"]


class WebhookRequest(Input):
    """A subscription as it shall be. ``events`` are types such as ``order.approved``; none means all of them."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"url": "https://erp.example.com/shelfpulse", "events": ["order.approved", "order.shipped"]}]
        },
    )

    url: Url
    description: Text = ""
    events: Annotated[list[EventType], Field(max_length=len(EVENT_TYPES))] = []
    enabled: bool = True


class NewWebhook(WebhookRequest):
    """A subscription to be made: to what concerns ``org`` and those below it.

    Without ``org`` it is for the caller's own organisation, and for people of the whole tenant for all of it.
    """

    org: Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[^\x00]*$")] | None = None


class Webhook(BaseModel):
    """A subscription, to what concerns ``org`` and those below it (null: all of the tenant).

    ``failing`` is since when it has taken nothing, ``slow`` whether it took longer than two seconds for the last event
    (it is asked one at a time then, apart from those that are quick), ``former_secret_until`` until when both sign.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": _ID,
                    "org": None,
                    "url": "https://erp.example.com/shelfpulse",
                    "description": "",
                    "events": ["order.approved", "order.shipped"],
                    "enabled": True,
                    "disabled_reason": "",
                    "failing": None,
                    "slow": False,
                    "former_secret_until": None,
                    "created": "2026-01-05T08:12:31Z",
                    "version": 1,
                }
            ]
        }
    )

    id: UUID
    org: str | None
    url: str
    description: str
    events: list[str]
    enabled: bool
    disabled_reason: str
    failing: datetime | None
    slow: bool
    former_secret_until: datetime | None
    created: datetime
    version: int


class MadeWebhook(Webhook):
    """A subscription with its new secret: the only time that it can be read."""

    secret: str


class Delivery(BaseModel):
    """How far one event has come to one subscription. ``next`` is the next attempt of a pending one."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "event": "018f3b1e-0000-7000-8000-000000000021",
                    "type": "order.approved",
                    "state": "pending",
                    "attempts": 2,
                    "next": "2026-01-05T08:17:36Z",
                    "status": 503,
                    "error": "answered 503",
                    "delivered": None,
                }
            ]
        }
    )

    event: UUID
    type: str
    state: DeliveryState
    attempts: int
    next: datetime | None
    status: int | None
    error: str
    delivered: datetime | None


class ReplayRequest(Input):
    """What shall be told again: events by id, or those of a time (from, and before)."""

    model_config = ConfigDict(
        extra="forbid",
        populate_by_name=True,
        json_schema_extra={"examples": [{"from": "2026-01-05T00:00:00Z", "to": "2026-01-06T00:00:00Z"}]},
    )

    events: Annotated[list[UUID], Field(max_length=1_000)] = []
    since: Annotated[Instant | None, Field(alias="from")] = None
    until: Annotated[Instant | None, Field(alias="to")] = None

    @model_validator(mode="after")
    def _one_or_the_other(self) -> "ReplayRequest":
        if bool(self.events) is (self.since is not None):
            message = "name events, or a time that they are from"
            raise ValueError(message)
        return self


class Replayed(BaseModel):
    """How many events wait to be told again; ``more`` when there are others of that time."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"events": 17, "more": False}]})

    events: int
    more: bool


class OutboxEvent(BaseModel):
    """Something that happened, as subscribers are told of it (there as a CloudEvent of type ``shelfpulse.…``)."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "018f3b1e-0000-7000-8000-000000000021",
                    "type": "proposal.open",
                    "subject": "proposals/018f3b1e-0000-7000-8000-000000000003",
                    "at": "2026-01-05T08:12:31Z",
                    "data": {
                        "id": "018f3b1e-0000-7000-8000-000000000003",
                        "site": "sh-001",
                        "sku": "tea-500",
                        "units": 12,
                        "state": "open",
                    },
                }
            ]
        }
    )

    id: UUID
    type: str
    subject: str
    at: datetime
    data: dict[str, Any]
