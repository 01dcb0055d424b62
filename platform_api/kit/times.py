"""Times and days as they come over HTTP: RFC 3339, never a number that happens to be a Unix time."""

import re
from datetime import date, timedelta
from typing import Annotated, Final

from pydantic import AwareDatetime, BeforeValidator

CLOCK_AHEAD_MAX: Final = timedelta(minutes=15)
"""Clocks of others may be ahead of ours by so much; what they tell of later than that has not happened."""

_INSTANT: Final = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?([Zz]|[+-]\d{2}:?\d{2})")
_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}")


def _instant(value: object) -> object:
    if isinstance(value, (int, float)) or (isinstance(value, str) and _INSTANT.fullmatch(value) is None):
        message = "should be a time with its offset, such as 2026-01-05T08:00:00Z"
        raise ValueError(message)
    return value


def _day(value: object) -> object:
    if isinstance(value, (int, float)) or (isinstance(value, str) and _DAY.fullmatch(value) is None):
        message = "should be a day, such as 2026-01-05"
        raise ValueError(message)
    return value


Instant = Annotated[AwareDatetime, BeforeValidator(_instant)]
"""A time that knows its offset."""

Day = Annotated[date, BeforeValidator(_day)]
"""A day of the calendar."""
