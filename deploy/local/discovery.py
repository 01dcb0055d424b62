"""How other commands find the running stack: ``stack.json`` in the state directory, readable by its owner alone."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from contracts.errors import UserError
from deploy.local.state import StateDir, default_state, write_private

SAME_CLOCK: Final = {"SHELFPULSE_CLOCK": "trusted"}
"""A gateway on the platform's own machine has the platform's clock, whether or not anything disciplines it."""
SUPERVISOR: Final = "up"
"""Name of the stack's own process among its pids."""


class Login(msgspec.Struct, frozen=True):
    """A person of the demo."""

    login: str
    password: str
    role: str


class StackInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Addresses and access of a running stack.

    ``mqtt_url`` is the platform's, ``device_mqtt_url`` a gateway's; ``metrics`` maps a process to the loopback port of
    its /metrics and /healthz; ``secret`` signs the API's tokens; ``started_at`` is RFC 3339 UTC.
    """

    dsn: str
    mqtt_url: str
    device_mqtt_url: str
    api_url: str
    secret: str
    started_at: str
    metrics: dict[str, int] = {}
    pids: dict[str, int] = {}
    tenant: str = ""
    logins: list[Login] = []
    api_key: str = ""


def save_stack(state: StateDir, info: StackInfo) -> None:
    """Let other commands find the stack."""
    write_private(state.stack_file, msgspec.json.format(msgspec.json.encode(info), indent=1).decode())


def forget_stack(state: StateDir) -> None:
    """The stack has stopped."""
    state.stack_file.unlink(missing_ok=True)


def find_stack(state: Path | None = None) -> StackInfo:
    """The stack that runs in ``state`` (None: the default directory). Raises UserError when there is none."""
    file = StateDir(state or default_state()).stack_file
    hint = "start one with `shelfpulse up`, or say where it is with --state or SHELFPULSE_STATE"
    try:
        info = msgspec.json.decode(file.read_bytes(), type=StackInfo)
    except FileNotFoundError as error:
        message = f"no stack is running in {file.parent}"
        raise UserError(message, hint) from error
    except (OSError, msgspec.MsgspecError) as error:
        message = f"cannot read {file}: {error}"
        raise UserError(message, hint) from error
    if not _runs(info.pids.get(SUPERVISOR, 0)):
        message = f"the stack of {file.parent} did not stop cleanly and is no longer running"
        raise UserError(message, "start it again with `shelfpulse up`; it continues where it was")
    return info


def environment(info: StackInfo, *, device: bool) -> Mapping[str, str]:
    """Environment variables that lead a process to the stack; ``device``: with a gateway's access to the broker."""
    return {
        "SHELFPULSE_DSN": info.dsn,
        "SHELFPULSE_SECRET": info.secret,
        "MQTT_URL": info.device_mqtt_url if device else info.mqtt_url,
        **SAME_CLOCK,
    }


def _runs(pid: int) -> bool:
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
