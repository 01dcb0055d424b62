"""What a check found, and what to do about it."""

from enum import StrEnum

import msgspec


class Level(StrEnum):
    """How bad it is. FAIL: something does not work or a promise is at risk; WARN: look at it; SKIP: not looked at."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"


class Finding(msgspec.Struct, frozen=True):
    """One line of the doctor: ``remedy`` is what to do, empty where nothing is wrong."""

    check: str
    level: Level
    what: str
    remedy: str = ""


def ok(check: str, what: str) -> Finding:
    """Nothing is wrong."""
    return Finding(check, Level.OK, what)


def warn(check: str, what: str, remedy: str) -> Finding:
    """It works, and somebody should look at it."""
    return Finding(check, Level.WARN, what, remedy)


def fail(check: str, what: str, remedy: str) -> Finding:
    """It does not work, or a promise is at risk."""
    return Finding(check, Level.FAIL, what, remedy)


def skip(check: str, what: str) -> Finding:
    """It could not be looked at."""
    return Finding(check, Level.SKIP, what)
