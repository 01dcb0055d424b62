"""Ranges of time: buckets, and which ranges rollups have to be brought up to date for, in what order. Pure."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

GRAIN: Final = timedelta(minutes=1)
"""Width of the finest rollup: ranges are widened to it before they are merged."""
SLICE: Final = timedelta(hours=1)
"""Most that is refreshed at once, so that a round can stop in time between two of them."""


_ORIGIN: Final = datetime(2000, 1, 3, tzinfo=UTC)
"""A Monday, as in TimescaleDB's time_bucket."""


class Span(NamedTuple):
    """Half-open range of time, ``lo`` < ``hi``."""

    lo: datetime
    hi: datetime


def floor(time: datetime, width: timedelta) -> datetime:
    """Start of the bucket of ``width`` (a divisor of a week) that holds ``time``, in UTC."""
    return time.astimezone(UTC) - (time - _ORIGIN) % width


def ceiling(time: datetime, width: timedelta) -> datetime:
    """End of the last bucket of ``width`` that has anything before ``time``, in UTC."""
    return time.astimezone(UTC) + (_ORIGIN - time) % width


def merge(spans: Iterable[Span]) -> list[Span]:
    """The same minutes as disjoint spans with room between them, oldest first.

    Each span is widened to whole minutes first, and one without width to the minute it lies in: the sink notes the
    times of its first and last reading, both of which count.
    """
    merged: list[Span] = []
    for lo, hi in sorted(_widened(span) for span in spans):
        if merged and lo <= merged[-1].hi:
            merged[-1] = Span(merged[-1].lo, max(hi, merged[-1].hi))
        else:
            merged.append(Span(lo, hi))
    return merged


def slices(spans: Iterable[Span]) -> Iterator[Span]:
    """Merged spans cut at full hours, newest first: what people watch now is refreshed before a backlog."""
    for lo, hi in reversed(merge(spans)):
        end = hi
        while end > lo:
            start = max(lo, ceiling(end, SLICE) - SLICE)
            yield Span(start, end)
            end = start


def _widened(span: Span) -> Span:
    return Span(floor(span.lo, GRAIN), floor(span.hi, GRAIN) + GRAIN)
