import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_api.telemetry.rules import RAW_RANGE_MAX_S, RAW_SCAN_MAX, WIDTH_S, Resolution, choose

HOUR = 3_600.0
DAY = 86_400.0


@pytest.mark.parametrize(
    ("range_s", "interval_s", "expected"),
    [
        (600, 1, Resolution.RAW),
        (DAY, 300, Resolution.RAW),
        (12 * HOUR, 1, Resolution.MINUTE),
        (30 * DAY, 1, Resolution.HOUR),
        (400 * DAY, 1, Resolution.DAY),
    ],
)
def test_the_finest_source_that_fits_is_chosen(range_s: float, interval_s: float, expected: Resolution) -> None:
    assert choose(range_s=range_s, interval_s=interval_s, points_max=1_000, stale=False).resolution is expected


def test_a_short_range_with_too_many_readings_is_thinned_rather_than_read_by_the_minute() -> None:
    choice = choose(range_s=HOUR, interval_s=1, points_max=600, stale=False)
    assert choice.resolution is Resolution.RAW
    assert choice.thin_s == HOUR / 600


def test_a_rollup_that_lags_is_passed_over_for_a_short_range_only() -> None:
    fast = 0.1
    short, long = RAW_RANGE_MAX_S, RAW_RANGE_MAX_S + 1
    assert choose(range_s=short, interval_s=fast, points_max=1_000, stale=False).resolution is Resolution.MINUTE
    assert choose(range_s=short, interval_s=fast, points_max=1_000, stale=True).resolution is Resolution.RAW
    assert choose(range_s=long, interval_s=fast, points_max=1_000, stale=True).resolution is Resolution.MINUTE


@given(
    range_s=st.floats(1, 3_700 * DAY),
    interval_s=st.one_of(st.none(), st.floats(0.01, DAY)),
    points_max=st.integers(10, 10_000),
    stale=st.booleans(),
)
def test_the_answer_never_has_many_more_points_than_asked_for_unless_days_are_too_fine(
    *, range_s: float, interval_s: float | None, points_max: int, stale: bool
) -> None:
    choice = choose(range_s=range_s, interval_s=interval_s, points_max=points_max, stale=stale)
    width_s = WIDTH_S.get(choice.resolution) or choice.thin_s or interval_s or 1.0
    assert range_s / width_s <= points_max * 1.001 or choice.resolution is Resolution.DAY
    if choice.thin_s is not None:
        assert range_s / (interval_s or 1.0) <= RAW_SCAN_MAX or stale
