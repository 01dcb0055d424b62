"""``shelfpulse access``: keeps the broker's users and access list equal to the database."""

import signal
import threading
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import unquote, urlsplit

import typer
from pydantic import AliasChoices, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from contracts import logs
from contracts.errors import UserError
from deploy.access.entries import MosquittoSpelling, NatsSpelling, Scope, Spelling, StaticUser
from deploy.access.files import AccessFolder
from deploy.access.keeper import Keeper, Metrics, sync_once
from deploy.serving import serve
from platform_api.devices.secrets import hash_secret

PID_FILE: Final = "broker.pid"

app = typer.Typer(help="The broker's users and access list, made from the database.", no_args_is_help=True)


class BrokerName(StrEnum):
    """Brokers whose files we can write."""

    MOSQUITTO = "mosquitto"
    NATS = "nats"


SPELLINGS: Final[dict[BrokerName, Spelling]] = {
    BrokerName.MOSQUITTO: MosquittoSpelling(),
    BrokerName.NATS: NatsSpelling(),
}


class Settings(BaseSettings):
    """Settings of ``shelfpulse access``, from the environment.

    ``mqtt_url`` names the platform's own user, which the list gets too. ``access_dir`` is the folder of the broker's
    files, and ``access_pid_file`` where the broker writes its process id. ``access_shared_url`` names a user that may
    speak for every gateway: for simulators, never in production.
    """

    model_config = SettingsConfigDict(env_prefix="SHELFPULSE_", frozen=True, populate_by_name=True)

    dsn: SecretStr
    mqtt_url: SecretStr = Field(validation_alias=AliasChoices("MQTT_URL", "SHELFPULSE_MQTT_URL"))
    access_dir: Path
    access_broker: BrokerName = BrokerName.MOSQUITTO
    access_pid_file: Path | None = None
    access_shared_url: SecretStr = SecretStr("")
    log_format: Literal["json", "console"] = "json"
    metrics_port: int = Field(default=0, ge=0, le=65_535)
    metrics_host: str = Field(default="127.0.0.1", min_length=1)

    def keeper(self, metrics: Metrics) -> Keeper:
        """The keeper of these settings. Raises UserError for a URL without a user."""
        spelling = SPELLINGS[self.access_broker]
        folder = AccessFolder(
            self.access_dir, self.access_pid_file or self.access_dir / PID_FILE, frozenset(spelling.programs)
        )
        users = [static_user(self.mqtt_url.get_secret_value(), Scope.PLATFORM)]
        if shared := self.access_shared_url.get_secret_value():
            users.append(static_user(shared, Scope.ANY_DEVICE))
        return Keeper(spelling, folder, users, metrics)


def load() -> Settings:
    """Read the settings. Raises UserError that names each bad variable."""
    try:
        return Settings()  # type: ignore[call-arg]  # filled from the environment
    except ValidationError as error:
        found = [
            (_variable(str(item["loc"][0])), item["msg"].lower())
            for item in error.errors(include_input=False, include_url=False)
        ]
        named = "; ".join(f"{variable}: {message}" for variable, message in found)
        raise UserError(named, "docs/runbook.md lists the settings") from error


def _variable(name: str) -> str:
    return "MQTT_URL" if name.upper().endswith("MQTT_URL") else f"SHELFPULSE_{name.upper()}"


def static_user(url: str, scope: Scope) -> StaticUser:
    """The user that a broker's URL names. Raises UserError when it names none."""
    parts = urlsplit(url)
    if not parts.username or not parts.password:
        message = "the broker's URL has no user and password"
        raise UserError(message, "write it as mqtt://user:password@host:port")
    return StaticUser(unquote(parts.username), hash_secret(unquote(parts.password)), scope)


@app.callback()
def main() -> None:
    """The broker's users and access list."""


@app.command()
def run(
    log_format: Annotated[Literal["json", "console"] | None, typer.Option(help="Shape of the log lines.")] = None,
) -> None:
    """Keep the list until SIGTERM or SIGINT: at once when a gateway is let in or out, and every 30 s."""
    settings = load()
    logs.configure("access", format_=log_format or settings.log_format)
    metrics = Metrics()
    keeper = settings.keeper(metrics)
    serve((settings.metrics_host, settings.metrics_port), metrics.registry, metrics.trouble)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    keeper.run(settings.dsn.get_secret_value(), stopping)


@app.command()
def write() -> None:
    """Write the list once, before a broker is started that would not start without its files."""
    settings = load()
    logs.configure("access", format_=settings.log_format)
    sync_once(settings.keeper(Metrics()), settings.dsn.get_secret_value(), patience_s=0.0)
