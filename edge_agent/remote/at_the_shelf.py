"""Commands that look at the shelves or touch them: identify, tare, refill_check."""

import platform
import threading
import time
from collections.abc import Mapping
from itertools import islice
from typing import Any, Final

import msgspec

from contracts.ids import is_channel
from edge_agent.bus.modbus import ModbusError
from edge_agent.bus.reader import TareError
from edge_agent.bus.registers import SHELF_METRIC, Function, Write
from edge_agent.polling import Polling
from edge_agent.remote.executor import ActionError, Returned
from edge_agent.remote.host import Host
from edge_agent.remote.identity import machine_hash
from edge_agent.remote.store import ConfigState, RemoteStore
from edge_agent.settings import Device
from edge_agent.shelf.inference import SlotView

DEVICES_MAX: Final = 200
"""Devices that a report names; it says how many there are."""
SLOTS_MAX: Final = 250
EXPLAINED_MAX: Final = 3
UNITS_MAX: Final = 100_000
BLINKS: Final = 5
BLINK_S: Final = 0.4


class _Immediate:
    """An act that is over when ``act`` returns. ``polling_lock`` is held while the polling must not be replaced."""

    def __init__(self, host: Host, polling_lock: threading.Lock) -> None:
        self._host = host
        self._polling_lock = polling_lock

    def look_back(self, note: Mapping[str, Any]) -> Returned | None:
        """Never asked: it leaves no note."""
        raise AssertionError(note)


class Tare(_Immediate):
    """Zeroes the scale of a bay: {"slot": "s01-b1"} or {"device": "s01", "bay": 1}. What lies there is the new zero.

    Done only when the scale was seen to show zero. The count stays what it was.
    """

    def act(self, args: Mapping[str, Any]) -> Mapping[str, Any]:
        """See Action."""
        with self._polling_lock:
            polling = self._host.polling
            channel = _channel(polling, args)
            try:
                tared = polling.tare(channel, self._host.clock.now().mono_ms)
            except KeyError as error:
                msg = f"no bay of this gateway has channel {channel!r}"
                raise ActionError(msg) from error
            except (TareError, ModbusError) as error:
                raise ActionError(str(error)) from error
            slots = [slot.name for slot in polling.settings.slots if slot.channel == channel]
        return {"channel": channel, "slots": slots, "before_g": tared.before_g, "after_g": tared.after_g}


def _channel(polling: Polling, args: Mapping[str, Any]) -> str:
    """The channel of the bay that a tare is for. Raises ActionError."""
    slot, device, bay = args.get("slot"), args.get("device"), args.get("bay")
    if isinstance(slot, str) and device is None and bay is None:
        for known in polling.settings.slots:
            if known.name == slot:
                return known.channel
        msg = f"no slot is named {slot[:64]!r}"
        raise ActionError(msg)
    channel = f"{device}-b{bay}.{SHELF_METRIC}"
    if slot is not None or not isinstance(device, str) or type(bay) is not int or not is_channel(channel):
        msg = 'which bay? {"slot": "s01-b1"} or {"device": "s01", "bay": 1} is expected'
        raise ActionError(msg)
    return channel


class RefillCheck(_Immediate):
    """Says what lies on slots: {"slots": ["s01-b1"]}, or all of them.

    {"count": {"s01-b1": 12}} tells what people counted there; {"explain": true} adds the grounds of the last decisions.
    """

    def act(self, args: Mapping[str, Any]) -> Mapping[str, Any]:
        """See Action."""
        with self._polling_lock:
            polling = self._host.polling
            known = [slot.name for slot in polling.settings.slots]
            counts = _counts(args.get("count", {}), known)
            wanted = _wanted(args.get("slots"), known, counts)
            mono_ms = self._host.clock.now().mono_ms
            for slot, units in counts.items():
                polling.count(slot, units, mono_ms)
            explain = args.get("explain") is True
            views = [_shown(polling.look(slot), explain=explain) for slot in wanted[:SLOTS_MAX]]
        return {"slots": views, "counted": sorted(counts), "more": max(0, len(wanted) - SLOTS_MAX)}


def _wanted(slots: object, known: list[str], counts: Mapping[str, int]) -> list[str]:
    """Slots to tell of: those named, those counted, else all. Raises ActionError."""
    if slots is None:
        return list(counts) or known
    if not isinstance(slots, list):
        msg = '"slots" is a list of names'
        raise ActionError(msg)
    for slot in slots:
        if slot not in known:
            msg = f"no slot is named {str(slot)[:64]!r}"
            raise ActionError(msg)
    return list(dict.fromkeys([*slots, *counts]))


def _counts(counts: object, known: list[str]) -> dict[str, int]:
    """What people counted; nothing is applied unless all of it is right. Raises ActionError."""
    if not isinstance(counts, dict):
        msg = '"count" is {slot: units}'
        raise ActionError(msg)
    for slot, units in counts.items():
        if slot not in known:
            msg = f"no slot is named {slot[:64]!r}"
            raise ActionError(msg)
        if type(units) is not int or not 0 <= units <= UNITS_MAX:
            msg = f"slot {slot!r}: units are 0 to {UNITS_MAX}"
            raise ActionError(msg)
    return counts


def _shown(view: SlotView, *, explain: bool) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "slot": view.slot,
        "sku": view.sku,
        "on_shelf": view.on_shelf,
        "grams": None if view.weight_g is None else round(view.weight_g, 1),
        "unit_g": round(view.unit_g, 2),
        "conf": view.recent[-1]["conf"] if view.recent else None,
    }
    if view.foreign:
        shown["other"] = view.foreign
    if explain:
        shown["recent"] = view.recent[-EXPLAINED_MAX:]
    return shown


class Identify(_Immediate):
    """Says who and how the gateway is, and blinks the coil of a device: {"device": "s01"}, or of all that have one."""

    def __init__(self, store: RemoteStore, host: Host, polling_lock: threading.Lock) -> None:
        super().__init__(host, polling_lock)
        self._store = store
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
