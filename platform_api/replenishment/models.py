"""What replenishment gives over HTTP. Quantities are units of the SKU, times RFC 3339 UTC."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from contracts.facts import ProposalState


class Proposal(BaseModel):
    """A suggested replenishment of one SKU at one site, with the numbers that led to it."""

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
