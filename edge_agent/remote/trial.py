"""A configuration on trial: is the gateway worse off with it than before? Pure.

Worse is: a poller died, the outbox refuses, a device that answered before (or is new) does not answer, or the
platform is not heard any more. The first two are certain at once; a device has the whole window to answer, and the
network, which breaks without our doing, ``LINK_PATIENCE`` windows to come back.
"""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, NamedTuple

LINK_PATIENCE: Final = 5
NAMES_MAX: Final = 5
"""Devices that a reason names."""


@dataclass(frozen=True, slots=True)
class Health:
    """How the gateway is at a moment. ``devices`` all that are polled; ``answering`` those that answer.

    ``is_heard``: connected, and the platform commits what is sent.
    """

    devices: AbstractSet[str]
    answering: AbstractSet[str]
    is_heard: bool
    is_outbox_full: bool = False
    errors: tuple[str, ...] = ()


class Verdict(Enum):
    """What becomes of the configuration."""

    WATCH = auto()
    KEEP = auto()
    ROLL_BACK = auto()


class Judgement(NamedTuple):
    """The verdict, and why (for people) when it is ROLL_BACK."""

    verdict: Verdict
    reason: str = ""


def judge(before: Health, now: Health, elapsed_s: float, window_s: float) -> Judgement:
    """Compare ``now``, ``elapsed_s`` after the configuration was tried, with ``before``."""
    reason = _fault(before, now)
    if reason:
        return Judgement(Verdict.ROLL_BACK, reason)
    if elapsed_s < window_s:
        return Judgement(Verdict.WATCH)
    silent = sorted(now.devices - now.answering - (before.devices - before.answering))
    if silent:
        return Judgement(Verdict.ROLL_BACK, _say_silent(silent, before.answering, window_s))
    if now.is_heard or not before.is_heard:
        return Judgement(Verdict.KEEP)
    if elapsed_s < LINK_PATIENCE * window_s:
        return Judgement(Verdict.WATCH)
    return Judgement(Verdict.ROLL_BACK, f"the platform was not heard for {LINK_PATIENCE} windows of {window_s:g} s")


def _fault(before: Health, now: Health) -> str:
    """What needs no window to be certain, '' for nothing."""
    if now.errors:
        return f"a poller died: {now.errors[0]}"
    if now.is_outbox_full and not before.is_outbox_full:
        return "the outbox takes no frames any more"
    return ""


def _say_silent(silent: list[str], answered: AbstractSet[str], window_s: float) -> str:
    names = [f"{name} (answered before)" if name in answered else name for name in silent[:NAMES_MAX]]
    more = f" and {len(silent) - NAMES_MAX} more" if len(silent) > NAMES_MAX else ""
    return f"no answer within {window_s:g} s from {', '.join(names)}{more}"
