"""Numbers of a running stack: counters over restarts, quantiles of histograms."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.local.figures import Tally, quantile

INF = float("inf")


def test_a_counter_goes_on_when_its_process_begins_anew() -> None:
    tally = Tally()
    for value in (3.0, 10.0, 2.0, 4.0, 0.0):
        tally.add({"shelfpulse_duplicates_total": value})
    assert tally.duplicates == 14


def test_a_process_that_never_answered_has_counted_nothing() -> None:
    assert Tally().duplicates == 0
    assert Tally().lag_ms(0.99) is None


def test_lag_is_read_from_the_histogram_in_milliseconds() -> None:
    tally = Tally()
    tally.add(
        {
            "shelfpulse_lag_seconds_bucket{0.1}": 0.0,
            "shelfpulse_lag_seconds_bucket{0.2}": 50.0,
            "shelfpulse_lag_seconds_bucket{+Inf}": 50.0,
        }
    )
    assert tally.lag_ms(0.5) == 150.0


@pytest.mark.parametrize(
    ("share", "buckets", "value"),
    [
        (0.5, [], None),
        (0.5, [(1.0, 0.0), (INF, 0.0)], None),
        (0.5, [(1.0, 10.0), (INF, 10.0)], 0.5),
        (1.0, [(1.0, 10.0), (2.0, 20.0), (INF, 20.0)], 2.0),
        (0.99, [(1.0, 10.0), (INF, 1000.0)], 1.0),
    ],
)
def test_a_quantile_is_interpolated_within_its_bucket(
    share: float, buckets: list[tuple[float, float]], value: float | None
) -> None:
    assert quantile(share, buckets) == value


@given(st.lists(st.integers(0, 50), min_size=1, max_size=10), st.floats(0.01, 1.0))
def test_a_quantile_lies_in_the_bucket_that_holds_its_rank(counts: list[int], share: float) -> None:
    bounds = [float(number + 1) for number in range(len(counts))]
    cumulative = [float(sum(counts[: number + 1])) for number in range(len(counts))]
    value = quantile(share, [*zip(bounds, cumulative, strict=True), (INF, cumulative[-1])])
    if sum(counts) == 0:
        assert value is None
        return
    holder = next(number for number, count in enumerate(cumulative) if count >= share * cumulative[-1])
    assert value is not None
    assert bounds[holder] - 1.0 - 1e-9 <= value <= bounds[holder] + 1e-9
