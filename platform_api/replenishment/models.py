"""What replenishment gives over HTTP. Quantities are units of the SKU, times RFC 3339 UTC."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from contracts.facts import ProposalState
from platform_api.kit.inputs import Input
from platform_api.kit.money import MoneyText

UNITS_MAX = 100_000


class Proposal(BaseModel):
    """A suggested replenishment of one SKU at one site, with the numbers that led to it.

    ``outcome`` says how it is fulfilled (``backroom``, ``transfer``, ``order``) or that something keeps it from it
    (``blocked``); ``note`` says what, ``order`` is the dealer's order. ``considered`` are the places that were looked
    at, with the units that they have to spare and what one costs from there (minor units).
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "018f3b1e-0000-5000-8000-000000000002",
                    "site": "sh-001",
                    "sku": "tea-500",
                    "name_zh": "绿茶 500 毫升",
                    "name_en": "Green tea 500 ml",
                    "cycle": 3,
                    "units": 16,
                    "state": "open",
                    "evidence": {"on_shelf": 8, "on_order": 0, "reorder_point": 8, "target": 24},
                    "triggered": "2026-01-05T08:12:31Z",
                    "created": "2026-01-05T08:12:51Z",
                    "updated": "2026-01-05T08:12:51Z",
                    "version": 1,
                    "outcome": None,
                    "note": "",
                    "order": None,
                    "considered": [{"source": "sh-001", "units": 3, "cost_minor": 0}],
                }
            ]
        }
    )

    id: UUID
    site: str
    sku: str
    name_zh: str
    name_en: str
    cycle: int
    units: int
    state: ProposalState
    evidence: dict[str, Any]
    triggered: datetime
    created: datetime
    updated: datetime
    version: int
    outcome: str | None
    note: str
    order: UUID | None
    considered: list[dict[str, Any]] = []


class PolicyRequest(Input):
    """When a shelf is refilled, up to how much, and who decides: ``off``, ``suggest`` or ``auto``.

    Units of the SKU at the site, all of its slots together. ``auto`` orders by itself, at most once in ``cooldown_s``,
    and never less than ``min_order`` units (the supplier's minimum).
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"mode": "auto", "reorder_point": 8, "target": 24, "cooldown_s": 3600}]},
    )

    mode: Literal["off", "suggest", "auto"]
    reorder_point: Annotated[int, Field(ge=0, le=UNITS_MAX)]
    target: Annotated[int, Field(ge=1, le=UNITS_MAX)]
    cooldown_s: Annotated[int, Field(ge=0, le=30 * 86_400)] = 3_600
    min_order: Annotated[int, Field(ge=0, le=UNITS_MAX)] = 0
    tuned_nightly: bool = False

    @model_validator(mode="after")
    def _room(self) -> Self:
        if self.target <= self.reorder_point:
            msg = "target is above reorder_point"
            raise ValueError(msg)
        return self


class Policy(PolicyRequest):
    """A policy of one SKU at one site."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "site": "sh-001",
                    "sku": "tea-500",
                    "mode": "auto",
                    "reorder_point": 8,
                    "target": 24,
                    "cooldown_s": 3600,
                    "min_order": 0,
                    "tuned_nightly": False,
                    "updated": "2026-01-05T08:12:51Z",
                }
            ]
        }
    )

    site: str
    sku: str
    updated: datetime


class LaneRequest(Input):
    """What moving a unit from one site to another costs; not ``allowed``: no proposal moves anything there."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"cost": {"amount": "0.40", "currency": "CNY"}}]}
    )

    cost: MoneyText
    allowed: bool = True

    @model_validator(mode="after")
    def _no_gain(self) -> Self:
        if self.cost.minor < 0:
            msg = "a way costs nothing or something"
            raise ValueError(msg)
        return self


class TransferLane(LaneRequest):
    """A way between two sites, in one direction."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "origin": "wh-east",
                    "destination": "sh-001",
                    "cost": {"amount": "0.40", "currency": "CNY"},
                    "allowed": True,
                }
            ]
        }
    )

    origin: str
    destination: str
