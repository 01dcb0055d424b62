"""Which register ranges to ask for. Pure.

One request costs about as much for 120 registers as for 2, so neighbours are read together, over small holes too.
Devices that refuse to read a hole answer with exception 2 (illegal data address): the range is split, and what
was learnt is kept in a ``Map``.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from edge_agent.bus.registers import Function, Register

RANGE_MAX: Final = 125
"""Registers that one request may read (Modbus application protocol 1.1b3, 6.3); coils keep to the same."""
HOLE_MAX: Final = 100
"""Unused registers that a range may bridge."""

Place = tuple[Function, int]


class Request(NamedTuple):
    """``size`` registers from ``address`` on."""

    function: Function
    address: int
    size: int


@dataclass(frozen=True, slots=True)
class Map:
    """What a device has taught us: a range must not reach over a ``barrier``; a field at ``absent`` is not there."""

    barriers: frozenset[Place] = frozenset()
    absent: frozenset[Place] = frozenset()


def plan(registers: Iterable[Register], known: Map, *, hole_max: int = HOLE_MAX) -> list[Request]:
    """The fewest ranges that cover the registers, in order of address.

    No range is longer than ``RANGE_MAX``, bridges more than ``hole_max`` unused registers, cuts a field in two, or
    crosses a barrier. Fields known to be absent are left out.
    """
    requests: list[Request] = []
    for function, address, size in _fields(registers, known):
        last = requests[-1] if requests else None
        if last is not None and _joins(last, Request(function, address, size), known, hole_max):
            end = max(last.address + last.size, address + size)
            requests[-1] = Request(function, last.address, end - last.address)
        else:
            requests.append(Request(function, address, size))
    return requests


def learn_refusal(request: Request, registers: Iterable[Register], known: Map) -> Map:
    """What follows when the device refused ``request`` with exception 2 (or 3: too many registers at a time).

    Holes are no longer bridged there; a range without holes is cut in half between two fields; a single field is
    absent. So the field at fault is found in a logarithm of requests, and what is there is read again at once.
    """
    fields = [
        field
        for field in _fields(registers, known)
        if field.function == request.function and request.address <= field.address < request.address + request.size
    ]
    assert fields, "a request without a field"
    starts = sorted({field.address for field in fields})
    if len(starts) == 1:
        return Map(known.barriers, known.absent | {(request.function, starts[0])})
    after_holes = _after_holes(fields)
    cuts = after_holes or [starts[len(starts) // 2]]
    return Map(known.barriers | {(request.function, cut) for cut in cuts}, known.absent)


def learn_absence(request: Request, registers: Iterable[Register], known: Map) -> Map:
    """What follows when the device does not know the function of ``request`` (exception 1): all of it is absent."""
    end = request.address + request.size
    absent = {
        (field.function, field.address)
        for field in _fields(registers, known)
        if field.function == request.function and request.address <= field.address < end
    }
    return Map(known.barriers, known.absent | absent)


def _fields(registers: Iterable[Register], known: Map) -> list[Request]:
    fields = {Request(register.function, register.address, register.count) for register in registers}
    return sorted(field for field in fields if (field.function, field.address) not in known.absent)


def _joins(last: Request, field: Request, known: Map, hole_max: int) -> bool:
    end = last.address + last.size
    return (
        field.function == last.function
        and field.address - end <= hole_max
        and max(end, field.address + field.size) - last.address <= RANGE_MAX
        and (field.function, field.address) not in known.barriers
    )


def _after_holes(fields: Sequence[Request]) -> list[int]:
    cuts = []
    end = fields[0].address
    for field in fields:
        if field.address > end:
            cuts.append(field.address)
        end = max(end, field.address + field.size)
    return cuts
