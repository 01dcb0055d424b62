"""Forecasts: what is learnt from days, what is not, and how good the methods are."""

from datetime import date, timedelta

import numpy as np
import pytest

from stream.demand import accuracy, pooled
from stream.demand.days import DailyDemand, Day, Key, daily_demand
from stream.demand.methods import QUANTILES, walk
from stream.demand.night import HORIZON_DAYS, POOLED, forecast_night, stock_policy
from stream.demand.regression import Plan

KEY = Key("demo", "s1", "tea")
START = date(2026, 1, 5)
QUIET = Plan(np.zeros(1), np.zeros(1), np.zeros(1, dtype=np.bool_), np.zeros(1, dtype=np.bool_))


def at(day: int) -> date:
    return START + timedelta(days=day)


def test_days_without_a_sale_count_as_zero_and_those_before_the_first_are_not_known() -> None:
    other = Key("demo", "s1", "cola")
    demand = daily_demand([Day(KEY, at(0), 3), Day(KEY, at(2), 5), Day(other, at(1), 1)], [], at(4))
    assert demand is not None
    assert demand.keys == (other, KEY)
    assert demand.units.tolist() == [[0, 1, 0, 0], [3, 0, 5, 0]]
    assert demand.known.tolist() == [[False, True, True, True], [True] * 4]


def test_what_tills_say_of_a_series_counts_alone_and_returns_never_make_it_negative() -> None:
    shelves = [Day(KEY, at(0), 9), Day(KEY, at(1), 9)]
    demand = daily_demand(shelves, [Day(KEY, at(0), 2), Day(KEY, at(1), -1)], at(2))
    assert demand is not None
    assert demand.units.tolist() == [[2, 0]]


def test_days_out_of_stock_are_censored_until_the_shelf_is_heard_of_again() -> None:
    shelves = [Day(KEY, at(0), 3), Day(KEY, at(1), 3, empty=True, ended_empty=True), Day(KEY, at(4), 2)]
    demand = daily_demand(shelves, [], at(6))
    assert demand is not None
    assert demand.censored.tolist() == [[False, True, True, True, False, False]]


def test_no_sales_are_no_demand_to_forecast() -> None:
    assert daily_demand([], [], at(9)) is None


def test_a_stock_out_is_not_taken_for_low_demand() -> None:
    units = np.full((1, 60), 10.0)
    units[0, 40:] = 0.0
    known, out = np.ones((1, 60), dtype=np.bool_), np.zeros((1, 60), dtype=np.bool_)
    out[0, 40:] = True
    plans = [QUIET] * 74
    censored, believed = walk(units, known, out, plans), walk(units, known, ~known, plans)
    for name in censored.names:
        assert censored.ahead[name][0, :, 0] == pytest.approx(10.0, rel=0.2), name
        assert believed.ahead[name][0, 0, 0] < 3.0, name


def test_a_day_that_sold_out_above_the_forecast_is_learnt_all_the_same() -> None:
    units = np.full((1, 40), 10.0)
    units[0, 20:] = 30.0
    known = np.ones((1, 40), dtype=np.bool_)
    out = known & (np.arange(40) >= 20)
    ahead = walk(units, known, out, [QUIET] * 54).ahead["smooth"]
    assert ahead[0, 0, 0] > 20.0


def test_each_series_gets_the_method_that_served_it_best() -> None:
    rng = np.random.default_rng(3)
    weekly = rng.poisson(np.tile([5, 5, 5, 5, 20, 40, 30], 20), size=(4, 140)).astype(np.float64)
    rare = np.where(rng.random((4, 140)) < 0.1, rng.poisson(6, (4, 140)), 0).astype(np.float64)
    units = np.concatenate([weekly, rare])
    quiet = Plan(np.zeros(8), np.zeros(8), np.zeros(8, dtype=np.bool_), np.zeros(8, dtype=np.bool_))
    known = np.ones(units.shape, dtype=np.bool_)
    found = walk(units, known, ~known, [quiet] * 154)
    assert [found.names[index] for index in found.chosen[:4]] == ["seasonal"] * 4
    assert "seasonal" not in [found.names[index] for index in found.chosen[4:]]
    saturday = found.ahead["seasonal"][:4, 5, 0]
    assert np.all((saturday > 30) & (saturday < 50))


def test_quantiles_cover_what_they_say() -> None:
    units = np.random.default_rng(4).poisson(12, size=(30, 200)).astype(np.float64)
    quiet = Plan(np.zeros(30), np.zeros(30), np.zeros(30, dtype=np.bool_), np.zeros(30, dtype=np.bool_))
    known = np.ones(units.shape, dtype=np.bool_)
    found = walk(units, known, ~known, [quiet] * 201)
    for index, share in enumerate(QUANTILES):
        covered = (units[:, 50:] <= found.past["smooth"][:, 50:, 1 + index]).mean()
        assert covered == pytest.approx(share, abs=0.08)


def test_accuracy_is_that_of_its_formulas() -> None:
    units = np.array([[1.0, 3.0, 2.0, 0.0], [2.0, 2.0, 2.0, 2.0]])
    mean = np.array([[2.0, 2.0, 2.0, 2.0], [1.0, 1.0, 1.0, 1.0]])
    known = np.array([[True, True, True, False], [True] * 4])
    assert accuracy.bias(units, mean, known).tolist() == [0.0, -1.0]
    assert accuracy.pinball(units, mean, 0.8, known).tolist() == pytest.approx([(0.2 + 0.8 + 0) / 3, 0.8])
    scaled = accuracy.rmsse(units, mean, known)
    assert scaled[0] == pytest.approx(np.sqrt((2 / 3) / (5 / 2)))
    assert np.isnan(scaled[1])
    assert np.isnan(accuracy.bias(units, mean, np.zeros_like(known))).all()


def shops(days: int) -> DailyDemand:
    """Forty shops that share a weekly rhythm, each with a level of its own and a doubling every tenth day."""
    rng = np.random.default_rng(6)
    level = rng.uniform(3, 30, size=(40, 1))
    rhythm = np.tile([1, 1, 1, 1, 2, 3, 2], days // 7 + 1)[:days]
    units = rng.poisson(level * rhythm).astype(np.float64)
    known = np.ones(units.shape, dtype=np.bool_)
    return DailyDemand(tuple(Key("demo", f"s{n:02}", "tea") for n in range(40)), START, units, known, ~known)


def test_the_pooled_model_replaces_methods_only_where_it_wins() -> None:
    demand = shops(98)
    night = forecast_night(demand)
    assert night.ahead.shape == (40, HORIZON_DAYS, 1 + len(QUANTILES))
    for method, scores in zip(night.methods, night.scores, strict=True):
        by_name = {score.method: score for score in scores}
        assert [score.method for score in scores if score.chosen] == [method]
        assert set(by_name) == {"smooth", "intermittent", "seasonal", POOLED}
        assert by_name[POOLED].days == pooled.TRIAL_DAYS
    assert 0 < night.methods.count(POOLED) < 40
    assert np.isfinite(night.ahead).all()


def test_a_short_history_has_no_pooled_model() -> None:
    night = forecast_night(shops(35))
    assert POOLED not in night.methods
    assert {score.method for score in night.scores[0]} == {"smooth", "intermittent", "seasonal"}


@pytest.mark.parametrize(
    ("mean", "q95", "capacity", "pack", "expected"),
    [(2.0, 5.0, 40, 1, (8, 12)), (2.0, 5.0, 40, 6, (8, 14)), (2.0, 5.0, 10, 6, (8, 10)), (0.0, 0.0, 10, 1, (0, 1))],
)
def test_a_policy_covers_the_lead_time_and_fits_the_shelf(
    mean: float, q95: float, capacity: int, pack: int, expected: tuple[int, int]
) -> None:
    ahead = np.tile([mean, mean, mean + 1, q95], (HORIZON_DAYS, 1))
    found = stock_policy(ahead, capacity, pack)
    assert found is not None
    assert abs(found.reorder_point - expected[0]) <= 1
    assert (found.target - found.reorder_point, found.target <= capacity) == (
        min(expected[1] - expected[0], capacity - found.reorder_point),
        True,
    )


def test_a_shelf_without_room_gets_no_policy() -> None:
    assert stock_policy(np.ones((HORIZON_DAYS, 4)), 0, 1) is None
