"""Units on a slot after its events."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.frames import Event, EventKind
from stream.position import UNITS_MAX, apply


def event(kind: EventKind, units: int, on_shelf: int | None = None) -> Event:
    return Event(id="e", d=0, slot="b1", kind=kind, units=units, on_shelf=on_shelf)


@pytest.mark.parametrize(
    ("before", "what", "after"),
    [
        (10, event(EventKind.SALE, -2), 8),
        (8, event(EventKind.PUT_BACK, 1), 9),
        (0, event(EventKind.RESTOCK, 12), 12),
        (5, event(EventKind.SALE, -2, on_shelf=4), 4),
        (1, event(EventKind.SALE, -3), 0),
        (UNITS_MAX, event(EventKind.RESTOCK, 5), UNITS_MAX),
        (7, event(EventKind.UNKNOWN, 0), 7),
        (7, event(EventKind.ADJUST, -7, on_shelf=0), 0),
    ],
)
def test_an_event_moves_the_shelf(before: int, what: Event, after: int) -> None:
    assert apply(before, what) == after


@given(st.lists(st.integers(-5, 5), max_size=50))
def test_a_shelf_never_holds_less_than_nothing(changes: list[int]) -> None:
    on_shelf = 0
    for units in changes:
        on_shelf = apply(on_shelf, event(EventKind.ADJUST, units))
        assert 0 <= on_shelf <= UNITS_MAX
