"""The gateway's clocks: UTC, the monotonic one, and whether the first can be believed.

Data is timed on the monotonic clock, and told in UTC by an *anchor*, the difference of the two. ``Discipline`` measures
it whenever the time is asked. A clock that was stepped moves the anchor for new frames only when somebody vouches for
the new time; until then frames carry ``sync`` 0, and the platform times them by the anchor from before the step. So a
clock that is set wrong by an hour does not move a single reading.
"""

import ctypes
import os
import time
from collections.abc import Callable
from enum import Enum, auto
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import structlog

from contracts.errors import UserError

BUILT_MS: Final = 1_764_000_000_000
"""2025-11-24. A clock that shows less was not set: the gateway has no battery and has not heard of the time."""
LATEST_MS: Final = BUILT_MS + 20 * 365 * 86_400_000
"""A clock that shows more was set by mistake."""
STEP_MS: Final = 1_000
"""Both clocks drift alike when the time is corrected slowly: if they differ by more, somebody set one of them."""
SETTLE_MS: Final = 600_000
"""A step that nobody vouches for is believed after it stood so long: a person set the clock right, or wrong."""
LOOK_MS: Final = 1_000
"""How often the kernel is asked."""
APART_MAX_NS: Final = 1_000_000
READS_MAX: Final = 5
RTC_AGREES_MS: Final = 2_000
TRUST: Final = "SHELFPULSE_CLOCK"
"""``auto``, or ``trusted``: the clock is kept right by something that this machine cannot see (a hypervisor)."""

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_BOOT_LENGTH: Final = 8
_RTC: Final = Path("/sys/class/rtc/rtc0/since_epoch")
_TIME_ERROR: Final = 5
_STA_UNSYNC: Final = 0x40

log = structlog.get_logger()


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


class Voucher(Enum):
    """Who stands for the time."""

    KERNEL = auto()
    """The kernel is disciplined by NTP, PTP or GPS."""
    BATTERY = auto()
    """Nothing disciplines the kernel, and a clock with a battery shows the same."""
    OPERATOR = auto()
    """Somebody has told us to trust the clock."""
    NOBODY = auto()


class Discipline:
    """Whether UTC can be believed, from one measurement of both clocks to the next. Pure.

    At the start a plausible clock is believed when anybody vouches for it. After a step (of more than ``STEP_MS``)
    only the kernel is believed at once; otherwise the new time must stand for ``SETTLE_MS``, or go back to the old.
    """

    def __init__(self) -> None:
        self._anchor_ms: int | None = None
        self._candidate_ms = 0
        self._candidate_since_ms = 0
        self.stepped_ms = 0
        """The last step that was seen, 0 before the first."""

    def judge(self, utc_ms: int, mono_ms: int, voucher: Voucher) -> bool:
        """Whether ``utc_ms``, read together with ``mono_ms``, can be believed."""
        if not BUILT_MS <= utc_ms <= LATEST_MS or voucher is Voucher.NOBODY:
            return False
        measured_ms = utc_ms - mono_ms
        if self._anchor_ms is None or abs(measured_ms - self._anchor_ms) <= STEP_MS:
            self._anchor_ms = measured_ms  # follows the slow corrections
            return True
        if abs(measured_ms - self._candidate_ms) > STEP_MS:
            self.stepped_ms = measured_ms - self._anchor_ms
            self._candidate_since_ms = mono_ms
        self._candidate_ms = measured_ms
        if voucher is Voucher.KERNEL or mono_ms - self._candidate_since_ms >= SETTLE_MS:
            self._anchor_ms = measured_ms
            return True
        return False


class SystemClock:
    """The machine's clocks. ``voucher`` says who stands for them now; the default asks the kernel and the battery."""

    def __init__(self, voucher: Callable[[int], Voucher] | None = None) -> None:
        try:
            text = _BOOT_ID.read_text(encoding="ascii")
        except OSError:
            text = f"{time.time_ns() - time.monotonic_ns():x}"
        self._boot = "".join(c for c in text if c.isalnum()).lower()[:_BOOT_LENGTH]
        self._find_voucher = voucher or voucher_from(os.environ.get(TRUST, "auto"))
        self._voucher = Voucher.NOBODY
        self._asked_ms: int | None = None
        self._discipline = Discipline()
        self._told = (True, 0)

    @property
    def boot(self) -> str:
        """See Clock."""
        return self._boot

    def now(self) -> Instant:
        """See Clock. Safe from several threads: each call judges one measurement of its own."""
        utc_ms, mono_ms = _both_ms()
        if self._asked_ms is None or mono_ms - self._asked_ms >= LOOK_MS:
            self._voucher, self._asked_ms = self._find_voucher(utc_ms), mono_ms
        synced = self._discipline.judge(utc_ms, mono_ms, self._voucher)
        self._tell(synced)
        return Instant(utc_ms, mono_ms, synced)

    def _tell(self, synced: bool) -> None:  # noqa: FBT001 - what is told
        told = (synced, self._discipline.stepped_ms)
        if told != self._told:
            self._told = told
            log.info("clock_judged", synced=synced, voucher=self._voucher.name.lower(), stepped_ms=told[1])


def _both_ms() -> tuple[int, int]:
    """UTC and the monotonic clock of one moment: read again when something came between."""
    for _ in range(READS_MAX):
        before_ns, utc_ns, after_ns = time.monotonic_ns(), time.time_ns(), time.monotonic_ns()
        if after_ns - before_ns <= APART_MAX_NS:
            break
    return utc_ns // 1_000_000, after_ns // 1_000_000


def voucher_from(trust: str) -> Callable[[int], Voucher]:
    """Who is asked to vouch: ``auto`` the kernel, else a battery; ``trusted`` everybody believes. Raises UserError."""
    if trust == "trusted":
        return lambda _utc_ms: Voucher.OPERATOR
    if trust != "auto":
        msg = f"{TRUST}: {trust!r} is neither auto nor trusted"
        raise UserError(msg)
    return find_voucher


def find_voucher(utc_ms: int) -> Voucher:
    """Who on this machine stands for the time ``utc_ms``."""
    if is_kernel_disciplined():
        return Voucher.KERNEL
    try:
        battery_ms = int(_RTC.read_text(encoding="ascii")) * 1000
    except (OSError, ValueError):
        return Voucher.NOBODY
    return Voucher.BATTERY if abs(battery_ms - utc_ms) <= RTC_AGREES_MS else Voucher.NOBODY


class _Timex(ctypes.Structure):
    """``struct timex`` of adjtimex(2), as far as it is read; the rest is room for what the kernel writes."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 256),
    )


def is_kernel_disciplined() -> bool:
    """Whether the kernel says that something keeps its clock right (adjtimex(2): not TIME_ERROR, not STA_UNSYNC)."""
    timex = _Timex()  # modes 0: only ask
    adjtimex = getattr(ctypes.CDLL(None), "adjtimex", None)
    if adjtimex is None:
        return False
    state = adjtimex(ctypes.byref(timex))
    return 0 <= state < _TIME_ERROR and not timex.status & _STA_UNSYNC


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
