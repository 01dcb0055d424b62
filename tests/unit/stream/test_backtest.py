"""A back-test counts money as its page says, and looks ahead at nothing but the plan."""

import math
from typing import Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.errors import UserError
from stream.backtest import choice
from stream.backtest.figures import Figures, summarise
from stream.backtest.panel import Panel, parse
from stream.backtest.policies import PolicyName
from stream.backtest.run import backtest
from stream.backtest.simulation import Shops, Terms
from stream.policy.rules import Rule

WEEKLY: Final = Terms(lead_time=1, review=1, holding=1.0, penalty=19.0)


def figures(panel: Panel, terms: Terms, name: PolicyName, from_period: str | None = None) -> Figures:
    return summarise(panel, backtest(panel, terms, name, 0.1), terms, panel.counted(from_period))


def shop(opening: int, targets: list[int], demand: list[int | None], lead_time: int, review: int) -> list[list[int]]:
    """Orders, end stock and lost units a period of one shop, written down as the page tells it, by hand."""
    on_hand, due, rows = opening, [0] * (len(demand) + lead_time + 1), []
    for period, (target, wanted) in enumerate(zip(targets, demand, strict=True)):
        on_hand += due[period]
        order = 0
        if period % review == 0:
            order = max(0, target - on_hand - sum(due[period + 1 :]))
        if lead_time:
            due[period + lead_time] += order
        else:
            on_hand += order
        sold = min(on_hand, wanted or 0)
        on_hand -= sold
        rows.append([order, on_hand, (wanted or 0) - sold])
    return rows


@given(
    st.integers(0, 30),
    st.lists(st.tuples(st.integers(0, 40), st.none() | st.integers(0, 30)), min_size=1, max_size=30),
    st.integers(0, 4),
    st.integers(1, 4),
)
def test_a_shop_does_what_the_page_says(
    opening: int, periods: list[tuple[int, int | None]], lead_time: int, review: int
) -> None:
    targets, demand = [target for target, _ in periods], [wanted for _, wanted in periods]
    shops = Shops(np.array([float(opening)]), 1, lead_time)
    found = []
    for period, (target, wanted) in enumerate(periods):
        level = np.array([[float(target)]])
        outcome = shops.pass_period(
            Rule(level, level), np.array([period % review == 0]), np.array([float(wanted or 0)])
        )
        found.append([int(outcome.ordered[0, 0]), int(outcome.end_stock[0, 0]), int(outcome.lost[0, 0])])
    assert found == shop(opening, targets, demand, lead_time, review)


def test_costs_are_money_a_counted_period_and_missing_periods_cost_nothing() -> None:
    # Opening stock 2 x 4 = 8; period 3 is missing; the one order of the review arrives too late.
    panel = parse("series,period,units\na,1,6\na,2,4\na,4,2\n")
    terms = Terms(lead_time=5, review=9, holding=2.0, penalty=3.0, order_cost=5.0)
    found = figures(panel, terms, PolicyName.BASE_STOCK)
    assert (found.series, found.periods) == (1, 3)
    assert found.holding == pytest.approx(2.0 * (2 + 0 + 0) / 3)
    assert found.lost == pytest.approx(3.0 * (0 + 2 + 2) / 3)
    assert found.fill_rate == pytest.approx(8 / 12)
    assert found.orders_per_period == pytest.approx(1 / 3)
    assert found.cost_per_period == pytest.approx(found.holding + found.lost + 5.0 / 3)


def test_orders_cost_and_bullwhip_is_of_the_counted_periods() -> None:
    panel = parse("series,period,units\n" + "".join(f"a,{period},{5 + period % 2}\n" for period in range(40)))
    terms = Terms(lead_time=0, review=1, holding=1.0, penalty=19.0, order_cost=3.0)
    found = figures(panel, terms, PolicyName.BASE_STOCK, "20")
    assert found.periods == 20
    assert 0.9 < found.orders_per_period <= 1.0
    assert found.cost_per_period == pytest.approx(found.holding + found.lost + 3.0 * found.orders_per_period)
    assert found.bullwhip_median is not None
    assert found.bullwhip_median > 0.5


def test_opening_stock_is_twice_the_mean_of_eight_known_periods_rounded_up() -> None:
    rows = "".join(f"a,{period},{units}\n" for period, units in [(1, 1), (2, 1), (3, 1), (9, 2), (10, 1), (11, 1)])
    panel = parse("series,period,units\n" + rows + "a,12,1\na,13,1\na,14,900\n")
    assert panel.opening.tolist() == [math.ceil(2 * 9 / 8)]


@pytest.mark.parametrize("name", list(PolicyName))
def test_no_policy_looks_ahead_except_at_the_plan(name: PolicyName) -> None:
    rng = np.random.default_rng(5)
    promo = rng.random((4, 60)) < 0.3
    units = rng.poisson(8 * (1 + 3 * promo))
    changed_units, changed_promo = units.copy(), promo.copy()
    changed_units[:, 40:] = 999
    changed_promo[:, 42:] = ~changed_promo[:, 42:]
    orders = [
        backtest(_panel(some, plan), WEEKLY, name, 0.1).ordered[:, :41]
        for some, plan in ((units, promo), (changed_units, changed_promo))
    ]
    assert orders[0].sum() > 0
    assert np.array_equal(orders[0], orders[1])


def _panel(units: np.typing.NDArray[np.int64], promo: np.typing.NDArray[np.bool_]) -> Panel:
    rows = [
        f"s{series},{period},{units[series, period]},{int(promo[series, period])}"
        for series in range(units.shape[0])
        for period in range(units.shape[1])
    ]
    return parse("\n".join(["series,period,units,promo", *rows]))


def test_a_known_promotion_is_stocked_for_before_it_begins() -> None:
    rng = np.random.default_rng(7)
    promo = np.zeros((30, 80), dtype=np.bool_)
    promo[:, 6::7] = True
    units = rng.poisson(np.where(promo, 60, 10))
    panel = _panel(units, promo)
    with_plan = figures(panel, WEEKLY, PolicyName.AUTO, "40")
    textbook = min(
        (
            summarise(panel, backtest(panel, WEEKLY, PolicyName.BASE_STOCK, weight), WEEKLY, panel.counted("40"))
        ).cost_per_period
        for weight in (0.02, 0.05, 0.1, 0.2)
    )
    assert with_plan.cost_per_period < 0.7 * textbook
    assert with_plan.fill_rate > 0.97


def test_orders_swing_less_where_that_is_cheaper_than_the_textbook_still(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    promo = rng.random((12, 120)) < 0.15
    panel = _panel(rng.poisson(np.where(promo, 40, 10)), promo)
    calm = figures(panel, WEEKLY, PolicyName.AUTO, "40").bullwhip_median
    monkeypatch.setattr(choice, "SHARES", (1.0,))
    at_once = figures(panel, WEEKLY, PolicyName.AUTO, "40").bullwhip_median
    assert calm is not None
    assert at_once is not None
    assert at_once > 1.2, "the case has something to calm"
    assert calm < at_once - 0.1


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 3), st.integers(1, 3), st.integers(0, 10_000))
def test_the_same_file_gives_the_same_figures_and_no_nan(lead_time: int, review: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    units = rng.poisson(rng.gamma(0.3, 3.0, size=(6, 1)), size=(6, 20))
    panel = _panel(units, rng.random((6, 20)) < 0.2)
    terms = Terms(lead_time, review, 1.0, 9.0, order_cost=float(seed % 3))
    found = [figures(panel, terms, PolicyName.AUTO) for _ in range(2)]
    assert found[0] == found[1]
    assert math.isfinite(found[0].cost_per_period)
    assert 0 <= found[0].fill_rate <= 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("series,period\na,1\n", "no column units"),
        ("series,period,units\n", "no rows"),
        ("series,period,units\na,1,x\n", "line 2: units 'x' is no number"),
        ("series,period,units\na,1,-1\n", "line 2: units must be"),
        ("series,period,units\na,1,1\na,1,2\n", "line 3: series 'a' has period 1 already"),
        ("series,period,units\na,soon,1\n", "line 2: period 'soon' is neither"),
        ("series,period,units,promo\na,1,1,nan\n", "line 2: promo 'nan' is no number"),
    ],
)
def test_a_wrong_file_is_told_with_its_line(text: str, told: str) -> None:
    with pytest.raises(UserError, match=told):
        parse(text)


@pytest.mark.parametrize(
    ("labels", "known"),
    [
        (["2026-01-05", "2026-01-12", "2026-01-26"], [True, True, False, True]),
        (["2026-01-01", "2026-01-02", "2026-01-04"], [True, True, False, True]),
        (["2026-01-31", "2026-02-28", "2026-04-30"], [True, True, False, True]),
        (["7", "8", "10"], [True, True, False, True]),
    ],
)
def test_periods_are_days_weeks_months_or_numbers_and_gaps_are_missing(labels: list[str], known: list[bool]) -> None:
    panel = parse("series,period,units\n" + "".join(f"a,{label},1\n" for label in labels))
    assert panel.known.tolist() == [known]
    assert panel.counted(labels[-1]).sum() == 1
