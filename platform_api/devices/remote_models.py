"""What claims, commands and configurations take and give over HTTP. Times are RFC 3339 UTC."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from contracts.commands import CommandKind
from contracts.provision import CODE_PATTERN, MACHINE_PATTERN
from platform_api.devices import rules
from platform_api.devices.rules import ClaimState
from platform_api.kit.inputs import Input

# The contract's patterns are for Python's re; pydantic's engine has no \Z, and its $ is the very end.
_CODE = CODE_PATTERN.removesuffix(r"\Z") + "$"
_MACHINE = MACHINE_PATTERN.removesuffix(r"\Z") + "$"

_CLAIM: JsonDict = {
    "id": "018f3b1e-0000-4000-8000-00000000000a",
    "gateway": "gw-sh-001",
    "state": "open",
    "created_by": "Lin Wei",
    "created_at": "2026-01-05T08:00:00Z",
    "expires_at": "2026-01-06T08:00:00Z",
    "used_at": None,
    "used_machine": None,
}


class InvitationRequest(Input):
    """How long the code may be redeemed."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"expires_in_s": 86_400}]})

    expires_in_s: Annotated[int, Field(ge=rules.CLAIM_LIFE_MIN_S, le=rules.CLAIM_LIFE_MAX_S)] = rules.CLAIM_LIFE_S


class Claim(BaseModel):
    """An invitation. ``used_machine`` is the SHA-256 of the machine's id that redeemed it."""

    model_config = ConfigDict(json_schema_extra={"examples": [_CLAIM]})

    id: UUID
    gateway: str
    state: ClaimState
    created_by: str | None
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None
    used_machine: str | None


class NewClaim(BaseModel):
    """An invitation with its code, shown this once."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": _CLAIM["id"],
                    "gateway": _CLAIM["gateway"],
                    "code": "7KZ3M-2Q9XA-0BCDE-FGHJK",
                    "expires_at": _CLAIM["expires_at"],
                }
            ]
        }
    )

    id: UUID
    gateway: str
    code: str
    expires_at: datetime


class RedeemRequest(BaseModel):
    """A claim code, and the machine that shall be bound to it. Keys of later agents are passed over."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"code": "7KZ3M-2Q9XA-0BCDE-FGHJK", "machine": "5f" * 32, "agent": "shelfpulse/0.3.1"}]
        }
    )

    code: Annotated[str, Field(pattern=_CODE)]
    machine: Annotated[str, Field(pattern=_MACHINE)]
    agent: Annotated[str, Field(max_length=64)] = ""


class ProvisionAnswer(BaseModel):
    """``contracts.provision.Provision``, as the OpenAPI document shows it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "tenant": "acme",
                    "site": "sh-001",
                    "gateway": "gw-sh-001",
                    "broker_url": "mqtts://broker.example:8883",
                    "username": "acme/gw-sh-001",
                    "secret": "m3X…",
                    "ca_pem": "",
                    "update_key": "",
                }
            ]
        }
    )

    tenant: str
    site: str
    gateway: str
    broker_url: str
    username: str
    secret: str
    ca_pem: str
    update_key: str


class CommandState(StrEnum):
    """Where a command is: queued -> sent -> acked -> done | failed | expired."""

    QUEUED = "queued"
    SENT = "sent"
    ACKED = "acked"
    DONE = "done"
    FAILED = "failed"
    EXPIRED = "expired"


class CommandRequest(Input):
    """What a gateway shall do, once, unless it hears of it too late."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"kind": "identify", "args": {}, "expires_in_s": 300}]},
    )

    kind: CommandKind
    args: dict[str, Any] = {}
    expires_in_s: Annotated[int, Field(ge=rules.COMMAND_LIFE_MIN_S, le=rules.COMMAND_LIFE_MAX_S)] = rules.COMMAND_LIFE_S


class Command(BaseModel):
    """A command and what became of it. ``result`` and ``error`` are the gateway's words."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "0b7e6c1e-58a4-4a0e-9d55-6f0d3c1f7a11",
                    "gateway": "gw-sh-001",
                    "kind": "identify",
                    "args": {},
                    "state": "done",
                    "result": {"blinked_s": 10},
                    "error": "",
                    "created_by": "Lin Wei",
                    "created_at": "2026-01-05T08:00:00Z",
                    "expires_at": "2026-01-05T08:05:00Z",
                    "sent_at": "2026-01-05T08:00:00.2Z",
                    "acked_at": "2026-01-05T08:00:00.9Z",
                    "finished_at": "2026-01-05T08:00:11Z",
                }
            ]
        }
    )

    id: str
    gateway: str
    kind: CommandKind
    args: dict[str, Any]
    state: CommandState
    result: dict[str, Any]
    error: str
    created_by: str | None
    created_at: datetime
    expires_at: datetime
    sent_at: datetime | None
    acked_at: datetime | None
    finished_at: datetime | None


class ConfigState(StrEnum):
    """Where a version is: desired -> sent -> applied | refused, or superseded before the gateway answered."""

    DESIRED = "desired"
    SENT = "sent"
    APPLIED = "applied"
    REFUSED = "refused"
    SUPERSEDED = "superseded"


class ConfigRequest(Input):
    """The whole configuration that a gateway shall have: tables as in ``edge.toml``, but who it is."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"config": {"report": {"heartbeat_s": 30.0}}}]},
    )

    config: dict[str, Any]


class ConfigVersion(BaseModel):
    """A version that was desired. ``error`` is why the gateway refused it or went back."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "version": 7,
                    "config": {"report": {"heartbeat_s": 30.0}},
                    "sha256": "b0" * 32,
                    "state": "applied",
                    "error": "",
                    "created_by": "Lin Wei",
                    "created_at": "2026-01-05T08:00:00Z",
                    "sent_at": "2026-01-05T08:00:01Z",
                    "reported_at": "2026-01-05T08:00:03Z",
                }
            ]
        }
    )

    version: int
    config: dict[str, Any]
    sha256: str
    state: ConfigState
    error: str
    created_by: str | None
    created_at: datetime
    sent_at: datetime | None
    reported_at: datetime | None
