"""Names and days of partitions."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.storage import days_between, partition_name

moments = st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - bounds must be naive


@given(moments, st.timedeltas(timedelta(0), timedelta(days=40)))
def test_every_reading_between_two_times_has_a_day(lo: datetime, length: timedelta) -> None:
    days = days_between(lo, lo + length)
    assert days[0] <= lo < days[0] + timedelta(days=1)
    assert days[-1] <= lo + length < days[-1] + timedelta(days=1)
    assert all(after - before == timedelta(days=1) for before, after in pairwise(days))


@given(moments, moments)
def test_names_sort_as_days_do(one: datetime, other: datetime) -> None:
    assert (partition_name(one) < partition_name(other)) == (one.date() < other.date())


@pytest.mark.parametrize("hour", [0, 23])
def test_a_name_is_that_of_the_utc_day(hour: int) -> None:
    assert partition_name(datetime(2026, 3, 1, hour, tzinfo=UTC)) == "reading_20260301"
