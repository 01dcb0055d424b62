"""Words become values by the table, with the quality that the device's status gives them."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.frames import Quality
from contracts.ids import is_channel
from edge_agent.bus.registers import (
    BAYS_MAX,
    PROFILES,
    Flag,
    Function,
    Kind,
    Register,
    WordOrder,
    decode,
    expand,
    value_of,
    with_deadbands,
)

INPUT = Function.INPUT_REGISTERS


def words_at(address: int, *words: int) -> dict[tuple[Function, int], int]:
    return {(INPUT, address + k): word for k, word in enumerate(words)}


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
    register = Register("s01.x", function, 10, kind)
    assert value_of(register, {(function, 10 + k): word for k, word in enumerate(words)}) == value


def test_little_word_order_swaps_words_and_not_bytes() -> None:
    register = Register("s01.x", INPUT, 0, Kind.UINT32, word_order=WordOrder.LITTLE)
    assert value_of(register, words_at(0, 0x0203, 0x0001)) == 0x0001_0203


def test_scale_and_offset_are_applied_without_binary_dust() -> None:
    register = Register("s01.x", INPUT, 0, Kind.INT16, scale=0.1, offset=-40.0)
    assert value_of(register, words_at(0, 613)) == 21.3


@given(st.integers(-(2**31), 2**31 - 1), st.sampled_from(list(WordOrder)))
def test_every_int32_comes_back(number: int, order: WordOrder) -> None:
    high, low = struct.unpack(">HH", struct.pack(">i", number))
    words = (high, low) if order is WordOrder.BIG else (low, high)
    assert value_of(Register("s01.x", INPUT, 7, Kind.INT32, word_order=order), words_at(7, *words)) == number


def test_a_value_whose_words_are_not_all_there_is_left_out() -> None:
    register = Register("s01.x", INPUT, 0, Kind.UINT32)
    assert decode([register], words_at(0, 1)) == []


def test_a_float_that_is_no_number_is_left_out() -> None:
    register = Register("s01.x", INPUT, 0, Kind.FLOAT32)
    assert decode([register], words_at(0, 0x7FC0, 0)) == []


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
    words = {(INPUT, 0): 500} | {(INPUT, address): word for address, word in status.items()}
    (decoded,) = decode([register], words)
    assert decoded.quality is quality


def test_a_value_that_its_metric_cannot_have_is_bad() -> None:
    (decoded,) = decode([Register("c.temp_c", INPUT, 0, Kind.INT16)], words_at(0, 200))
    assert (decoded.value, decoded.quality) == (200.0, Quality.BAD)


def test_a_shelf_has_a_weight_a_bay_and_one_status_word() -> None:
    registers = expand(PROFILES["loadcell_shelf"], "s01", bays=3, period_s=0.5)
    assert [(r.channel, r.address, r.period_s) for r in registers] == [
        ("s01-b1.weight_g", 0, 0.5),
        ("s01-b2.weight_g", 2, 0.5),
        ("s01-b3.weight_g", 4, 0.5),
        ("", 102, 1.0),
        ("s01.temp_c", 100, 5.0),
        ("s01.door_count", 101, 5.0),
    ]
    assert [r.flag for r in registers[:3]] == [Flag(102, 0), Flag(102, 1), Flag(102, 2)]


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.name)
def test_profiles_give_valid_channels_once(profile: object) -> None:
    registers = expand(profile, "d1", bays=BAYS_MAX)  # type: ignore[arg-type]
    channels = [r.channel for r in registers if r.channel]
    assert len(channels) == len(set(channels))
    assert all(map(is_channel, channels))


def test_deadbands_are_replaced_by_metric() -> None:
    registers = with_deadbands(expand(PROFILES["cold_room"], "c1", bays=1), {"temp_c": 0.7})
    assert {r.channel: r.deadband for r in registers} == {
        "c1.temp_c": 0.7,
        "c1.humidity_pct": 1.0,
        "c1.door_count": 0.0,
    }
