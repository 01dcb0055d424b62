"""Policies give what the literature gives.

Values of Snyder and Shen, "Fundamentals of supply chain theory" (2019), examples 4.3, 4.7, 5.9 and 5.11 and problems of
these chapters, as computed by stockpyl 1.0.2 (newsvendor_normal, newsvendor_poisson, r_q_poisson_exact,
s_s_discrete_exact). stockpyl itself is no dependency: it pins sphinx.
"""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.policy.base_stock import (
    LeadTime,
    capped_base_stock,
    normal_loss,
    protection_sd,
    safety_for_cycle_service,
    safety_for_fill_rate,
)
from stream.policy.constraints import Limits, Line, fit
from stream.policy.demand_law import negative_binomial, poisson
from stream.policy.min_max import best_min_max
from stream.policy.newsvendor import newsvendor_discrete, newsvendor_normal
from stream.policy.reorder_quantity import best_reorder_quantity
from stream.policy.rules import Rule, order_units
from stream.policy.transfers import Lane, Move, plan_transfers

WITHIN = 1e-3


def test_the_newsvendor_with_normal_demand_is_that_of_the_book() -> None:
    assert newsvendor_normal(50, 8, 0.18, 0.70) == pytest.approx((56.60395592743389, 1.9976051931766445), rel=WITHIN)


@pytest.mark.parametrize(
    ("holding", "penalty", "mean", "stock", "cost"),
    [(0.18, 0.70, 50, 56, 1.797235211809178), (1, 4, 6, 8, 3.5701069457709376)],
)
def test_the_newsvendor_with_poisson_demand_is_that_of_the_book(
    holding: float, penalty: float, mean: float, stock: int, cost: float
) -> None:
    found = newsvendor_discrete(poisson(mean), holding, penalty)
    assert found.stock == stock
    assert found.cost == pytest.approx(cost, rel=WITHIN)


@pytest.mark.parametrize(
    ("holding", "penalty", "order_cost", "rate", "lead_time", "reorder_point", "lot", "cost"),
    [
        (20, 150, 100, 1.5, 2, 3, 5, 107.92358063314975),
        (1, 9, 8, 5, 3, 15, 12, 12.530232450877115),
        (2, 30, 50, 10, 1, 9, 25, 48.26995405560141),
    ],
)
def test_r_q_with_poisson_demand_is_that_of_the_book(  # noqa: PLR0913 - a row of a table
    *,
    holding: float,
    penalty: float,
    order_cost: float,
    rate: float,
    lead_time: float,
    reorder_point: int,
    lot: int,
    cost: float,
) -> None:
    found = best_reorder_quantity(rate, lead_time, holding, penalty, order_cost)
    assert (found.reorder_point, found.lot) == (reorder_point, lot)
    assert found.cost == pytest.approx(cost, rel=WITHIN)


@pytest.mark.parametrize(
    ("holding", "penalty", "order_cost", "mean", "s", "up_to", "cost"),
    [
        (1, 4, 5, 6, 4, 10, 8.034111561471642),
        (1, 9, 64, 10, 6, 40, 35.02155527232038),
        (1, 9, 64, 25, 19, 56, 54.26216671858924),
        (2, 10, 20, 3, 1, 9, 15.673916061069917),
    ],
)
def test_s_s_with_whole_demand_is_that_of_zheng_and_federgruen(  # noqa: PLR0913 - a row of a table
    *, holding: float, penalty: float, order_cost: float, mean: float, s: int, up_to: int, cost: float
) -> None:
    found = best_min_max(poisson(mean), holding, penalty, order_cost)
    assert (found.s, found.up_to) == (s, up_to)
    assert found.cost == pytest.approx(cost, rel=WITHIN)


@given(st.floats(0.5, 40), st.floats(1.0, 6.0))
def test_a_table_of_demand_keeps_its_mean_and_sums_to_one(mean: float, dispersion: float) -> None:
    law = negative_binomial(mean, mean * dispersion)
    assert law.probability.sum() == pytest.approx(1.0, abs=1e-9)
    assert law.mean == pytest.approx(mean, rel=1e-6)


def test_safety_stock_grows_with_the_spread_of_the_lead_time() -> None:
    steady, late = (protection_sd(10, 3, LeadTime(2, sd), 1) for sd in (0.0, 0.5))
    assert steady == pytest.approx(math.sqrt(27))
    assert late == pytest.approx(math.sqrt(27 + 25))
    assert safety_for_cycle_service(0.95, late) == pytest.approx(1.6449 * late, rel=1e-4)


@given(st.floats(0.5, 0.999), st.floats(0.5, 50), st.floats(1, 500))
def test_a_fill_rate_is_reached_and_not_by_more_than_needed(fill_rate: float, spread: float, cycle: float) -> None:
    safety = safety_for_fill_rate(fill_rate, spread, cycle)
    lost = spread * normal_loss(safety / spread)
    assert lost <= (1 - fill_rate) * cycle * (1 + 1e-6)
    assert safety == 0 or lost == pytest.approx((1 - fill_rate) * cycle, rel=1e-3)


def test_capped_base_stock_orders_no_more_than_its_cap_and_close_to_the_mean() -> None:
    policy = capped_base_stock(poisson(20), poisson(60), 1.0, 19.0)
    assert policy.level == poisson(60).quantile(0.95)
    assert 18 <= policy.cap <= 20


@pytest.mark.parametrize(
    ("position", "rule", "units"),
    [
        (10, Rule(np.array(10.0), np.array(10.0)), 0),
        (7, Rule(np.array(10.0), np.array(10.0)), 3),
        (6, Rule(np.array(5.0), np.array(20.0)), 0),
        (5, Rule(np.array(5.0), np.array(20.0)), 15),
        (5, Rule(np.array(5.0), np.array(20.0), cap=9), 9),
        (5, Rule(np.array(8.0), np.array(9.0), batch=6), 6),
        (5, Rule(np.array(30.0), np.array(30.0), cap=20, batch=6), 18),
        (6.5, Rule(np.array(9.2), np.array(9.2)), 3),
        (7, Rule(np.array(np.inf), np.array(10.0), share=0.5, usual=5.0), 4),
        (16, Rule(np.array(np.inf), np.array(10.0), share=0.5, usual=5.0), 0),
    ],
)
def test_a_rule_orders_whole_batches_under_its_cap(position: float, rule: Rule, units: int) -> None:
    assert order_units(np.array(float(position)), rule) == units


def test_packs_minimum_shelf_and_shelf_life_bound_each_line() -> None:
    lines = [
        Line(wanted=7, value=1, pack=6),
        Line(wanted=7, value=1, pack=6, room=11),
        Line(wanted=2, value=1, minimum=10),
        Line(wanted=2, value=1, minimum=10, room=9),
        Line(wanted=30, value=1, sells=12),
        Line(wanted=0, value=1, minimum=10),
    ]
    assert fit(lines, Limits()) == [12, 6, 10, 0, 12, 0]


def test_a_budget_and_a_truck_take_what_is_worth_most() -> None:
    lines = [Line(wanted=10, value=3, price=2, volume=1), Line(wanted=10, value=5, price=4, volume=1)]
    assert fit(lines, Limits(budget=40)) == [10, 5]
    assert fit(lines, Limits(truck=12)) == [2, 10]
    assert fit([], Limits()) == []


@given(
    st.lists(
        st.tuples(st.integers(0, 12), st.integers(1, 9), st.integers(1, 4), st.integers(0, 6), st.integers(1, 5)),
        min_size=1, max_size=3,
    ),
    st.integers(0, 40),
)  # fmt: skip
def test_no_order_within_a_budget_is_worth_more(rows: list[tuple[int, int, int, int, int]], budget: int) -> None:
    lines = [Line(wanted, value, pack, minimum, price=price) for wanted, value, pack, minimum, price in rows]
    found = fit(lines, Limits(budget=budget))
    assert sum(units * line.price for units, line in zip(found, lines, strict=True)) <= budget

    def worth(orders: list[int]) -> float:
        return sum(min(units, line.wanted) * line.value for units, line in zip(orders, lines, strict=True))

    options: list[list[int]] = [[]]
    for line in lines:
        most = max(line.wanted, line.minimum if line.wanted else 0) + line.pack - 1
        allowed = [units for units in range(0, most + 1, line.pack) if units == 0 or units >= line.minimum]
        options = [[*before, units] for before in options for units in allowed]
    affordable = [one for one in options if sum(u * ln.price for u, ln in zip(one, lines, strict=True)) <= budget]
    assert worth(found) == pytest.approx(max(worth(one) for one in affordable))


def test_spare_units_nearby_are_moved_before_any_are_bought() -> None:
    lanes = [Lane("a", "x", 1.0), Lane("b", "x", 2.0), Lane("b", "y", 1.0), Lane("c", "y", 9.0)]
    moves = plan_transfers({"a": 3, "b": 4, "c": 9}, {"x": 5, "y": 6}, lanes, purchase=5.0)
    assert moves == [Move("", "x", 2), Move("", "y", 2), Move("a", "x", 3), Move("b", "y", 4)]
