"""``shelfpulse config``: what a process started here would be told, secrets left out."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import msgspec

from contracts.errors import UserError
from deploy.local.discovery import StackInfo, environment, find_stack
from deploy.local.state import default_state

HIDDEN: Final = "***"
_SECRET_WORDS: Final = ("SECRET", "PASSWORD", "KEY", "TOKEN")
_PREFIX: Final = "SHELFPULSE_"
_OTHER: Final = ("MQTT_URL", "HEALTH_PORT")


def effective(state: Path | None, environ: Mapping[str, str]) -> str:
    """JSON of the state directory, the running stack and the settings, each with where it comes from."""
    root = state or default_state()
    given = {name: value for name, value in environ.items() if name.startswith(_PREFIX) or name in _OTHER}
    stack: StackInfo | None
    try:
        stack = find_stack(root)
    except UserError:
        stack = None
    settings: dict[str, dict[str, str]] = {}
    if stack is not None:
        for name, value in environment(stack, device=False).items():
            settings[name] = {"value": without_secret(name, value), "from": "stack"}
    for name, value in sorted(given.items()):
        settings[name] = {"value": without_secret(name, value), "from": "environment"}
    shown: dict[str, Any] = {"state": str(root), "running": stack is not None, "settings": settings}
    if stack is not None:
        shown |= {"api_url": stack.api_url, "metrics": stack.metrics, "pids": stack.pids, "tenant": stack.tenant}
    return msgspec.json.format(msgspec.json.encode(shown), indent=2).decode() + "\n"


def without_secret(name: str, value: str) -> str:
    """A setting as it may be shown: no password in a URL, no value of a variable that is named like a secret."""
    if any(word in name.upper() for word in _SECRET_WORDS):
        return HIDDEN
    if "://" not in value:
        # A libpq keyword string, password=… among others.
        return HIDDEN if "password" in value.lower() else value
    try:
        parts = urlsplit(value)
        address = parts.netloc.rpartition("@")
    except ValueError:
        return HIDDEN
    user = address[0].partition(":")[0]
    secret = ":" in address[0]
    netloc = f"{user}:{HIDDEN}@{address[2]}" if secret else parts.netloc
    query = HIDDEN if "password" in parts.query.lower() else parts.query
    return urlunsplit((parts.scheme, netloc, parts.path, query, ""))
