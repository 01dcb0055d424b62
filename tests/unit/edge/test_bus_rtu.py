"""The answer is found among what a noisy line brings, and nothing else is taken for it."""

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.bus.plan import Request
from edge_agent.bus.registers import Function
from edge_agent.bus.rtu import answer_bytes, find_answer
from simulators.slave_server import crc16

REQUEST = Request(Function.INPUT_REGISTERS, 0, 2)
SIZE = answer_bytes(REQUEST)


def frame(unit: int, function: int, body: bytes) -> bytes:
    head = bytes((unit, function)) + body
    return head + crc16(head)


ANSWER = frame(7, 4, bytes((4, 0, 1, 0, 2)))


def find(data: bytes) -> bytes | None:
    return find_answer(data, 7, 4, SIZE)


def test_an_answer_is_as_long_as_the_question_demands() -> None:
    assert len(ANSWER) == SIZE
    assert answer_bytes(Request(Function.COILS, 0, 9)) == len(frame(7, 1, bytes((2, 0, 0))))


@given(st.binary(max_size=40), st.binary(max_size=10))
def test_the_answer_is_found_behind_garbage_and_before_it(before: bytes, after: bytes) -> None:
    found = find(before + ANSWER + after)
    assert found is not None
    assert crc16(found[:-2]) == found[-2:]
    assert found[:2] in {ANSWER[:2], bytes((7, 4 | 0x80))}


@given(st.integers(0, len(ANSWER) - 1))
def test_a_part_of_an_answer_is_none(length: int) -> None:
    assert find(ANSWER[:length]) is None


@given(st.integers(0, 8 * len(ANSWER) - 1))
def test_one_wrong_bit_makes_it_none(bit: int) -> None:
    wrong = bytearray(ANSWER)
    wrong[bit // 8] ^= 1 << bit % 8
    assert find(bytes(wrong)) is None


def test_the_answer_of_another_unit_or_to_another_question_is_none() -> None:
    assert find(frame(8, 4, bytes((4, 0, 1, 0, 2)))) is None
    assert find(frame(7, 3, bytes((4, 0, 1, 0, 2)))) is None
    assert find(frame(7, 4, bytes((6, 0, 1, 0, 2, 0, 3)))) is None


def test_a_refusal_is_an_answer() -> None:
    refusal = frame(7, 0x84, bytes((2,)))
    assert find(b"\x00\xff" + refusal) == refusal
