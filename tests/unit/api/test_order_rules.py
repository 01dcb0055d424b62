from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_api.logistics.rules import SHELF_DAYS, ShelfVerdict, ShipmentState, judge_refill
from platform_api.logistics.rules import state_after as shipment_after
from platform_api.orders.rules import TRANSITIONS, Action, State, state_after
from platform_api.orders.totals import WHOLE, Discount, PricedLine, invoice_part, total_up

NOW = datetime(2026, 1, 5, 8, tzinfo=UTC)
LINES = st.lists(
    st.builds(
        PricedLine,
        line_no=st.just(0),
        packs=st.integers(1, 500),
        unit_price_minor=st.integers(0, 100_000),
        tax_basis_points=st.sampled_from([0, 600, 900, 1300]),
    ),
    min_size=1,
    max_size=20,
).map(
    lambda lines: [
        PricedLine(number, line.packs, line.unit_price_minor, line.tax_basis_points)
        for number, line in enumerate(lines, start=1)
    ]
)


DISCOUNTS = st.dictionaries(st.integers(0, 20), st.builds(Discount, st.integers(0, 10_000), st.just("fair")))


@given(LINES, DISCOUNTS)
def test_a_total_equals_its_explanations(lines: list[PricedLine], discounts: dict[int, Discount]) -> None:
    totals = total_up(lines, discounts)
    assert totals.total_minor == sum(line.net_minor for line in lines) + sum(
        one.amount_minor for one in totals.adjustments
    )
    taken = [one for one in totals.adjustments if one.kind == "discount"]
    assert sum(one.amount_minor for one in taken) == (taken[0].explanation["discount_minor"] if taken else 0)
    for one in totals.adjustments:
        if one.kind == "line_discount":
            assert one.amount_minor == one.explanation["discount_minor"]
    for rate in {one.explanation["basis_points"] for one in totals.adjustments if one.kind == "tax"}:
        taxes = [one for one in totals.adjustments if one.kind == "tax" and one.explanation["basis_points"] == rate]
        assert sum(one.amount_minor for one in taxes) == taxes[0].explanation["tax_minor"]
    assert totals.total_minor >= 0


@given(LINES, DISCOUNTS)
def test_no_line_costs_less_than_nothing(lines: list[PricedLine], discounts: dict[int, Discount]) -> None:
    totals = total_up(lines, discounts)
    for line in lines:
        of_line = [one.amount_minor for one in totals.adjustments if one.line_no == line.line_no]
        assert line.net_minor + sum(of_line) >= 0


@given(st.integers(0, 10**9), st.integers(1, 30), st.data())
def test_parts_of_an_invoice_sum_to_the_line(gross: int, units: int, data: st.DataObject) -> None:
    shipped = invoiced = 0
    while shipped < units:
        shipped += data.draw(st.integers(1, units - shipped))
        part = invoice_part(gross, units, invoiced, shipped)
        assert part >= 0
        invoiced += part
    assert invoiced == gross


def test_tax_is_on_what_is_left_after_the_discount() -> None:
    totals = total_up([PricedLine(1, 1, 10_000, 1300), PricedLine(2, 1, 5_000, 0)], {WHOLE: Discount(1_000, "fair")})
    assert [(one.line_no, one.kind, one.amount_minor) for one in totals.adjustments] == [
        (1, "discount", -1_000),
        (2, "discount", -500),
        (1, "tax", 1_170),
    ]


def test_the_discount_of_the_whole_is_on_what_the_lines_discounts_leave() -> None:
    lines = [PricedLine(1, 1, 10_000, 0), PricedLine(2, 1, 5_000, 0)]
    totals = total_up(lines, {1: Discount(5_000, "last of its kind"), WHOLE: Discount(1_000, "fair")})
    assert [(one.line_no, one.kind, one.amount_minor) for one in totals.adjustments] == [
        (1, "line_discount", -5_000),
        (1, "discount", -500),
        (2, "discount", -500),
    ]
    assert totals.adjustments[0].explanation["reason"] == "last of its kind"


def test_every_state_but_the_last_two_leads_on_and_nothing_leads_out_of_those() -> None:
    leading = {state for transition in TRANSITIONS.values() for state in transition.allowed}
    assert leading == set(State) - {State.CLOSED, State.CANCELLED}
    reached = {transition.following for transition in TRANSITIONS.values()}
    assert reached == set(State) - {State.DRAFT}


@pytest.mark.parametrize("state", [State.PART_SHIPPED, State.SHIPPED, State.DELIVERED, State.CLOSED, State.CANCELLED])
def test_what_has_left_cannot_be_cancelled(state: State) -> None:
    assert state_after(state, Action.CANCEL) is None


@pytest.mark.parametrize(
    ("state", "told", "following"),
    [
        (ShipmentState.DISPATCHED, ShipmentState.IN_TRANSIT, ShipmentState.IN_TRANSIT),
        (ShipmentState.OUT_FOR_DELIVERY, ShipmentState.IN_TRANSIT, ShipmentState.OUT_FOR_DELIVERY),
        (ShipmentState.IN_TRANSIT, ShipmentState.DELIVERED, ShipmentState.OUT_FOR_DELIVERY),
        (ShipmentState.IN_TRANSIT, ShipmentState.EXCEPTION, ShipmentState.EXCEPTION),
        (ShipmentState.EXCEPTION, ShipmentState.IN_TRANSIT, ShipmentState.IN_TRANSIT),
        (ShipmentState.DELIVERED, ShipmentState.EXCEPTION, ShipmentState.DELIVERED),
    ],
)
def test_a_carrier_moves_a_shipment_on_and_only_a_signature_ends_it(
    state: ShipmentState, told: ShipmentState, following: ShipmentState
) -> None:
    assert shipment_after(state, told) is following


@pytest.mark.parametrize(
    ("accepted", "seen", "days", "verdict"),
    [
        ({"tea": 100}, {"tea": 98}, 0, ShelfVerdict.CONFIRMED),
        ({"tea": 10}, {"tea": 9}, 0, ShelfVerdict.CONFIRMED),
        ({"tea": 100}, {"tea": 97}, 0, ShelfVerdict.WAITING),
        ({"tea": 100}, {"tea": 97}, 7, ShelfVerdict.DISPUTED),
        ({"tea": 100, "milk": 5}, {"tea": 100, "milk": None}, 0, ShelfVerdict.CONFIRMED),
        ({"milk": 5}, {"milk": None}, 0, ShelfVerdict.UNKNOWN),
        ({"tea": 0}, {"tea": 0}, 0, ShelfVerdict.UNKNOWN),
    ],
)
def test_a_shelf_confirms_within_a_unit_or_two_percent_and_disputes_after_a_week(
    accepted: dict[str, int], seen: dict[str, int | None], days: int, verdict: ShelfVerdict
) -> None:
    assert timedelta(days=7) == SHELF_DAYS
    assert judge_refill(accepted, seen, NOW, NOW + timedelta(days=days)) is verdict
