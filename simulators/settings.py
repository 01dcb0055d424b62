"""Where the stack is that a simulator talks to: the environment, else ``stack.json`` of the running local stack."""

import os
from pathlib import Path
from typing import Final

import msgspec

from contracts.errors import UserError

STACK_FILE: Final = "stack.json"
DEFAULT_TENANT: Final = "load"


class _Stack(msgspec.Struct, frozen=True):
    """What simulators need to know of the file that ``shelfpulse up`` writes."""

    dsn: str
    device_mqtt_url: str
    api_url: str = ""
    api_key: str = ""
    tenant: str = ""


def state_directory() -> Path:
    """SHELFPULSE_STATE, else where ``shelfpulse up`` keeps its state."""
    if given := os.environ.get("SHELFPULSE_STATE"):
        return Path(given)
    if os.geteuid() == 0:
        return Path("/var/lib/shelfpulse")
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(home) / "shelfpulse"


def mqtt_url() -> str:
    """Broker for devices: MQTT_URL or SHELFPULSE_MQTT_URL, else the running stack's. Raises UserError."""
    given = os.environ.get("MQTT_URL") or os.environ.get("SHELFPULSE_MQTT_URL")
    return given or _stack("MQTT_URL").device_mqtt_url


def dsn() -> str:
    """Database: SHELFPULSE_DSN, else the running stack's. Raises UserError."""
    return os.environ.get("SHELFPULSE_DSN") or _stack("SHELFPULSE_DSN").dsn


def api_url() -> str:
    """Address of the API: SHELFPULSE_API_URL, else the running stack's. Raises UserError."""
    return os.environ.get("SHELFPULSE_API_URL") or _stack("SHELFPULSE_API_URL").api_url


def api_token() -> str:
    """Key or token for the API: SHELFPULSE_TOKEN, else the running stack's key. Raises UserError."""
    token = os.environ.get("SHELFPULSE_TOKEN") or _stack("SHELFPULSE_TOKEN").api_key
    if not token:
        msg = "SHELFPULSE_TOKEN is not set, and the running stack has no API key"
        raise UserError(msg, "make one with `shelfpulse api keys add`")
    return token


def tenant() -> str:
    """Tenant of the running stack, ``load`` without one."""
    try:
        return _stack("").tenant or DEFAULT_TENANT
    except UserError:
        return DEFAULT_TENANT


def _stack(variable: str) -> _Stack:
    path = state_directory() / STACK_FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Stack)
    except OSError as error:
        msg = f"{variable} is not set and no stack is running ({path}: {error.strerror})"
        raise UserError(msg, f"start one with `shelfpulse up`, or set {variable}") from error
    except msgspec.MsgspecError as error:
        msg = f"{path}: {error}"
        raise UserError(msg) from error
