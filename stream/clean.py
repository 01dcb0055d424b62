"""What may enter: topic against registry, times, limits. Pure: the clock is an argument.

A message that fails keeps its place in its lane when its envelope could be read; it brings no facts and goes to
quarantine with its own reason. Nothing that a device sends may block an epoch, so whatever the database could refuse
is refused here.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from contracts.frames import OFFSET_MAX_MS, Event, Reason
from contracts.topics import GatewayAddress
from stream.facts import Fault

GATEWAY_CHANNELS_MAX: Final = 10_000
"""Series of one gateway."""


class Gateway(NamedTuple):
    """A registered gateway."""

    site: str
    revoked: bool


class Limits(NamedTuple):
    """Times that a reading may have: ``earliest_ms`` … ``latest_ms``, both included, ms since 1970 UTC."""

    earliest_ms: int
    latest_ms: int


def limits_at(now: datetime, retention: timedelta, ahead: timedelta) -> Limits:
    """Times that are accepted at ``now``."""
    return Limits(int((now - retention).timestamp() * 1000), int((now + ahead).timestamp() * 1000))


def check_gateway(address: GatewayAddress, known: Gateway | None) -> Fault | None:
    """Whether the registry knows this gateway at this site."""
    if known is None:
        return Fault(Reason.UNKNOWN_GATEWAY, f"{address.tenant}/{address.gateway} is not registered")
    if known.revoked:
        return Fault(Reason.UNKNOWN_GATEWAY, f"{address.tenant}/{address.gateway} is revoked")
    if known.site != address.site:
        return Fault(Reason.WRONG_SITE, f"registered at site {known.site!r}, speaks from {address.site!r}")
    return None


def check_times(first_ms: int, last_ms: int, limits: Limits) -> Fault | None:
    """Whether all times of a frame are accepted."""
    if first_ms < limits.earliest_ms:
        days = (limits.latest_ms - first_ms) // 86_400_000
        return Fault(Reason.BAD_TIME, f"reading is {days} days old, before retention; use replay --backfill")
    if last_ms > limits.latest_ms:
        ahead_s = (last_ms - limits.latest_ms) / 1000
        return Fault(Reason.BAD_TIME, f"reading is {ahead_s:.0f} s beyond what is accepted of the future")
    return None


def is_fast_clock(first_ms: int, limits: Limits) -> bool:
    """Whether a time fault is a clock that runs ahead, which raises ``device_fault`` at once."""
    return first_ms + OFFSET_MAX_MS > limits.latest_ms


def check_texts(events: Iterable[Event]) -> Fault | None:
    """Whether the database can store an event's texts: it has no NUL and no lone surrogates."""
    for event in events:
        for text in (event.why, event.of, *event.other):
            if "\x00" in text or (not text.isprintable() and _has_surrogate(text)):
                return Fault(Reason.BAD_BODY, f"event {event.id} has a character that cannot be stored")
    return None


def check_channels(known: int, new: int) -> Fault | None:
    """Whether a gateway may have ``new`` more series."""
    if known + new > GATEWAY_CHANNELS_MAX:
        return Fault(Reason.TOO_MANY_CHANNELS, f"{known} + {new} channels are over {GATEWAY_CHANNELS_MAX} a gateway")
    return None


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)
