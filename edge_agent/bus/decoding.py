"""Words of one range -> readings. Pure.

What to do with a range is settled once, when it is planned: which words to take in which order, one format for all
of them, and for each value its scale and limits. A poll then costs three calls and a short loop.
"""

import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Final, NamedTuple

from contracts.frames import Quality
from contracts.metrics import metric_for
from edge_agent.bus.plan import Place, Request
from edge_agent.bus.registers import Decoded, Kind, Register, WordOrder

_DECIMALS: Final = 6
"""Digits that are kept: a scale of 0.1 must not leave binary dust in the frame."""
_HUGE: Final = 1.7e308
"""Limit for metrics that have none: infinite and what is no number lie outside."""
_FORMATS: Final[Mapping[Kind, str]] = {
    Kind.BIT: "H", Kind.INT16: "h", Kind.UINT16: "H", Kind.INT32: "i", Kind.UINT32: "I", Kind.FLOAT32: "f",
    Kind.INT64: "q", Kind.UINT64: "Q", Kind.FLOAT64: "d",
}  # fmt: skip


class _Field(NamedTuple):
    channel: str
    scale: float
    offset: float
    low: float
    high: float
    flag: Place | None
    flag_bit: int
    mask: int
    """Of a bit in its word; 0 for other kinds."""


Status = Mapping[Place, int]
"""Status words that were read, by place. One that is missing makes its readings uncertain."""


class RangeDecoder:
    """Decodes the answers to ``request``. Registers that do not lie whole in it are not its business."""

    def __init__(self, request: Request, registers: Iterable[Register]) -> None:
        self.request = request
        inside = [each for each in registers if _lies_in(each, request)]
        flags = {(each.function, each.flag.address) for each in inside if each.flag is not None}
        self.status = {
            (request.function, each.address): each.address - request.address
            for each in inside
            if not each.channel or (each.function, each.address) in flags
        }
        """Where in the range the status words are."""
        told = [each for each in inside if each.channel]
        places = [place for each in told for place in _places(each, request)]
        self._fields = [_field(each) for each in told]
        # With a single word itemgetter would give no tuple.
        self._take = itemgetter(*places) if len(places) > 1 else None
        self._only = places[0] if len(places) == 1 else 0
        self._pack = struct.Struct(f">{len(places)}H").pack
        self._unpack = struct.Struct(">" + "".join(_FORMATS[each.kind] for each in told)).unpack

    def decode(self, words: Sequence[int], status: Status) -> list[Decoded]:
        """Values of the range, in the order of the registers; ``words`` are all of the range.

        Uncertain: the status word that qualifies it is not known. Bad: its flag is set, or the value is outside what
        the metric can be (contracts.metrics). What is no finite number is left out: a frame cannot carry it.
        """
        if not self._fields:
            return []
        taken = (words[self._only],) if self._take is None else self._take(words)
        decoded: list[Decoded] = []
        new = tuple.__new__
        for field, raw in zip(self._fields, self._unpack(self._pack(*taken)), strict=True):
            channel, scale, offset, low, high, flag, flag_bit, mask = field
            if mask:
                raw = 1 if raw & mask else 0  # noqa: PLW2901 - the bit is the value
            value = round(raw * scale + offset, _DECIMALS)
            quality = Quality.GOOD if low <= value <= high else Quality.BAD
            if quality is Quality.BAD and not math.isfinite(value):
                continue
            if flag is not None:
                word = status.get(flag)
                if word is not None and word >> flag_bit & 1:
                    quality = Quality.BAD
                elif word is None and quality is Quality.GOOD:
                    quality = Quality.UNCERTAIN
            # Half the time of Decoded(…), whose constructor is Python code; this runs for every value that is read.
            decoded.append(new(Decoded, (channel, value, quality)))
        return decoded


def _lies_in(register: Register, request: Request) -> bool:
    return (
        register.function == request.function
        and request.address <= register.address
        and register.address + register.count <= request.address + request.size
    )


def _places(register: Register, request: Request) -> Sequence[int]:
    places = range(register.address - request.address, register.address - request.address + register.count)
    return places if register.word_order is WordOrder.BIG else places[::-1]


def _field(register: Register) -> _Field:
    metric = metric_for(register.channel)
    low, high = (-_HUGE, _HUGE) if metric is None else (metric.low, metric.high)
    flag = None if register.flag is None else (register.function, register.flag.address)
    return _Field(
        channel=register.channel,
        scale=float(register.scale),
        offset=float(register.offset),
        low=low,
        high=high,
        flag=flag,
        flag_bit=0 if register.flag is None else register.flag.bit,
        mask=1 << register.bit if register.kind is Kind.BIT else 0,
    )
