import pytest

from deploy.planning import PLANNER
from platform_api.replenishment.planning import (
    HANDLING_MINOR,
    KM_MINOR,
    KM_UNKNOWN,
    Lane,
    Need,
    Planned,
    Point,
    lane_cost_minor,
)

ROOMY = 1_000


def need(wanted: int, pack: int, *, minimum: int = 0, room: int = ROOMY) -> Need:
    return Need(wanted=wanted, pack=pack, minimum=minimum, room=room)


@pytest.mark.parametrize(
    ("asked", "units"),
    [
        (need(16, 10), 20),
        (need(16, 10, room=16), 10),
        (need(16, 24, room=16), 0),
        (need(16, 1, room=12), 12),
        (need(16, 10, minimum=40), 40),
        (need(16, 10, minimum=40, room=30), 0),
    ],
)
def test_an_order_is_whole_packs_within_the_minimum_and_the_room(asked: Need, units: int) -> None:
    assert PLANNER.fit(asked) == units


def test_what_is_spare_goes_where_it_is_cheapest_to_bring_when_two_stores_want_it() -> None:
    lanes = [Lane("wh", "near", 30.0), Lane("wh", "far", 90.0), Lane("other", "near", 60.0), Lane("other", "far", 95.0)]
    moves = PLANNER.moves({"wh": 10, "other": 10}, {"near": 10, "far": 10}, lanes, 600)
    assert moves == [Planned("other", "far", 10), Planned("wh", "near", 10)]


def test_what_is_dearer_to_bring_than_to_buy_is_bought() -> None:
    assert PLANNER.moves({"wh": 10}, {"far": 10}, [Lane("wh", "far", 700.0)], 600) == [Planned("", "far", 10)]


def test_a_lane_costs_handling_and_the_way() -> None:
    shanghai, hangzhou = Point(31.23, 121.47), Point(30.27, 120.15)
    assert lane_cost_minor(shanghai, shanghai) == HANDLING_MINOR
    assert lane_cost_minor(shanghai, hangzhou) == pytest.approx(HANDLING_MINOR + KM_MINOR * 165, rel=0.03)
    assert lane_cost_minor(shanghai, Point(None, None)) == HANDLING_MINOR + KM_MINOR * KM_UNKNOWN
