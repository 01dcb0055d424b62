"""Words become values by the table, with the quality that the device's status gives them."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.frames import Quality
from edge_agent.bus.decoding import RangeDecoder, Status
from edge_agent.bus.plan import Map, Request, plan
from edge_agent.bus.registers import Decoded, Flag, Function, Kind, Register, WordOrder

INPUT = Function.INPUT_REGISTERS
NO_STATUS: Status = {}
FORMATS = {
    Kind.INT16: ">h",
    Kind.UINT16: ">H",
    Kind.INT32: ">i",
    Kind.UINT32: ">I",
    Kind.FLOAT32: ">f",
    Kind.INT64: ">q",
    Kind.UINT64: ">Q",
    Kind.FLOAT64: ">d",
}


def decode(registers: list[Register], first: int, words: list[int], status: Status = NO_STATUS) -> list[Decoded]:
    return RangeDecoder(Request(registers[0].function, first, len(words)), registers).decode(words, status)


def value_of(register: Register, *words: int) -> float:
    (decoded,) = decode([register], register.address, list(words))
    return decoded.value


@pytest.mark.parametrize(
    ("kind", "words", "value"),
    [
        (Kind.UINT16, [0xFFFF], 65_535.0),
        (Kind.INT16, [0xFFFF], -1.0),
        (Kind.UINT32, [0x0001, 0x0000], 65_536.0),
        (Kind.INT32, [0xFFFF, 0xFFFE], -2.0),
        (Kind.FLOAT32, [0x41BC, 0x0000], 23.5),
        (Kind.FLOAT64, [0x4037, 0x8000, 0, 0], 23.5),
        (Kind.UINT64, [0, 0, 1, 2], 65_538.0),
        (Kind.INT64, [0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF], -1.0),
        (Kind.BIT, [1], 1.0),
    ],
)
def test_each_kind_is_read_high_word_first(kind: Kind, words: list[int], value: float) -> None:
    function = Function.COILS if kind is Kind.BIT else INPUT
    assert value_of(Register("s01.x", function, 10, kind), *words) == value


def test_little_word_order_swaps_words_and_not_bytes() -> None:
    register = Register("s01.x", INPUT, 0, Kind.UINT32, word_order=WordOrder.LITTLE)
    assert value_of(register, 0x0203, 0x0001) == 0x0001_0203


def test_scale_and_offset_are_applied_without_binary_dust() -> None:
    assert value_of(Register("s01.x", INPUT, 0, Kind.INT16, scale=0.1, offset=-40.0), 613) == 21.3


@pytest.mark.parametrize(("bit", "value"), [(0, 0.0), (1, 1.0), (15, 1.0)])
def test_a_bit_of_a_word_is_a_value(bit: int, value: float) -> None:
    assert value_of(Register("s01.x", INPUT, 0, Kind.BIT, bit=bit), 0b1000_0000_0000_0010) == value


FIELDS = st.lists(
    st.tuples(st.sampled_from(sorted(FORMATS)), st.sampled_from(list(WordOrder)), st.integers(0, 9), st.data()),
    min_size=1,
    max_size=20,
)


@given(FIELDS)
def test_every_value_comes_back_from_ranges_with_holes(
    fields: list[tuple[Kind, WordOrder, int, st.DataObject]],
) -> None:
    words, registers, values = [], [], []
    for number, (kind, order, hole, data) in enumerate(fields):
        words += [0xDEAD] * hole
        layout = FORMATS[kind]
        raw = data.draw(st.binary(min_size=struct.calcsize(layout), max_size=struct.calcsize(layout)))
        (value,) = struct.unpack(layout, raw)
        mine = list(struct.unpack(f">{len(raw) // 2}H", raw))
        registers.append(Register(f"d.m{number}", INPUT, len(words), kind, word_order=order))
        words += mine if order is WordOrder.BIG else mine[::-1]
        values.append(value)
    seen: dict[str, float] = {}
    for request in plan(registers, Map()):
        answer = words[request.address : request.address + request.size]
        seen |= {each.channel: each.value for each in RangeDecoder(request, registers).decode(answer, {})}
    finite = {f"d.m{k}": round(float(v), 6) for k, v in enumerate(values) if abs(v) < 1.7e308}
    assert {channel: value for channel, value in seen.items() if abs(value) < 1.7e308} == finite


def test_registers_may_overlap() -> None:
    whole, half = Register("d.whole", INPUT, 0, Kind.UINT32), Register("d.half", INPUT, 1, Kind.UINT16)
    assert [each.value for each in decode([whole, half], 0, [1, 2])] == [65_538.0, 2.0]


def test_a_value_whose_words_are_not_all_in_the_range_is_not_its_business() -> None:
    register = Register("s01.x", INPUT, 0, Kind.UINT32)
    assert RangeDecoder(Request(INPUT, 0, 1), [register]).decode([1], {}) == []


@pytest.mark.parametrize("words", [[0x7FC0, 0], [0x7F80, 0], [0xFF80, 0]], ids=["nan", "inf", "-inf"])
@pytest.mark.parametrize("channel", ["s01.x", "s01.temp_c"])
def test_a_float_that_is_no_finite_number_is_left_out(words: list[int], channel: str) -> None:
    assert decode([Register(channel, INPUT, 0, Kind.FLOAT32)], 0, words) == []


@pytest.mark.parametrize(
    ("status", "quality"),
    [
        ({102: 0b0000}, Quality.GOOD),
        ({102: 0b0010}, Quality.GOOD),
        ({102: 0b0001}, Quality.BAD),
        ({}, Quality.UNCERTAIN),
    ],
)
def test_an_overloaded_bay_is_bad_and_an_unknown_status_uncertain(status: dict[int, int], quality: Quality) -> None:
    register = Register("s01-b1.weight_g", INPUT, 0, Kind.UINT16, flag=Flag(102, 0))
    places = {(INPUT, address): word for address, word in status.items()}
    (decoded,) = decode([register], 0, [500], places)
    assert decoded.quality is quality


def test_a_value_that_its_metric_cannot_have_is_bad_even_with_an_unknown_status() -> None:
    (plain,) = decode([Register("c.temp_c", INPUT, 0, Kind.INT16)], 0, [200])
    assert (plain.value, plain.quality) == (200.0, Quality.BAD)
    (flagged,) = decode([Register("c.temp_c", INPUT, 0, Kind.INT16, flag=Flag(9, 0))], 0, [200])
    assert flagged.quality is Quality.BAD


def test_status_words_are_found_in_their_range() -> None:
    registers = [
        Register("s01-b1.weight_g", INPUT, 0, Kind.UINT16, flag=Flag(3, 0)),
        Register("", INPUT, 3, Kind.UINT16),
    ]
    assert RangeDecoder(Request(INPUT, 0, 4), registers).status == {(INPUT, 3): 3}
