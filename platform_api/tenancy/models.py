"""What tenancy takes and gives over HTTP."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints

from platform_api.kit.auth import Role
from platform_api.kit.inputs import Input
from platform_api.tenancy.rules import PASSWORD_MAX_CHARS

Login = Annotated[str, StringConstraints(min_length=1, max_length=64)]


class LoginRequest(Input):
    """Login name and password."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"login": "ops@example.com", "password": "correct horse battery staple"}]},
    )

    login: Login
    password: SecretStr = Field(min_length=1, max_length=PASSWORD_MAX_CHARS)


class AccessToken(BaseModel):
    """A bearer token and its life in seconds."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"access_token": "eyJhbGciOi…", "expires_in": 900}]})

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105  # the name of a scheme
    expires_in: int


class Me(BaseModel):
    """Who the credential belongs to. ``sites`` null: every site of the tenant; ``sandbox``: it has test data alone."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "login": "ops@example.com",
                    "name": "Lin Wei",
                    "role": "ops",
                    "tenant": "acme",
                    "sandbox": False,
                    "locale": "zh",
                    "sites": None,
                }
            ]
        }
    )

    login: str
    name: str
    role: Role
    tenant: str
    sandbox: bool
    locale: str
    sites: list[str] | None
