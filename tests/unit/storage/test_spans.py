"""Buckets and dirty ranges."""

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.spans import GRAIN, SLICE, Span, ceiling, floor, merge, slices

ZONE = timezone(timedelta(hours=5, minutes=45))
START = datetime(2026, 3, 1, tzinfo=UTC)
MINUTES = 6 * 60

moments = st.integers(0, MINUTES * 60_000_000 - 1).map(lambda us: START + timedelta(microseconds=us))
noted = st.lists(st.tuples(moments, moments).map(lambda pair: Span(*sorted(pair))), max_size=12)


def minutes_of(spans: list[Span]) -> list[int]:
    """Minutes after START that half-open spans cover, with repetitions."""
    return [
        minute
        for span in spans
        for minute in range((span.lo - START) // GRAIN, (span.hi - START) // GRAIN)
    ]  # fmt: skip


def touched(spans: list[Span]) -> set[int]:
    """Minutes that noted ranges, both ends included, touch."""
    return {
        minute
        for lo, hi in spans
        for minute in range((lo - START) // GRAIN, (hi - START) // GRAIN + 1)
    }  # fmt: skip


@given(noted)
def test_merged_spans_cover_the_minutes_noted_and_no_others(spans: list[Span]) -> None:
    merged = merge(spans)
    assert sorted(minutes_of(merged)) == sorted(touched(spans))


@given(noted)
def test_merged_spans_are_apart_and_in_order(spans: list[Span]) -> None:
    merged = merge(spans)
    assert all(before.hi < after.lo for before, after in pairwise(merged))
    assert all(span.lo < span.hi for span in merged)


@given(noted)
def test_slices_cover_the_same_minutes_once_and_newest_first(spans: list[Span]) -> None:
    cut = list(slices(spans))
    assert sorted(minutes_of(cut)) == sorted(touched(spans))
    assert all(later.hi <= earlier.lo for earlier, later in pairwise(cut))


@given(noted)
def test_no_slice_crosses_a_full_hour(spans: list[Span]) -> None:
    assert all(floor(span.lo, SLICE) + SLICE >= span.hi for span in slices(spans))


@given(noted)
def test_noting_what_is_left_of_the_slices_again_gives_the_same_slices(spans: list[Span]) -> None:
    cut = list(slices(spans))
    again = [Span(span.lo, span.hi - timedelta(microseconds=1)) for span in cut]
    assert minutes_of(list(slices(again))) == minutes_of(cut)


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (timedelta(minutes=1), datetime(2026, 3, 4, 5, 6, tzinfo=UTC)),
        (timedelta(hours=1), datetime(2026, 3, 4, 5, tzinfo=UTC)),
        (timedelta(days=1), datetime(2026, 3, 4, tzinfo=UTC)),
        (timedelta(days=7), datetime(2026, 3, 2, tzinfo=UTC)),
    ],
)
def test_floor_is_the_start_of_the_bucket_in_utc(width: timedelta, expected: datetime) -> None:
    at = datetime(2026, 3, 4, 5, 6, 7, 8, tzinfo=UTC)
    assert floor(at, width) == expected
    assert floor(at.astimezone(ZONE), width) == expected
    assert ceiling(at, width) == expected + width
    assert ceiling(expected, width) == expected


@given(moments)
def test_floor_and_ceiling_are_a_width_apart_or_equal(at: datetime) -> None:
    lo, hi = floor(at, GRAIN), ceiling(at, GRAIN)
    assert lo <= at <= hi
    assert hi - lo == (timedelta(0) if lo == at else GRAIN)


def test_times_before_the_origin_fall_into_their_bucket() -> None:
    assert floor(datetime(1999, 12, 31, 23, 59, 59, tzinfo=UTC), timedelta(hours=1)) == datetime(
        1999, 12, 31, 23, tzinfo=UTC
    )
