"""What is in force, read beside the agent that runs, or without one."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from contracts.errors import UserError
from edge_agent.remote import queries
from edge_agent.remote.desired import settings_of
from edge_agent.remote.store import ConfigState, StoredConfig, config_of_row, store_path
from edge_agent.settings import Settings


class Shown(NamedTuple):
    """What polls. ``applied`` None: edge.toml alone. ``trying`` is on trial over it, or was when the agent died.

    ``misfit``: why the applied configuration does not go with the edge.toml of now; the agent would refuse it.
    """

    settings: Settings
    applied: StoredConfig | None
    trying: StoredConfig | None
    refused: list[StoredConfig]
    misfit: str = ""

    @property
    def state(self) -> str:
        """One word."""
        if self.trying is not None:
            return "trying"
        return "local" if self.applied is None or self.misfit else "applied"

    def as_json(self) -> dict[str, Any]:
        """For --json; without secrets."""
        settings = self.settings
        shown = self.trying or (None if self.misfit else self.applied)
        return {
            "source": str(settings.source),
            "state": self.state,
            "version": None if shown is None else shown.version,
            "sha256": None if shown is None else shown.sha256,
            "misfit": self.misfit,
            "tenant": settings.address.tenant,
            "site": settings.address.site,
            "gateway": settings.address.gateway,
            "broker": None if settings.broker is None else repr(settings.broker),
            "outbox": {"path": str(settings.outbox), "max_mib": settings.outbox_max_bytes // 1024**2},
            "remote": {"health_window_s": settings.health_window_s},
            "report": settings.report.model_dump(),
            "bus": [bus.model_dump() for bus in settings.buses.values()],
            "device": [
                {
                    "name": device.name,
                    "bus": device.bus,
                    "unit": device.unit,
                    "profile": device.profile,
                    "channels": [register.channel for register in device.registers if register.channel],
                }
                for device in settings.devices
            ],
            "slots": [
                {"slot": slot.name, "channel": slot.channel, "sku": slot.sku, "unit_weight_g": slot.unit_weight_g}
                for slot in settings.slots
            ],
            "refused": [{"version": each.version, "error": each.error} for each in self.refused],
        }


def in_force(base: Settings) -> Shown:
    """What polls, or would after a start. Raises UserError."""
    configs = _read(store_path(base.outbox))
    applied = next((each for each in configs if each.state is ConfigState.APPLIED), None)
    trying = next((each for each in configs if each.state is ConfigState.TRYING), None)
    refused = [each for each in configs if each.state is ConfigState.REFUSED]
    now = trying or applied
    if now is None:
        return Shown(base, applied, trying, refused)
    try:
        return Shown(settings_of(base, now), applied, trying, refused)
    except UserError as error:
        return Shown(base, applied, None, refused, error.message)


def _read(path: Path) -> list[StoredConfig]:
    if not path.exists():
        return []
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5.0)) as db:
            return [config_of_row(row) for row in db.execute(queries.CONFIGS, {"limit": -1})]
    except sqlite3.Error as error:
        msg = f"cannot read {path}: {error}"
        raise UserError(msg) from error
