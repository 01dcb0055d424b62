"""Finding the answer among what came over a serial line. Pure.

A line brings garbage, cut frames and late answers to earlier questions. Of all bytes since the request, only a
frame of the asked unit and function, as long as the question demands, with a right checksum, is taken for the answer.
"""

from typing import Final

from pymodbus.framer import FramerRTU

from edge_agent.bus.plan import Request
from edge_agent.bus.registers import Function

WRITE_BYTES: Final = 8
_REFUSAL_BYTES: Final = 5
_REFUSED: Final = 0x80
_HEAD_BYTES: Final = 5
"""Unit, function, byte count and checksum, around the data of an answer to a read."""


def answer_bytes(request: Request) -> int:
    """How long the answer to a read is."""
    if request.function in {Function.COILS, Function.DISCRETE_INPUTS}:
        return _HEAD_BYTES + (request.size + 7) // 8
    return _HEAD_BYTES + 2 * request.size


def find_answer(data: bytes, unit: int, function: int, size: int) -> bytes | None:
    """The answer of ``size`` bytes, or a refusal, wherever it lies in ``data``; None when it is not there (yet)."""
    for start in range(len(data) - _REFUSAL_BYTES + 1):
        if data[start] != unit:
            continue
        for code, length in ((function, size), (function | _REFUSED, _REFUSAL_BYTES)):
            frame = data[start : start + length]
            if len(frame) == length and frame[1] == code and _is_sound(frame):
                return frame
    return None


def _is_sound(frame: bytes) -> bool:
    return FramerRTU.check_CRC(frame[:-2], int.from_bytes(frame[-2:], "big"))
