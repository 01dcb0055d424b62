"""What the stream is told from outside: environment variables, checked once at the start."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple
from urllib.parse import unquote, urlsplit

from pydantic import AliasChoices, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from contracts.errors import UserError

EPOCH_INTERVAL: Final = timedelta(milliseconds=500)
"""How often everything is committed. The command line of Bytewax takes whole seconds, hence ``cli_main``."""
RETENTION: Final = timedelta(days=400)
"""Readings older than this are refused unless ``retention_days`` says otherwise; they go in by a backfill."""
CLOCK_AHEAD: Final = timedelta(minutes=5)
"""How far a reading may lie in the future."""
QUEUE_MESSAGES_MAX: Final = 20_000
"""Messages received and not yet given to the dataflow, per source partition."""
UNSEALED_MESSAGES_MAX: Final = 40_000
"""Messages given to the dataflow and not yet proven committed, per source partition; packet ids end at 65,535."""
UNSEALED_BYTES_MAX: Final = 128 * 1024 * 1024
BATCH_MESSAGES_MAX: Final = 10_000
"""Messages that the source hands over at once."""
CONTROL_REFRESH_S: Final = 60.0
"""Registry and policies are read again at least this often, whether or not a NOTIFY came."""
RETRY_FIRST_S: Final = 0.2
RETRY_LONGEST_S: Final = 10.0
MQTT_KEEPALIVE_S: Final = 60
MQTT_RECONNECT_S: Final = (1, 30)


class Broker(NamedTuple):
    """Where the broker is and who we are there."""

    host: str
    port: int
    user: str
    password: str
    tls: bool


class StreamSettings(BaseSettings):
    """Settings of one stream process; ``load_settings`` turns mistakes into UserError.

    ``dsn`` libpq URL of the database. ``mqtt_url`` ``mqtt://user:password@host:port``. ``state`` directory of the
    recovery store. ``metrics_port`` 0 for none. ``patience_s``: how long one epoch is tried again while the database
    is away, before the process gives up and leaves the rest to its supervisor. ``retention_days``: older readings are
    refused, as the worker would drop them.
    """

    model_config = SettingsConfigDict(env_prefix="SHELFPULSE_", extra="ignore", populate_by_name=True)

    dsn: Annotated[str, Field(min_length=1)]
    mqtt_url: Annotated[str, Field(validation_alias=AliasChoices("MQTT_URL", "SHELFPULSE_MQTT_URL", "mqtt_url"))]
    state: Path = Path("/var/lib/shelfpulse")
    metrics_port: Annotated[int, Field(ge=0, le=65_535)] = 0
    metrics_host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    log_format: Annotated[str, Field(pattern="^(json|console)$")] = "json"
    patience_s: Annotated[float, Field(gt=0, le=86_400)] = 900.0
    retention_days: Annotated[int, Field(ge=1, le=36_500)] = RETENTION.days

    @property
    def retention(self) -> timedelta:
        """Age from which readings are refused."""
        return timedelta(days=self.retention_days)

    @property
    def recovery_dir(self) -> Path:
        """Directory of Bytewax's recovery store."""
        return self.state / "stream" / "recovery"

    @property
    def broker(self) -> Broker:
        """Broker of ``mqtt_url``. Raises UserError."""
        return parse_mqtt_url(self.mqtt_url)


def load_settings(**given: Any) -> StreamSettings:
    """Settings from the environment; ``given`` wins over it. Raises UserError that names the variable."""
    try:
        settings = StreamSettings(**given)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else "settings"
        variable = "MQTT_URL" if name.lower().endswith("mqtt_url") else f"SHELFPULSE_{name.upper()}"
        msg = f"{variable}: {first['msg']}"
        raise UserError(msg, "set it in the environment, see docs/runbook.md") from error
    parse_mqtt_url(settings.mqtt_url)
    return settings


def parse_mqtt_url(url: str) -> Broker:
    """Read ``mqtt://user:password@host:port`` (``mqtts`` for TLS). Raises UserError."""
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError as error:
        msg = f"MQTT_URL: {error}"
        raise UserError(msg) from error
    if parts.scheme not in {"mqtt", "mqtts"} or not parts.hostname:
        msg = "MQTT_URL must look like mqtt://user:password@host:port"
        raise UserError(msg)
    tls = parts.scheme == "mqtts"
    return Broker(
        parts.hostname,
        port or (8883 if tls else 1883),
        unquote(parts.username or ""),
        unquote(parts.password or ""),
        tls,
    )
