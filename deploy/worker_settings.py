"""Settings of the worker, from the environment."""

from datetime import timedelta
from typing import Literal, Self

from pydantic import AliasChoices, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from contracts.errors import UserError
from platform_api.kit.destinations import Reach
from platform_api.settings import Networks
from platform_api.webhooks.delivering import TIMEOUT_S, Sending


class Settings(BaseSettings):
    """Settings of the worker, from the environment.

    ``mqtt_url`` is the platform's broker: without it commands and configurations wait for a worker that has one.
    ``retention_days`` is the age at which raw readings are dropped, ``rollup_days`` that of rollups by the minute
    (those by the hour and day stay), ``quarantine_days`` that of payloads in quarantine (their rows stay).
    ``webhook_loopback`` lets webhooks go to this machine, and over plain HTTP: for trials; ``webhook_networks`` to
    private networks; ``webhook_timeout_s`` is how long an endpoint has to answer.
    """

    model_config = SettingsConfigDict(env_prefix="SHELFPULSE_", frozen=True)

    dsn: SecretStr
    mqtt_url: SecretStr = Field(
        default=SecretStr(""), validation_alias=AliasChoices("MQTT_URL", "SHELFPULSE_MQTT_URL", "mqtt_url")
    )
    log_format: Literal["json", "console"] = "json"
    metrics_port: int = Field(default=0, ge=0, le=65_535)
    metrics_host: str = Field(default="127.0.0.1", min_length=1)
    retention_days: int = Field(default=400, ge=1, le=36_500)
    rollup_days: int = Field(default=1_100, ge=2, le=36_500)
    quarantine_days: int = Field(default=90, ge=1, le=36_500)
    webhook_loopback: bool = False
    webhook_networks: Networks = ()
    webhook_timeout_s: float = Field(default=TIMEOUT_S, ge=0.5, le=60)

    @model_validator(mode="after")
    def _minutes_outlive_readings(self) -> Self:
        if self.rollup_days <= self.retention_days:
            message = f"rollups are made of readings: keep them longer than {self.retention_days} days"
            raise ValueError(message)
        return self

    @property
    def sending(self) -> Sending:
        """How webhooks are sent."""
        reach = Reach(loopback=self.webhook_loopback, networks=self.webhook_networks)
        return Sending(reach=reach, timeout_s=self.webhook_timeout_s)

    @property
    def keep_readings(self) -> timedelta:
        """How long raw readings are kept."""
        return timedelta(days=self.retention_days)

    @property
    def keep_minutes(self) -> timedelta:
        """How long rollups by the minute are kept."""
        return timedelta(days=self.rollup_days)

    @property
    def keep_payloads(self) -> timedelta:
        """How long payloads in quarantine are kept."""
        return timedelta(days=self.quarantine_days)


def load() -> Settings:
    """Read the settings. Raises UserError that names each bad variable."""
    try:
        return Settings()  # type: ignore[call-arg]  # filled from the environment
    except ValidationError as error:
        named = "; ".join(
            f"SHELFPULSE_{'_'.join(map(str, item['loc'])).upper()}: {item['msg'].lower()}"
            for item in error.errors(include_input=False, include_url=False)
        )
        raise UserError(named, "`shelfpulse up` sets all of them for a local stack") from error
