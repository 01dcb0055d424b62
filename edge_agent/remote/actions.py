"""What each kind of command does: the table. Those at the shelf are in ``at_the_shelf``."""

import os
import threading
import time
from collections.abc import Mapping
from typing import Any, Final

from contracts.commands import CommandKind
from edge_agent.remote.at_the_shelf import Identify, RefillCheck, Tare
from edge_agent.remote.executor import Action, ActionError, Leave, Returned
from edge_agent.remote.host import Host
from edge_agent.remote.store import RemoteStore
from edge_agent.update.command import Update

HEALTHY_WITHIN_S: Final = 120.0
SUPERVISED: Final = ("INVOCATION_ID", "SHELFPULSE_SUPERVISED")
"""Either of these in the environment says that somebody starts the agent again: systemd sets the first."""


def actions(store: RemoteStore, host: Host, polling_lock: threading.Lock) -> dict[CommandKind, Action]:
    """The kinds that this agent knows. ``polling_lock`` is held while the polling must not be replaced."""
    return {
        CommandKind.TARE: Tare(host, polling_lock),
        CommandKind.IDENTIFY: Identify(store, host, polling_lock),
        CommandKind.REFILL_CHECK: RefillCheck(host, polling_lock),
        CommandKind.RESTART: Restart(host),
        CommandKind.UPDATE: Update(host),
    }


class Restart:
    """Ends the process in good order; done when the one after it is healthy."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._began_s = time.monotonic()

    def act(self, args: Mapping[str, Any]) -> Leave:
        """See Action."""
        if not any(os.environ.get(name) for name in SUPERVISED):
            msg = "nobody would start the agent again: it does not run under systemd (or set SHELFPULSE_SUPERVISED=1)"
            raise ActionError(msg)
        return Leave({"version": self._host.version, "why": str(args.get("why", ""))[:200]})

    def look_back(self, note: Mapping[str, Any]) -> Returned | None:
        """See Action."""
        running_s = time.monotonic() - self._began_s
        if self._host.is_healthy() and self._host.has_settled():
            return Returned(
                {"from": note["version"], "agent": self._host.version, "healthy_after_s": round(running_s, 1)}
            )
        if running_s > HEALTHY_WITHIN_S:
            return Returned({"agent": self._host.version}, f"it came back, but is not healthy after {running_s:.0f} s")
        return None
