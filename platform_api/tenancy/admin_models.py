"""What the administration of a tenant takes and gives over HTTP."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints

from platform_api.kit.auth import Role, Scope
from platform_api.kit.inputs import Input
from platform_api.kit.names import ORG_PATTERN
from platform_api.kit.times import Instant
from platform_api.tenancy.rules import LOGIN_PATTERN, PASSWORD_MAX_CHARS, PASSWORD_MIN_CHARS

OrgId = Annotated[str, StringConstraints(pattern=ORG_PATTERN)]
OrgKind = Literal["brand", "region", "dealer", "store"]
Shown = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]
Segment = Annotated[str, StringConstraints(max_length=64, pattern=r"^[^\x00]*$")]
Language = Literal["en", "zh"]


class OrgRequest(Input):
    """An organisation as it shall be. ``segment`` names a group of dealers for price lists."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"parent": "brand", "kind": "dealer", "name": "East China Trading", "segment": "gold"}]
        },
    )

    parent: OrgId | None = None
    kind: OrgKind
    name: Shown
    segment: Segment = ""


class NewOrg(OrgRequest):
    """A new organisation."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"id": "dealer-south", "parent": "brand", "kind": "dealer", "name": "South China Trading"}]
        }
    )

    id: OrgId


class Org(BaseModel):
    """An organisation of the tree: brand, region, dealer or store."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "dealer-east",
                    "parent": "brand",
                    "kind": "dealer",
                    "name": "East China Trading",
                    "segment": "gold",
                    "version": 1,
                }
            ]
        }
    )

    id: str
    parent: str | None
    kind: OrgKind
    name: str
    segment: str
    version: int


class UserRequest(Input):
    """A user as they shall be."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"role": "dealer", "org": "dealer-east", "name": "Li Jianguo"}]},
    )

    role: Role
    org: OrgId | None = None
    name: Shown
    locale: Language = "en"
    disabled: bool = False


class NewUser(Input):
    """A new user; ``password`` is told to them by whoever makes them.

    Without one they log in by the tenant's provider of identities, which knows their login as their address, or only
    API keys act for them.
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "login": "li@example.com",
                    "password": "correct horse battery staple",
                    "role": "dealer",
                    "org": "dealer-east",
                    "name": "Li Jianguo",
                }
            ]
        },
    )

    login: Annotated[str, StringConstraints(pattern=LOGIN_PATTERN)]
    password: SecretStr | None = Field(default=None, min_length=PASSWORD_MIN_CHARS, max_length=PASSWORD_MAX_CHARS)
    role: Role
    org: OrgId | None = None
    name: Shown
    locale: Language = "en"


class User(BaseModel):
    """Somebody who can log in."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "018f3b1e-0000-7000-8000-000000000001",
                    "login": "li@example.com",
                    "name": "Li Jianguo",
                    "role": "dealer",
                    "org": "dealer-east",
                    "locale": "zh",
                    "disabled": False,
                    "created": "2026-01-05T08:12:31Z",
                    "version": 1,
                }
            ]
        }
    )

    id: UUID
    login: str
    name: str
    role: Role
    org: str | None
    locale: str
    disabled: bool
    created: datetime
    version: int


class NewKey(Input):
    """An API key that shall act for a user."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"login": "li@example.com", "name": "ERP", "scopes": ["read"]}]},
    )

    login: Annotated[str, StringConstraints(pattern=LOGIN_PATTERN)]
    name: Shown
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=len(Scope))] = list(Scope)
    expires: Instant | None = None


class ApiKeyShown(BaseModel):
    """An API key without its secret."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "018f3b1e-0000-7000-8000-000000000002",
                    "prefix": "k3j9x0aa",
                    "login": "li@example.com",
                    "name": "ERP",
                    "scopes": ["read"],
                    "created": "2026-01-05T08:12:31Z",
                    "expires": None,
                    "revoked": None,
                }
            ]
        }
    )

    id: UUID
    prefix: str
    login: str
    name: str
    scopes: list[Scope]
    created: datetime
    expires: datetime | None
    revoked: datetime | None


class MadeKey(BaseModel):
    """A new API key: the only time that it can be read."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"key": "spk_test_k3j9x0aa_…", "prefix": "k3j9x0aa"}]})

    key: str
    prefix: str


class AuditEntry(BaseModel):
    """One write that succeeded: who, by which key ('' for a session), what, about what."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": 17,
                    "at": "2026-01-05T08:12:31Z",
                    "login": "hq@example.com",
                    "by_key": "",
                    "action": "POST /v1/proposals/{proposal_id}:approve",
                    "subject": {"proposal_id": "018f3b1e-0000-7000-8000-000000000002"},
                    "detail": {},
                }
            ]
        }
    )

    id: int
    at: datetime
    login: str
    by_key: str
    action: str
    subject: dict[str, Any]
    detail: dict[str, Any]
