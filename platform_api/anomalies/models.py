"""What anomalies take and give over HTTP. Times are RFC 3339 UTC."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import (
    BaseModel,
    ConfigDict,
    GetJsonSchemaHandler,
    SerializerFunctionWrapHandler,
    StringConstraints,
    model_serializer,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from contracts.facts import AnomalyKind, AnomalyState
from platform_api.anomalies.rules import Label
from platform_api.kit.inputs import Input

NOTE_MAX_CHARS = 1_000
PLACES = ("series", "slot", "device", "gateway")


class Anomaly(BaseModel):
    """Something that seems wrong, at one place: exactly one of series, slot, device, gateway is there.

    ``end`` null while it lasts; ``severity`` and ``score`` 0 … 1; ``evidence`` numbers that a person can check.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "018f3b1e-0000-5000-8000-000000000001",
                    "kind": "stuck_sensor",
                    "site": "sh-001",
                    "slot": "gw-sh-001/s01-b1",
                    "start": "2026-01-05T08:00:00Z",
                    "end": None,
                    "detected": "2026-01-05T08:10:00Z",
                    "severity": 0.7,
                    "score": 0.998,
                    "evidence": {"run_length": 600},
                    "state": "open",
                    "label": None,
                    "note": "",
                    "decided_by": None,
                    "decided_at": None,
                    "version": 1,
                }
            ]
        }
    )

    id: UUID
    kind: AnomalyKind
    site: str
    series: str | None = None
    slot: str | None = None
    device: str | None = None
    gateway: str | None = None
    start: datetime
    end: datetime | None
    detected: datetime
    severity: float
    score: float
    evidence: dict[str, Any]
    state: AnomalyState
    label: Label | None
    note: str
    decided_by: str | None
    decided_at: datetime | None
    version: int

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The fields, for the OpenAPI document: the serializer below only leaves keys out."""
        return handler({key: value for key, value in core_schema.items() if key != "serialization"})

    @model_serializer(mode="wrap")
    def _only_its_place(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = handler(self)
        return {key: value for key, value in written.items() if key not in PLACES or value is not None}


class Labelling(Input):
    """What an anomaly really was; tells the detector of its place how strict to be."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"label": "expected"}]})

    label: Label
    note: Annotated[str, StringConstraints(max_length=NOTE_MAX_CHARS)] | None = None


class Decision(Input):
    """What a person adds to a decision. ``label`` says whether it was a true anomaly, a false one, or expected."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"label": "true", "note": "scale replaced"}]}
    )

    label: Label | None = None
    note: Annotated[str, StringConstraints(max_length=NOTE_MAX_CHARS)] | None = None
