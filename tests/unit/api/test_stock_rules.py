from datetime import date
from uuid import UUID

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from contracts.frames import EventKind
from platform_api.stock.rules import (
    ADJUST,
    WINDOWS_NEEDED,
    LotStock,
    MoveKind,
    Verdict,
    available,
    event_legs,
    judge,
    pick_lots,
    till_legs,
)
from platform_api.stock.valuing import Holding, Leg, is_balanced, value_legs

TODAY = date(2026, 1, 5)


def lot(number: int, units: int, expires: date | None = None) -> LotStock:
    return LotStock(UUID(int=number), expires, units)


@given(st.integers(1, 30), st.integers(0, 10**9), st.data())
def test_giving_everything_away_piece_by_piece_leaves_no_value_behind(
    units: int, value: int, data: st.DataObject
) -> None:
    holding = Holding(units, value)
    given_away = 0
    while holding.on_hand:
        taken = data.draw(st.integers(1, holding.on_hand))
        (_, worth) = value_legs([Leg("a", "x", -taken), Leg(".customer", "x", taken)], {("a", "x"): holding})
        assert 0 <= worth <= holding.value_minor
        given_away += worth
        holding = Holding(holding.on_hand - taken, holding.value_minor - worth)
    assert (given_away, holding.value_minor) == (value, 0)


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 10_000)), min_size=1, max_size=5), st.integers(1, 500))
def test_a_move_creates_and_destroys_no_value(sources: list[tuple[int, int]], wanted: int) -> None:
    total = sum(units for units, _ in sources)
    assume(wanted <= total)
    legs, left = [], wanted
    for number, (units, _) in enumerate(sources):
        taken = min(left, units)
        if taken:
            legs.append(Leg(f"s{number}", "x", -taken))
            left -= taken
    legs.append(Leg("target", "x", wanted))
    holdings = {(f"s{number}", "x"): Holding(units, value) for number, (units, value) in enumerate(sources)}
    values = value_legs(legs, holdings | {("target", "x"): Holding(0, 0)})
    assert sum(values) == 0
    assert values[-1] >= 0


def test_what_comes_from_outside_brings_its_cost_or_the_average_of_where_it_arrives() -> None:
    legs = [Leg("wh", "x", 10), Leg(".supplier", "x", -10)]
    there = {("wh", "x"): Holding(30, 100)}
    assert value_legs(legs, there, {"x": 45}) == [45, -45]
    assert value_legs(legs, there) == [33, -33]
    assert value_legs(legs, {("wh", "x"): Holding(0, 0)}) == [0, 0]


def test_a_shelf_that_is_short_by_the_books_gives_what_it_has_of_value() -> None:
    legs = [Leg("sh.shelf", "x", -5), Leg(".customer", "x", 5)]
    assert value_legs(legs, {("sh.shelf", "x"): Holding(2, 60)}) == [-60, 60]
    assert value_legs(legs, {("sh.shelf", "x"): Holding(-1, 0)}) == [0, 0]


def test_first_expired_goes_first_and_what_has_expired_stays() -> None:
    lots = [lot(1, 5, date(2026, 3, 1)), lot(2, 5, date(2026, 2, 1)), lot(3, 9, TODAY), lot(4, 5)]
    assert pick_lots(lots, 12, TODAY) == [(UUID(int=2), 5), (UUID(int=1), 5), (UUID(int=4), 2)]
    assert pick_lots(lots, 17, TODAY)[-1] == (None, 2)
    assert pick_lots(lots, 5, date.min) == [(UUID(int=3), 5)]


@given(st.lists(st.tuples(st.integers(0, 20), st.dates()), max_size=8), st.integers(1, 100))
def test_what_is_picked_is_what_was_wanted_and_never_more_than_a_lot_has(
    stock: list[tuple[int, date]], wanted: int
) -> None:
    lots = [lot(number, units, expires) for number, (units, expires) in enumerate(stock)]
    picked = pick_lots(lots, wanted, TODAY)
    assert sum(units for _, units in picked) == wanted
    have = {one.lot_id: one.units for one in lots}
    assert all(units <= have[lot_id] for lot_id, units in picked if lot_id is not None)


@pytest.mark.parametrize(
    ("kind", "units", "move", "legs"),
    [
        (EventKind.SALE, -2, MoveKind.SALE, [("s.shelf", -2), (".customer", 2)]),
        (EventKind.PUT_BACK, 1, MoveKind.PUT_BACK, [("s.shelf", 1), (".customer", -1)]),
        (EventKind.RESTOCK, 6, MoveKind.RESTOCK, [("s.shelf", 6), ("s", -6)]),
        (EventKind.RESTOCK, 15, MoveKind.RESTOCK, [("s.shelf", 15), ("s", -10), (ADJUST, -5)]),
        (EventKind.REMOVE, -3, MoveKind.REMOVE, [("s.shelf", -3), ("s", 3)]),
        (EventKind.ADJUST, -1, MoveKind.ADJUST, [("s.shelf", -1), (ADJUST, 1)]),
    ],
)
def test_an_event_books_both_of_its_sides(
    kind: EventKind, units: int, move: MoveKind, legs: list[tuple[str, int]]
) -> None:
    found = event_legs(kind, "s", "x", units, in_store=10)
    assert found is not None
    assert (found[0], [(leg.location, leg.units) for leg in found[1]]) == (move, legs)
    assert is_balanced(found[1])


def test_an_event_without_units_books_nothing() -> None:
    assert event_legs(EventKind.UNKNOWN, "s", "x", 0, in_store=10) is None
    assert event_legs(EventKind.SALE, "s", "x", 0, in_store=10) is None


@pytest.mark.parametrize(
    ("observed", "booked", "windows", "verdict"),
    [
        (40, 40, 9, Verdict.AGREES),
        (41, 40, WINDOWS_NEEDED - 1, Verdict.WATCH),
        (41, 40, WINDOWS_NEEDED, Verdict.POST),
        (37, 40, WINDOWS_NEEDED, Verdict.COUNT),
        (197, 200, WINDOWS_NEEDED, Verdict.POST),
        (0, 1, WINDOWS_NEEDED, Verdict.POST),
    ],
)
def test_a_lasting_difference_is_posted_when_small_and_counted_when_large(
    observed: int, booked: int, windows: int, verdict: Verdict
) -> None:
    assert judge(observed, booked, windows) is verdict


def test_what_can_be_promised_is_free_now_or_due_in_time_and_never_negative() -> None:
    assert available(10, 4, [5, 1]) == 12
    assert available(-3, 0) == 0


def test_what_a_till_sold_leaves_the_place_and_what_is_not_there_comes_from_nowhere() -> None:
    assert till_legs("s", "tea", 3, 5) == ([Leg(".customer", "tea", 3), Leg("s", "tea", -3)], 0)
    assert till_legs("s", "tea", 3, 1) == (
        [Leg(".customer", "tea", 3), Leg("s", "tea", -1), Leg(".adjust", "tea", -2)],
        2,
    )
    assert till_legs("s", "tea", 3, None) == ([Leg(".customer", "tea", 3), Leg("s", "tea", -3)], 0)
    assert till_legs("s", "tea", -2, 0) == ([Leg(".customer", "tea", -2), Leg("s", "tea", 2)], 0)
