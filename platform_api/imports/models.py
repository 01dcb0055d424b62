"""What imports take and give over HTTP."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel, ConfigDict

from platform_api.kit.nouns import Kind

KindName = Annotated[Kind, Query(description="What a row of the file is")]


class FaultShown(BaseModel):
    """A mistake: the row of the file (the header is row 1), the column ('' for the row as a whole), and what."""

    row: int
    column: str
    message: str


class Upload(BaseModel):
    """What makes two uploads the same one."""

    kind: Kind
    sha256: str


class Import(BaseModel):
    """A file that was checked: ``staged`` can be committed, ``refused`` has faults, ``committed`` is written.

    ``created``, ``updated`` and ``unchanged`` count rows: as they would be, or as they were when it was committed.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "018f3b1e-0000-7000-8000-000000000030",
                    "kind": "skus",
                    "state": "refused",
                    "rows": 2,
                    "created": 0,
                    "updated": 0,
                    "unchanged": 0,
                    "faults": [
                        {"row": 3, "column": "unit_weight_g", "message": "'-1': input should be greater than 0"}
                    ],
                    "uploaded": "2026-01-05T08:12:31Z",
                    "committed": None,
                }
            ]
        }
    )

    id: UUID
    kind: Kind
    state: Literal["staged", "refused", "committed"]
    rows: int
    created: int
    updated: int
    unchanged: int
    faults: list[FaultShown]
    uploaded: datetime
    committed: datetime | None
