"""What may enter: topic against registry, times, limits. Pure: the clock is an argument.

A message that fails keeps its place in its lane when its envelope could be read; it brings no facts and goes to
quarantine with its own reason. Nothing that a device sends may block an epoch, so whatever the database could refuse
is refused here.
"""

import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

import msgspec

from contracts.frames import OFFSET_MAX_MS, Answer, Event, Reason
from contracts.topics import GatewayAddress
from stream.facts import Fault

GATEWAY_CHANNELS_MAX: Final = 10_000
"""Series of one gateway."""

CONFIG_VERSION_MAX: Final = 2**31 - 1
RESULT_MAX_BYTES: Final = 16 * 1024
RESULT_DEPTH_MAX: Final = 32


ENVELOPE_KEYS: Final = frozenset({"v", "ep", "seq"})


class Misspelt(NamedTuple):
    """A payload that says two things at once; ``placed``: its envelope is not among them."""

    fault: Fault
    placed: bool


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


def check_spelling(payload: bytes, address: GatewayAddress) -> Misspelt | None:
    """Whether a payload that is valid JSON has no key twice, and names nobody but its sender.

    Slow: for payloads that are not spelled canonically, which conforming gateways do not send.
    """
    try:
        found, twice = _load(payload)
    except (ValueError, RecursionError) as error:
        return Misspelt(Fault(Reason.BAD_JSON, str(error)[:500]), placed=False)
    if not isinstance(found, dict):
        return None
    if twice:
        is_of_envelope = any(each in ENVELOPE_KEYS and "ep" in beside for each, beside in twice)
        return Misspelt(_duplicate_key(twice), placed=not is_of_envelope)
    for name, expected in address._asdict().items():
        if found.get(name, expected) != expected:
            said = str(found[name])[:64]
            detail = f"{name} is {expected!r} by the topic and {said!r} by the payload"
            return Misspelt(Fault(Reason.WRONG_TENANT, detail), placed=True)
    return None


def check_keys(payload: bytes) -> Fault | None:
    """Whether a payload that is valid JSON has no key twice in one object. Slow."""
    try:
        _, twice = _load(payload)
    except (ValueError, RecursionError) as error:
        return Fault(Reason.BAD_JSON, str(error)[:500])
    return _duplicate_key(twice) if twice else None


def _load(payload: bytes) -> tuple[Any, list[tuple[str, list[str]]]]:
    """Value of a JSON text, and each key that is twice in an object with all names there. Raises as ``json`` does."""
    twice: list[tuple[str, list[str]]] = []

    def note(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        known = dict(pairs)
        if len(known) < len(pairs):
            names = [name for name, _ in pairs]
            twice.extend((name, names) for name in known if names.count(name) > 1)
        return known

    # Of whole numbers only the length could hurt, and they are not looked at.
    return json.loads(payload, object_pairs_hook=note, parse_int=float), twice


def _duplicate_key(twice: list[tuple[str, list[str]]]) -> Fault:
    name, names = twice[0]
    return Fault(Reason.DUPLICATE_KEY, f"{name[:64]!r} is there {names.count(name)} times")


def check_times(first_ms: int, last_ms: int, limits: Limits) -> Fault | None:
    """Whether all times of a frame are accepted."""
    if first_ms < limits.earliest_ms:
        if limits.earliest_ms <= first_ms * 1000 <= limits.latest_ms:
            return Fault(Reason.BAD_TIME, f"time {first_ms} is in seconds; it must be in milliseconds since 1970 UTC")
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
            if not _is_storable(text):
                return Fault(Reason.BAD_BODY, f"event {event.id} has a character that cannot be stored")
    return None


def check_answers(answers: Iterable[Answer]) -> Fault | None:
    """Whether the database can store what a gateway answered."""
    for answer in answers:
        for text in (answer.cmd, answer.error):
            if not _is_storable(text):
                return Fault(Reason.BAD_BODY, "an answer has a character that cannot be stored")
        if answer.cfg is not None and answer.cfg > CONFIG_VERSION_MAX:
            return Fault(Reason.BAD_BODY, f"configuration {answer.cfg} is over {CONFIG_VERSION_MAX}")
        if answer.result and not _is_flat(answer.result):
            return Fault(Reason.BAD_BODY, f"the result of {answer.cmd!r} has a character that cannot be stored, or is "
                         f"nested deeper than {RESULT_DEPTH_MAX}")  # fmt: skip
        if len(msgspec.json.encode(answer.result)) > RESULT_MAX_BYTES:
            return Fault(Reason.BAD_BODY, f"the result of {answer.cmd!r} is over {RESULT_MAX_BYTES} bytes")
    return None


def check_channels(known: int, new: int) -> Fault | None:
    """Whether a gateway may have ``new`` more series."""
    if known + new > GATEWAY_CHANNELS_MAX:
        return Fault(Reason.TOO_MANY_CHANNELS, f"{known} + {new} channels are over {GATEWAY_CHANNELS_MAX} a gateway")
    return None


def _is_flat(value: Any) -> bool:
    """Whether a decoded JSON value is not nested too deeply and has only texts that can be stored; no recursion."""
    level = [value]
    for _ in range(RESULT_DEPTH_MAX):
        below: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                below += each.keys()
                below += each.values()
            elif isinstance(each, list):
                below += each
            elif isinstance(each, str) and not _is_storable(each):
                return False
        if not below:
            return True
        level = below
    return False


def _is_storable(text: str) -> bool:
    return "\x00" not in text and (
        text.isprintable() or not any("\ud800" <= character <= "\udfff" for character in text)
    )
