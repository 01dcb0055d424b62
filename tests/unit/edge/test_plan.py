"""Ranges cover every register in few requests, and holes that a device refuses are learnt."""

from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.bus.plan import RANGE_MAX, Map, Request, learn_absence, learn_refusal, plan
from edge_agent.bus.registers import Function, Kind, Register

INPUT = Function.INPUT_REGISTERS
HOLDING = Function.HOLDING_REGISTERS


def register(address: int, kind: Kind = Kind.UINT16, function: Function = INPUT) -> Register:
    return Register(f"d.r{address}", function, address, kind)


registers_st = st.lists(
    st.builds(
        register,
        st.integers(0, 400),
        st.sampled_from([Kind.UINT16, Kind.INT32, Kind.FLOAT64]),
        st.sampled_from([INPUT, HOLDING]),
    ),
    min_size=1,
    max_size=40,
)


def test_neighbours_are_read_together_over_small_holes() -> None:
    fields = [register(0, Kind.INT32), register(2, Kind.INT32), register(10)]
    assert plan(fields, Map(), hole_max=6) == [Request(INPUT, 0, 11)]
    assert plan(fields, Map(), hole_max=5) == [Request(INPUT, 0, 4), Request(INPUT, 10, 1)]


def test_functions_are_never_mixed() -> None:
    fields = [register(0), register(1, function=HOLDING)]
    assert plan(fields, Map()) == [Request(HOLDING, 1, 1), Request(INPUT, 0, 1)]


def test_a_range_ends_before_the_field_that_would_make_it_too_long() -> None:
    fields = [register(address, Kind.INT32) for address in range(0, 130, 2)]
    assert plan(fields, Map()) == [Request(INPUT, 0, 124), Request(INPUT, 124, 6)]


@given(registers_st, st.integers(0, 130))
def test_every_field_lies_whole_in_one_range_that_is_short_enough(registers: list[Register], hole_max: int) -> None:
    requests = plan(registers, Map(), hole_max=hole_max)
    assert all(1 <= request.size <= RANGE_MAX for request in requests)
    assert requests == sorted(requests)
    for each in registers:
        assert any(
            request.function == each.function
            and request.address <= each.address
            and each.address + each.count <= request.address + request.size
            for request in requests
        )


def test_after_a_refusal_holes_are_bridged_no_more() -> None:
    fields = [register(0), register(1), register(100), register(102)]
    (whole,) = plan(fields, Map())
    known = learn_refusal(whole, fields, Map())
    assert plan(fields, known) == [Request(INPUT, 0, 2), Request(INPUT, 100, 1), Request(INPUT, 102, 1)]


def test_a_single_field_that_is_refused_is_absent() -> None:
    known = learn_refusal(Request(INPUT, 5, 1), [register(5)], Map())
    assert plan([register(5)], known) == []


def test_a_function_that_a_device_does_not_know_is_absent_as_a_whole() -> None:
    fields = [register(0), register(3), register(0, function=HOLDING)]
    known = learn_absence(Request(INPUT, 0, 4), fields, Map())
    assert plan(fields, known) == [Request(HOLDING, 0, 1)]


@st.composite
def layouts(draw: st.DrawFn) -> list[Register]:
    """Fields that do not overlap, with holes between some of them."""
    fields, address = [], 0
    for hole, kind in draw(
        st.lists(
            st.tuples(st.integers(0, 30), st.sampled_from([Kind.UINT16, Kind.INT32, Kind.FLOAT64])),
            min_size=1,
            max_size=30,
        )
    ):
        fields.append(register(address + hole, kind))
        address += hole + fields[-1].count
    return fields


@settings(deadline=None)
@given(layouts(), st.data())
def test_what_a_device_lacks_is_found_out_and_all_else_is_read(fields: list[Register], data: st.DataObject) -> None:
    missing = set(data.draw(st.lists(st.sampled_from([field.address for field in fields]), unique=True)))
    there = {f.address + k for f in fields if f.address not in missing for k in range(f.count)}

    def is_refused(request: Request) -> bool:
        return any(request.address + k not in there for k in range(request.size))

    known = Map()
    refusals = 0
    while refused := list(filter(is_refused, plan(fields, known))):
        known = learn_refusal(refused[0], fields, known)
        refusals += 1
        assert refusals <= 3 * len(fields), "never settled"
    assert {address for _, address in known.absent} == missing
    assert {r.address + k for r in plan(fields, known) for k in range(r.size)} == there
