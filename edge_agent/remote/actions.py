"""What each kind of command does."""

import os
import platform
import threading
import time
from collections.abc import Mapping
from itertools import islice
from typing import Any, Final

import msgspec

from contracts.commands import CommandKind
from edge_agent.bus.modbus import ModbusError
from edge_agent.bus.registers import Function, Write
from edge_agent.polling import Polling
from edge_agent.remote.executor import Action, ActionError, Leave, Returned
from edge_agent.remote.host import Host
from edge_agent.remote.identity import machine_hash
from edge_agent.remote.store import ConfigState, RemoteStore
from edge_agent.settings import Device
from edge_agent.update.command import Update

DEVICES_MAX: Final = 200
"""Devices that a report names; it says how many there are."""
BLINKS: Final = 5
BLINK_S: Final = 0.4
HEALTHY_WITHIN_S: Final = 120.0
SUPERVISED: Final = ("INVOCATION_ID", "SHELFPULSE_SUPERVISED")
"""Either of these in the environment says that somebody starts the agent again: systemd sets the first."""


def actions(store: RemoteStore, host: Host, polling_lock: threading.Lock) -> dict[CommandKind, Action]:
    """The kinds that this agent knows. ``polling_lock`` is held while the polling must not be replaced."""
    return {
        CommandKind.IDENTIFY: Identify(store, host, polling_lock),
        CommandKind.RESTART: Restart(host),
        CommandKind.UPDATE: Update(host),
    }


class _Immediate:
    """An act that is over when ``act`` returns."""

    def look_back(self, note: Mapping[str, Any]) -> Returned | None:
        """Never asked: it leaves no note."""
        raise AssertionError(note)


class Identify(_Immediate):
    """Says who and how the gateway is, and blinks the coil of a device: {"device": "s01"}, or of all that have one."""

    def __init__(self, store: RemoteStore, host: Host, polling_lock: threading.Lock) -> None:
        self._store = store
        self._host = host
        self._polling_lock = polling_lock
        self._began_s = time.monotonic()

    def act(self, args: Mapping[str, Any]) -> Mapping[str, Any]:
        """See Action."""
        with self._polling_lock:
            polling = self._host.polling
            blinked = _blink(polling, _lamps(polling, args))
            return self._report(polling) | {"blinked": blinked}

    def _report(self, polling: Polling) -> dict[str, Any]:
        host, now_s = self._host, time.monotonic()
        answered_s, silent = polling.answered_s(), polling.silent
        devices = {
            device.name: {
                "bus": f"{device.bus}/{device.unit}",
                "profile": device.profile,
                "silent": device.name in silent,
                "answered_s_ago": round(now_s - answered_s[device.name], 1) if device.name in answered_s else None,
            }
            for device in islice(polling.settings.devices, DEVICES_MAX)
        }
        depth = host.outbox.depth()
        applied = self._store.config(ConfigState.APPLIED)
        return {
            "agent": host.version,
            "python": platform.python_version(),
            "system": f"{platform.system()} {platform.release()} {platform.machine()}",
            "machine": machine_hash(),
            "boot": host.clock.boot,
            "uptime_s": round(now_s),
            "running_s": round(now_s - self._began_s),
            "healthy": host.is_healthy(),
            "synced": host.clock.now().synced,
            "config": None if applied is None else applied.version,
            "device_count": len(polling.settings.devices),
            "devices": devices,
            "slots": len(polling.settings.slots),
            "outbox": msgspec.to_builtins(depth),
        }


def _lamps(polling: Polling, args: Mapping[str, Any]) -> list[tuple[Device, int]]:
    """Devices to blink, with their coils."""
    wanted = args.get("device")
    devices = [device for device in polling.settings.devices if wanted is None or device.name == wanted]
    if not devices and wanted is not None:
        msg = f"no device is named {str(wanted)[:64]!r}"
        raise ActionError(msg)
    return [(device, device.identify_coil) for device in devices if device.identify_coil is not None]


def _blink(polling: Polling, lamps: list[tuple[Device, int]]) -> list[str]:
    """On and off a few times, all together; the devices that took it. A lamp is left off."""
    alive = dict.fromkeys(device.name for device, _ in lamps)
    for k in range(2 * BLINKS):
        for device, coil in lamps:
            if device.name in alive:
                try:
                    polling.buses[device.bus].write(device.unit, Write(Function.COILS, coil, 1 - k % 2))
                except ModbusError:
                    del alive[device.name]
        if alive:
            time.sleep(BLINK_S)
    return list(alive)


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
