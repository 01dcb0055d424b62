"""Lots that nobody names: first expired, first out, and never more of them than lies there."""

from datetime import date, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from platform_api.stock.lots import Shelved, keep_lots, with_lots
from platform_api.stock.rules import ADJUST, CUSTOMER, LotStock
from platform_api.stock.valuing import Leg, is_balanced

FIRST = date(2026, 1, 5)


def lot(number: int, units: int) -> LotStock:
    """Lots expire in the order of their numbers."""
    return LotStock(UUID(int=number), FIRST + timedelta(days=number), units)


def test_a_sale_takes_what_expires_first_and_the_customer_has_that_lot() -> None:
    shelf = Shelved(10, [lot(2, 5), lot(1, 3)])
    legs = with_lots([Leg(CUSTOMER, "x", 7), Leg("s.shelf", "x", -7)], {("s.shelf", "x"): shelf})
    assert legs == [
        Leg("s.shelf", "x", -3, UUID(int=1)),
        Leg("s.shelf", "x", -4, UUID(int=2)),
        Leg(CUSTOMER, "x", 3, UUID(int=1)),
        Leg(CUSTOMER, "x", 4, UUID(int=2)),
    ]


def test_units_beyond_all_lots_have_none_and_so_has_what_comes_back() -> None:
    places = {("s", "x"): Shelved(6, [lot(1, 4)])}
    sold = with_lots([Leg("s", "x", -6), Leg(CUSTOMER, "x", 6)], places)
    assert [(leg.units, leg.lot_id) for leg in sold if leg.location == "s"] == [(-4, UUID(int=1)), (-2, None)]
    assert with_lots([Leg("s", "x", 2), Leg(CUSTOMER, "x", -2)], places) == [
        Leg(CUSTOMER, "x", -2),
        Leg("s", "x", 2),
    ]


def test_a_refill_brings_its_lots_to_the_shelf_and_what_the_store_lacks_brings_none() -> None:
    places = {("s", "x"): Shelved(4, [lot(1, 4)]), ("s.shelf", "x"): Shelved(0, [])}
    legs = with_lots([Leg("s.shelf", "x", 6), Leg("s", "x", -4), Leg(ADJUST, "x", -2)], places)
    assert [leg for leg in legs if leg.location == "s.shelf"] == [
        Leg("s.shelf", "x", 4, UUID(int=1)),
        Leg("s.shelf", "x", 2),
    ]


def test_what_was_sold_before_its_refill_was_booked_keeps_no_lot() -> None:
    assert list(keep_lots([(UUID(int=1), 5)], -3)) == [(None, 3), (UUID(int=1), 2)]
    assert list(keep_lots([(UUID(int=1), 5)], 0)) == [(UUID(int=1), 5)]
    assert list(keep_lots([(UUID(int=1), 2), (None, 3)], -7)) == [(None, 2), (None, 3)]


@given(st.lists(st.integers(-9, 9).filter(bool), min_size=1, max_size=30), st.lists(st.integers(1, 6), max_size=4))
def test_whatever_happens_on_a_shelf_its_lots_never_exceed_what_is_there(steps: list[int], stored: list[int]) -> None:
    """Sales (negative) and refills out of a back room (positive), in any order."""
    room = {UUID(int=number): units for number, units in enumerate(stored)}
    shelf: dict[UUID, int] = {}
    on_hand, in_room = 0, sum(stored)
    for step in steps:
        known = min(max(step, 0), in_room)
        legs = [Leg("s.shelf", "x", step)]
        legs += [Leg("s", "x", -known)] if known else []
        legs += [Leg(CUSTOMER if step < 0 else ADJUST, "x", known - step)] if known != step else []
        places = {
            ("s.shelf", "x"): Shelved(on_hand, [lot(key.int, units) for key, units in shelf.items()]),
            ("s", "x"): Shelved(in_room, [lot(key.int, units) for key, units in room.items()]),
        }
        written = with_lots(legs, places)
        assert is_balanced(written)
        for leg in written:
            lots = {"s.shelf": shelf, "s": room}.get(leg.location)
            if leg.lot_id is not None and lots is not None:
                lots[leg.lot_id] = lots.get(leg.lot_id, 0) + leg.units
        on_hand, in_room = on_hand + step, in_room - known
        assert min([0, *shelf.values(), *room.values()]) == 0
        assert sum(shelf.values()) <= max(0, on_hand)
        assert sum(room.values()) <= in_room
