"""A simulated slave answers as the standard says, and noise is what it claims to be."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.noise import QUIET, Noise, disturb
from simulators.slave_play import obey
from simulators.slave_server import Slaves, crc16
from simulators.slaves import Code, CountingSlave, ShelfSlave, Slave, Table, block


def plain_slave() -> Slave:
    return Slave(
        1,
        {
            Table.COILS: [block(0, [1, 0, 1, 0, 0, 0, 0, 0, 1])],
            Table.HOLDING_REGISTERS: [block(10, [1, 2, 3])],
        },
    )


@pytest.mark.parametrize(
    ("request_", "response"),
    [
        ("01 0000 0009", "01 02 05 01"),
        ("03 000a 0003", "03 06 0001 0002 0003"),
        ("03 0009 0002", "83 02"),
        ("03 000c 0002", "83 02"),
        ("03 000a 0000", "83 03"),
        ("03 000a 007e", "83 03"),
        ("04 0000 0001", "84 02"),
        ("05 0001 ff00", "05 0001 ff00"),
        ("05 0001 0001", "85 03"),
        ("06 000a 1234", "06 000a 1234"),
        ("0f 0000 0009 02 ff 01", "0f 0000 0009"),
        ("10 000a 0002 04 000b 000c", "10 000a 0002"),
        ("10 000a 0002 03 000b 00", "90 03"),
        ("2b 0e 01 00", "ab 01"),
    ],
)
def test_each_function_is_answered_as_the_standard_says(request_: str, response: str) -> None:
    assert plain_slave().answer(bytes.fromhex(request_)) == bytes.fromhex(response)


def test_what_was_written_is_read_back() -> None:
    slave = plain_slave()
    slave.answer(bytes.fromhex("10 000a 0002 04 000b 000c"))
    assert slave.answer(bytes.fromhex("03 000a 0003")) == bytes.fromhex("03 06 000b 000c 0003")
    slave.answer(bytes.fromhex("05 0001 ff00"))
    assert slave.answer(bytes.fromhex("01 0000 0003")) == bytes.fromhex("01 01 07")


def test_a_slave_that_is_told_to_fail_answers_with_that_exception() -> None:
    slave = plain_slave()
    slave.exception = Code.BUSY
    assert slave.answer(bytes.fromhex("03 000a 0003")) == bytes.fromhex("83 06")


def test_a_counting_slave_changes_as_many_registers_as_it_was_told() -> None:
    slave = CountingSlave(1, 4, 3)
    first, second = (slave.answer(bytes.fromhex("04 0000 0004"))[2:] for _ in range(2))
    changed = [first[2 * k : 2 * k + 2] != second[2 * k : 2 * k + 2] for k in range(4)]
    assert changed == [True, True, True, False]


def test_a_tared_bay_shows_what_was_laid_on_it_since() -> None:
    shelf = ShelfSlave(1, [100.0, 250.0])
    assert shelf.answer(bytes.fromhex("06 00c9 0001")) == bytes.fromhex("06 00c9 0001")
    shelf.weights_g[1] = 260.5
    assert shelf.answer(bytes.fromhex("04 0000 0004")) == bytes.fromhex("04 08 000003e8 00000069")
    assert shelf.answer(bytes.fromhex("03 00c9 0001")) == bytes.fromhex("03 02 0000")
    assert shelf.tared == [0, 1]


def test_the_checksum_is_that_of_the_standard() -> None:
    assert crc16(bytes.fromhex("02 07")) == bytes.fromhex("41 12")  # the example in 6.2.2


@given(st.binary(min_size=4, max_size=60), st.integers(0))
def test_a_flipped_bit_never_passes_the_checksum(data: bytes, seed: int) -> None:
    frame = data + crc16(data)
    arrives = disturb(frame, Noise(flip=1.0), Random(seed))
    assert len(arrives) == len(frame)
    assert crc16(arrives[:-2]) != arrives[-2:]


@given(st.binary(min_size=1, max_size=60), st.integers(0))
def test_each_fault_does_what_it_says(data: bytes, seed: int) -> None:
    assert disturb(data, QUIET, Random(seed)) is data
    cut = disturb(data, Noise(cut=1.0), Random(seed))
    assert len(cut) < len(data)
    assert data.startswith(cut)
    longer = disturb(data, Noise(garbage=1.0), Random(seed))
    assert len(longer) > len(data)
    assert longer.endswith(data)


def test_lines_tell_slaves_what_to_do() -> None:
    wire = Slaves([ShelfSlave(1, [0.0, 0.0]), plain_slave_at(2)])
    obey([wire], '{"unit":2,"dead":true,"delay_s":0.9}')
    obey([wire], '{"unit":1,"weights_g":[3.0,4.0],"exception":6}')
    obey([wire], '{"noise":{"flip":0.5}}')
    assert (wire.unit(2).is_dead, wire.unit(2).delay_s) == (True, 0.9)
    assert (wire.unit(1).is_dead, wire.unit(1).exception) == (False, Code.BUSY)
    assert wire.noise == Noise(flip=0.5)
    obey([wire], '{"dead":true}')
    assert wire.unit(1).is_dead


@pytest.mark.parametrize("line", ['{"unit":9,"dead":true}', '{"unit":2,"weights_g":[1.0]}', '{"ded":true}', "dead"])
def test_a_line_that_means_nothing_is_refused(line: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - msgspec's errors are ValueErrors with their own texts
        obey([Slaves([plain_slave_at(2)])], line)


def plain_slave_at(unit: int) -> Slave:
    return CountingSlave(unit, 4, 4)
