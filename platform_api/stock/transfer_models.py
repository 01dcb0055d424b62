"""What transfers that somebody asks for take and give over HTTP. Quantities are units of the SKU."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from platform_api.kit.inputs import Input
from platform_api.stock.models import LINES_MAX, UNITS_MAX, Reason, Sku, Transfer
from platform_api.stock.transfer_rules import Progress, TransferState

Counts = Annotated[dict[Sku, Annotated[int, Field(ge=0, le=UNITS_MAX)]], Field(max_length=LINES_MAX)]


class TransferRequest(Transfer):
    """Units that ``to`` asks ``from`` for. What is there is held for them; nothing moves before they are sent."""


class SendRequest(Input):
    """Units by SKU that leave now: all that waits and is there unless given."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"units": {"tea-500": 20}}]})

    units: Counts | None = None


class ArrivalRequest(Input):
    """Units by SKU that have come (all that is on its way unless given), and those that never will: a loss."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"received": {"tea-500": 18}, "missing": {"tea-500": 2}}]}
    )

    received: Counts | None = None
    missing: Counts = {}


class CloseRequest(Input):
    """Why the rest is not sent any more."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"reason": "the season is over"}]})

    reason: Reason


class TransferLine(BaseModel):
    """A line: ``waiting`` units have not left, of which ``held`` ones nobody else gets; ``on_the_way`` ones have."""

    sku: str
    units: int
    held: int
    sent: int
    received: int
    missing: int
    given_up: int
    waiting: int
    on_the_way: int


class TransferShown(BaseModel):
    """A transfer that was asked for, and how far it is; ``proposal`` is what asked for it, null for people."""

    model_config = ConfigDict(
        populate_by_name=True,
        json_schema_extra={
            "examples": [
                {
                    "id": "018f3b1e-0000-7000-8000-00000000000a",
                    "from": "wh-east",
                    "to": "sh-001",
                    "state": "part_sent",
                    "reference": "",
                    "reason": "",
                    "proposal": None,
                    "created": "2026-01-05T08:12:31Z",
                    "updated": "2026-01-05T09:12:31Z",
                    "version": 2,
                    "lines": [
                        {
                            "sku": "tea-500",
                            "units": 30,
                            "held": 10,
                            "sent": 20,
                            "received": 0,
                            "missing": 0,
                            "given_up": 0,
                            "waiting": 10,
                            "on_the_way": 20,
                        }
                    ],
                }
            ]
        },
    )

    id: UUID
    from_: Annotated[str, Field(alias="from")]
    to: str
    state: TransferState
    reference: str
    reason: str
    proposal: UUID | None
    created: datetime
    updated: datetime
    version: int
    lines: list[TransferLine]


def progress_of(line: Mapping[str, Any]) -> Progress:
    """How far a line is."""
    return Progress(**{name: line[name] for name in ("units", "held", "sent", "received", "missing", "given_up")})


def shown(row: Mapping[str, Any]) -> TransferShown:
    """A transfer from its row."""
    lines = []
    for line in row["lines"]:
        it = progress_of(line)
        lines.append(TransferLine(**line, waiting=it.waiting, on_the_way=it.on_the_way))
    return TransferShown(
        id=row["transfer_id"],
        from_=row["origin"],
        to=row["destination"],
        created=row["created_at"],
        updated=row["updated_at"],
        proposal=row["proposal_id"],
        lines=lines,
        **{name: row[name] for name in ("state", "reference", "reason", "version")},
    )
