"""The gateway's clocks: UTC, the monotonic one, and whether the first can be believed."""

import time
from pathlib import Path
from typing import Final, NamedTuple, Protocol

BUILT_MS: Final = 1_764_000_000_000
"""2025-11-24. A clock that shows less was not set: the gateway has no battery and has not heard of the time."""
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_BOOT_LENGTH: Final = 8


class Instant(NamedTuple):
    """One moment on both clocks, in ms; ``synced`` says whether ``utc_ms`` can be believed."""

    utc_ms: int
    mono_ms: int
    synced: bool


class Clock(Protocol):
    """What the agent asks the time of; tests and simulations bring their own."""

    @property
    def boot(self) -> str:
        """Names the run of the monotonic clock."""

    def now(self) -> Instant:
        """Both clocks, read together."""


class SystemClock:
    """The machine's clocks."""

    def __init__(self) -> None:
        try:
            text = _BOOT_ID.read_text(encoding="ascii")
        except OSError:
            text = f"{time.time_ns() - time.monotonic_ns():x}"
        self._boot = "".join(c for c in text if c.isalnum()).lower()[:_BOOT_LENGTH]

    @property
    def boot(self) -> str:
        """See Clock."""
        return self._boot

    def now(self) -> Instant:
        """See Clock."""
        utc_ms = time.time_ns() // 1_000_000
        return Instant(utc_ms, time.monotonic_ns() // 1_000_000, utc_ms >= BUILT_MS)


def machine_id() -> str:
    """What tells this machine from others: /etc/machine-id, else the address of its network card."""
    for path in (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id")):
        try:
            text = path.read_text(encoding="ascii").strip()
        except OSError:
            continue
        if text:
            return text
    import uuid  # noqa: PLC0415 - slow to import, and seldom needed

    return f"mac-{uuid.getnode():x}"
