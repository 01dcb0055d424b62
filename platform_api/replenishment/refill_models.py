"""What stores shall put on their shelves, over HTTP. Quantities are units of the SKU, times RFC 3339 UTC."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from platform_api.replenishment.refill_rules import RefillState


class RefillTask(BaseModel):
    """Units that are in the store and shall lie on its shelves; ``seen`` is what the shelves saw of them.

    ``source`` is what brought them: a ``shipment``, or a ``proposal`` that was fulfilled by a transfer or from the back
    room; ``source_id`` which. The shelves close it; a person may cancel it.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "018f3b1e-0000-7000-8000-00000000000b",
                    "site": "sh-001",
                    "sku": "tea-500",
                    "name_zh": "绿茶 500 毫升",
                    "name_en": "Green tea 500 ml",
                    "units": 16,
                    "seen": 9,
                    "state": "open",
                    "source": "shipment",
                    "source_id": "018f3b1e-0000-7000-8000-000000000008",
                    "since": "2026-01-05T08:12:31Z",
                    "created": "2026-01-06T09:30:00Z",
                    "closed": None,
                    "closed_by": "",
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
    units: int
    seen: int
    state: RefillState
    source: str
    source_id: UUID
    since: datetime
    created: datetime
    closed: datetime | None
    closed_by: str
    version: int
