"""What the API needs to be told, from the environment (prefix ``SHELFPULSE_``)."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from contracts.errors import UserError
from platform_api.kit.destinations import Network, Reach, networks_of
from platform_api.kit.provisioning import Provisioning
from platform_api.tenancy.oidc import CALLBACK_PATH, Provider, is_protected

SECRET_MIN_CHARS = 32

Networks = Annotated[tuple[Network, ...], NoDecode, BeforeValidator(networks_of)]


class Settings(BaseSettings):
    """Settings of ``shelfpulse api``.

    ``dsn`` is a libpq URL; ``secret`` the key that signs access tokens; ``metrics_port`` 0 serves no metrics.
    ``gateway_broker_url`` is where gateways find the broker (without user and password), ``gateway_ca_file`` the PEM of
    the authority that they shall believe and ``gateway_update_key_file`` the public key of updates: told when a claim
    code is redeemed. Without the first no code can be. ``webhook_loopback`` lets webhooks go to this machine, and over
    plain HTTP: for trials; ``webhook_networks`` to private networks that hold nothing but what tenants may ask.
    ``oidc_issuer`` names the provider of identities by which people of ``oidc_tenant`` log in, ``oidc_name`` is what
    the button calls it, ``public_url`` is where browsers find this platform.
    """

    model_config = SettingsConfigDict(env_prefix="SHELFPULSE_", frozen=True)

    dsn: SecretStr
    secret: SecretStr = Field(min_length=SECRET_MIN_CHARS)
    log_format: Literal["json", "console"] = "json"
    metrics_port: int = Field(default=0, ge=0, le=65_535)
    metrics_host: str = Field(default="127.0.0.1", min_length=1)
    pool_max: int = Field(default=10, ge=1, le=100)
    gateway_broker_url: str = Field(default="", pattern=r"^(mqtts?://[^@/\s]+)?$")
    gateway_ca_file: Path | None = None
    gateway_update_key_file: Path | None = None
    webhook_loopback: bool = False
    webhook_networks: Networks = ()
    public_url: str = Field(default="", pattern=r"^(https?://[^/?#@\s]+)?$")
    oidc_issuer: str = Field(default="", pattern=r"^(https?://[^?#@\s]+)?$")
    oidc_client_id: str = ""
    oidc_client_secret: SecretStr = SecretStr("")
    oidc_tenant: str = ""
    oidc_name: str = Field(default="OpenID", min_length=1, max_length=40)

    def provider(self) -> Provider | None:
        """The provider of identities, None when none is named. Raises UserError when half of it is told."""
        needed = ("oidc_issuer", "oidc_client_id", "oidc_tenant", "public_url")
        if not self.oidc_issuer:
            return None
        if missing := [f"SHELFPULSE_{name.upper()}" for name in needed if not getattr(self, name)]:
            raise UserError(f"log-in by OIDC also needs {', '.join(missing)}", "or unset SHELFPULSE_OIDC_ISSUER")
        for name in ("oidc_issuer", "public_url"):
            if not is_protected(getattr(self, name)):
                raise UserError(f"SHELFPULSE_{name.upper()} must be HTTPS", "only on this machine it may be HTTP")
        return Provider(
            issuer=self.oidc_issuer,
            client_id=self.oidc_client_id,
            client_secret=self.oidc_client_secret.get_secret_value(),
            tenant_id=self.oidc_tenant,
            name=self.oidc_name,
            redirect_uri=self.public_url + CALLBACK_PATH,
        )

    @property
    def webhook_reach(self) -> Reach:
        """Where webhooks may go."""
        return Reach(loopback=self.webhook_loopback, networks=self.webhook_networks)

    def provisioning(self) -> Provisioning:
        """What gateways are told. Raises UserError for a file that cannot be read."""
        return Provisioning(self.gateway_broker_url, _text(self.gateway_ca_file), _text(self.gateway_update_key_file))


class DatabaseSettings(BaseSettings):
    """Settings of the commands that only touch the database (``users add``, ``keys add``)."""

    model_config = SettingsConfigDict(env_prefix="SHELFPULSE_", frozen=True)

    dsn: SecretStr


def load() -> Settings:
    """Read the settings. Raises UserError that names each bad variable."""
    try:
        return Settings()  # type: ignore[call-arg]  # filled from the environment
    except ValidationError as error:
        raise _named(error) from error


def load_dsn() -> str:
    """The database's address alone. Raises UserError."""
    try:
        return DatabaseSettings().dsn.get_secret_value()  # type: ignore[call-arg]  # filled from the environment
    except ValidationError as error:
        raise _named(error) from error


def _text(file: Path | None) -> str:
    if file is None:
        return ""
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        message = f"cannot read {file}: {error}"
        raise UserError(message, "check SHELFPULSE_GATEWAY_CA_FILE and SHELFPULSE_GATEWAY_UPDATE_KEY_FILE") from error


def _named(error: ValidationError) -> UserError:
    problems = "; ".join(
        f"SHELFPULSE_{'_'.join(map(str, item['loc'])).upper()}: {item['msg'].lower()}"
        for item in error.errors(include_input=False, include_url=False)
    )
    return UserError(problems, "`shelfpulse up` sets all of them for a local stack")
