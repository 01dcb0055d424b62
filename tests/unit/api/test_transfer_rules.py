import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_api.stock.transfer_rules import Progress, TransferState, state_of, units_to_receive, units_to_send

ENOUGH = {"tea": 99, "cola": 99}


@pytest.mark.parametrize(
    ("lines", "state"),
    [
        ([Progress(5), Progress(3)], TransferState.REQUESTED),
        ([Progress(5, sent=5), Progress(3)], TransferState.PART_SENT),
        ([Progress(5, sent=5, received=5), Progress(3, sent=1, received=1)], TransferState.PART_SENT),
        ([Progress(5, sent=5), Progress(3, given_up=3)], TransferState.SENT),
        ([Progress(5, sent=5, received=4, missing=1), Progress(3, given_up=3)], TransferState.RECEIVED),
        ([Progress(5, given_up=5), Progress(3, given_up=3)], TransferState.CANCELLED),
    ],
)
def test_the_state_of_a_transfer_follows_from_its_lines(lines: list[Progress], state: TransferState) -> None:
    assert state_of(lines) is state


def test_what_is_there_leaves_unless_somebody_says_how_much() -> None:
    lines = {"tea": Progress(10, sent=4), "cola": Progress(5)}
    assert units_to_send(lines, {"tea": 3, "cola": -2}, ENOUGH, None) == {"tea": 3}
    assert units_to_send(lines, {"tea": 3}, ENOUGH, {"tea": 6, "cola": 0}) == {"tea": 6}
    with pytest.raises(ValueError, match="6 units of tea wait to be sent, not 7"):
        units_to_send(lines, {}, ENOUGH, {"tea": 7})
    with pytest.raises(ValueError, match="0 units of milk wait"):
        units_to_send(lines, {}, ENOUGH, {"milk": 1})
    with pytest.raises(ValueError, match="nothing that waits"):
        units_to_send(lines, {}, ENOUGH, None)


def test_all_that_is_on_its_way_has_come_unless_somebody_says_otherwise() -> None:
    lines = {"tea": Progress(10, sent=8, received=2), "cola": Progress(5)}
    assert units_to_receive(lines, None, {}) == {"tea": (6, 0)}
    assert units_to_receive(lines, None, {"tea": 2}) == {"tea": (4, 2)}
    assert units_to_receive(lines, {"tea": 1}, {}) == {"tea": (1, 0)}
    with pytest.raises(ValueError, match="6 units of tea are on their way, not 7"):
        units_to_receive(lines, {"tea": 5}, {"tea": 2})
    with pytest.raises(ValueError, match="6 units of tea are on their way, not 9"):
        units_to_receive(lines, None, {"tea": 9})
    with pytest.raises(ValueError, match="nothing is on its way"):
        units_to_receive(lines, {"tea": 0}, {})


@given(st.integers(1, 50), st.data())
def test_whatever_the_parts_every_unit_has_one_fate(units: int, data: st.DataObject) -> None:
    line = Progress(units)
    while state_of([line]) not in {TransferState.RECEIVED, TransferState.CANCELLED}:
        if line.waiting and data.draw(st.booleans()):
            count = data.draw(st.integers(1, line.waiting))
            sent = units_to_send({"x": line}, {"x": count}, {"x": count}, None)["x"]
            line = Progress(units, line.sent + sent, line.received, line.missing, line.given_up)
        elif line.on_the_way:
            lost = data.draw(st.integers(0, line.on_the_way))
            came, lost = units_to_receive({"x": line}, None, {"x": lost})["x"]
            line = Progress(units, line.sent, line.received + came, line.missing + lost, line.given_up)
        else:
            line = Progress(units, line.sent, line.received, line.missing, line.given_up + line.waiting)
    assert line.received + line.missing + line.given_up == units


def test_what_is_held_leaves_beside_what_is_free() -> None:
    lines = {"tea": Progress(30, held=12)}
    assert units_to_send(lines, {"tea": 5}, ENOUGH, None) == {"tea": 17}
    assert units_to_send(lines, {"tea": 50}, ENOUGH, None) == {"tea": 30}
    assert (lines["tea"].waiting, lines["tea"].unheld) == (30, 18)


def test_what_has_expired_stays_and_the_rest_of_a_transfer_goes() -> None:
    lines = {"milk": Progress(10, held=10), "tea": Progress(5, held=5)}
    assert units_to_send(lines, {}, {"milk": 0, "tea": 80}, None) == {"tea": 5}
    assert units_to_send(lines, {}, {"milk": 4, "tea": 80}, None) == {"milk": 4, "tea": 5}
    with pytest.raises(ValueError, match="nothing that waits"):
        units_to_send({"milk": lines["milk"]}, {}, {"milk": 0}, None)
