"""Modbus slaves that can be told to misbehave. Pure: a request's bytes in, the answer's bytes out.

Written by hand rather than on a library's server, for two reasons: a bench must not spend on the devices what it
measures of the agent, and a slave must be able to be wrong on purpose. The hooks for fault tests are attributes of
``Slave`` (``is_dead``, ``delay_s``, ``exception``) and of its server (``noise``); see ``simulators.slave_server``.
Set them from any thread, over TCP and RTU alike.
"""

import struct
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

BITS_MAX: Final = 2_000
WORDS_MAX: Final = 125
WRITE_WORDS_MAX: Final = 123
_ERROR: Final = 0x80
_ON: Final = 0xFF00
_READ: Final = struct.Struct(">BHH")
_WRITE_MANY: Final = struct.Struct(">BHHB")


class Table(IntEnum):
    """The four tables of a slave, by the function that reads them."""

    COILS = 1
    DISCRETE_INPUTS = 2
    HOLDING_REGISTERS = 3
    INPUT_REGISTERS = 4


class Code(IntEnum):
    """Exceptions of the Modbus application protocol 1.1b3, section 7."""

    NONE = 0
    ILLEGAL_FUNCTION = 1
    ILLEGAL_ADDRESS = 2
    ILLEGAL_VALUE = 3
    DEVICE_FAILURE = 4
    ACKNOWLEDGE = 5
    BUSY = 6
    GATEWAY_NO_RESPONSE = 11


@dataclass(frozen=True, slots=True)
class Block:
    """Words (or bits, 0 or 1) from address ``first`` on. A request must lie within one block."""

    first: int
    words: "array[int]"


def block(first: int, words: Sequence[int]) -> Block:
    """A block with these words."""
    return Block(first, array("H", words))


class Slave:
    """One unit. What is in no block is exception 2, a function that it does not know exception 1.

    ``is_dead``: answers nothing. ``delay_s``: answers so late. ``exception``: answers every request with this code.
    ``requests`` counts what it was asked.
    """

    def __init__(self, unit: int, tables: Mapping[Table, Sequence[Block]]) -> None:
        self.unit = unit
        self.tables = {table: list(tables.get(table, ())) for table in Table}
        self.is_dead = False
        self.delay_s = 0.0
        self.exception = Code.NONE
        self.requests = 0

    def refresh(self) -> None:
        """Called before each read; a kind of slave whose values change overrides it."""

    def written(self, table: Table, address: int, value: int) -> Code:
        """Called before a value is stored; an exception other than NONE refuses it."""
        del table, address, value
        return Code.NONE

    def answer(self, pdu: bytes) -> bytes:
        """The response to a request (both without unit and checksum)."""
        self.requests += 1
        try:
            if self.exception is not Code.NONE:
                raise _RefusedError(self.exception)
            return self._serve(pdu)
        except _RefusedError as refused:
            code = refused.code
        except (struct.error, ValueError):
            code = Code.ILLEGAL_VALUE
        return bytes((pdu[0] | _ERROR, code))

    def _serve(self, pdu: bytes) -> bytes:
        match pdu[0]:
            case 1 | 2 | 3 | 4:
                return self._read(Table(pdu[0]), *_READ.unpack(pdu)[1:])
            case 5 | 6:
                return self._write_one(pdu)
            case 15 | 16:
                return self._write_many(pdu)
        raise _RefusedError(Code.ILLEGAL_FUNCTION)

    def _read(self, table: Table, address: int, count: int) -> bytes:
        are_bits = table <= Table.DISCRETE_INPUTS
        if not 0 < count <= (BITS_MAX if are_bits else WORDS_MAX):
            raise _RefusedError(Code.ILLEGAL_VALUE)
        found = self._block(table, address, count)
        self.refresh()
        words = found.words[address - found.first : address - found.first + count]
        body = _packed(words) if are_bits else struct.pack(f">{count}H", *words)
        return bytes((table, len(body))) + body

    def _write_one(self, pdu: bytes) -> bytes:
        function, address, value = _READ.unpack(pdu)
        table = Table.COILS if function == 5 else Table.HOLDING_REGISTERS  # noqa: PLR2004 - a function of the standard
        if table is Table.COILS:
            if value not in {0, _ON}:
                raise _RefusedError(Code.ILLEGAL_VALUE)
            value = int(value == _ON)
        self._store(table, address, [value])
        return pdu

    def _write_many(self, pdu: bytes) -> bytes:
        function, address, count, size = _WRITE_MANY.unpack_from(pdu)
        body = pdu[_WRITE_MANY.size :]
        if function == 15:  # noqa: PLR2004 - a function of the standard
            if size != len(body) or size != (count + 7) // 8:
                raise _RefusedError(Code.ILLEGAL_VALUE)
            self._store(Table.COILS, address, [body[k // 8] >> k % 8 & 1 for k in range(count)])
        else:
            if size != len(body) or size != 2 * count or not 0 < count <= WRITE_WORDS_MAX:
                raise _RefusedError(Code.ILLEGAL_VALUE)
            self._store(Table.HOLDING_REGISTERS, address, struct.unpack(f">{count}H", body))
        return pdu[:5]

    def _store(self, table: Table, address: int, values: Sequence[int]) -> None:
        found = self._block(table, address, len(values))
        for place, value in enumerate(values, address):
            code = self.written(table, place, value)
            if code is not Code.NONE:
                raise _RefusedError(code)
            found.words[place - found.first] = value

    def _block(self, table: Table, address: int, count: int) -> Block:
        for each in self.tables[table]:
            if each.first <= address and address + count <= each.first + len(each.words):
                return each
        raise _RefusedError(Code.ILLEGAL_ADDRESS)


class CountingSlave(Slave):
    """``registers`` input registers from 0; the first ``changing`` of them hold another value at each read."""

    def __init__(self, unit: int, registers: int, changing: int) -> None:
        super().__init__(unit, {Table.INPUT_REGISTERS: [block(0, [0] * registers)]})
        self._changing = changing
        self._count = unit

    def refresh(self) -> None:
        """Count on."""
        self._count = (self._count + 1) % 60_000
        words = self.tables[Table.INPUT_REGISTERS][0].words
        for place in range(self._changing):
            words[place] = self._count + place


class ShelfSlave(Slave):
    """Profile ``loadcell_shelf`` with ``len(weights_g)`` bays, which the next request sees.

    Register 200 + b (holding): writing 1 tares bay b, reading gives 0. ``tared`` counts what was written there.
    """

    _TEMPERATURE: Final = 100
    _TARE: Final = 200

    def __init__(self, unit: int, weights_g: Sequence[float], temp_c: float = 21.5) -> None:
        bays = len(weights_g)
        super().__init__(
            unit,
            {
                Table.INPUT_REGISTERS: [block(0, [0] * (2 * bays)), block(self._TEMPERATURE, [0] * 3)],
                Table.HOLDING_REGISTERS: [block(self._TARE, [0] * bays)],
            },
        )
        self.weights_g = list(weights_g)
        self.temp_c = temp_c
        self.door_count = 0
        self.status = 0
        self.tared = [0] * bays
        self._zeros_g = [0.0] * bays

    def refresh(self) -> None:
        """Weights and states as words."""
        weights, states = self.tables[Table.INPUT_REGISTERS]
        for bay, (weight_g, zero_g) in enumerate(zip(self.weights_g, self._zeros_g, strict=True)):
            tenths = struct.pack(">i", round((weight_g - zero_g) * 10))
            weights.words[2 * bay], weights.words[2 * bay + 1] = struct.unpack(">HH", tenths)
        states.words[0] = round(self.temp_c * 10) & 0xFFFF
        states.words[1], states.words[2] = self.door_count & 0xFFFF, self.status
        holding = self.tables[Table.HOLDING_REGISTERS][0].words
        holding[:] = array("H", bytes(2 * len(holding)))

    def written(self, table: Table, address: int, value: int) -> Code:
        """Tare the bay."""
        if table is not Table.HOLDING_REGISTERS or value not in {0, 1}:
            return Code.ILLEGAL_VALUE
        if value:
            bay = address - self._TARE
            self._zeros_g[bay] = self.weights_g[bay]
            self.tared[bay] += 1
        return Code.NONE


class _RefusedError(Exception):
    def __init__(self, code: Code) -> None:
        super().__init__(code)
        self.code = code


def _packed(bits: "array[int]") -> bytes:
    body = bytearray((len(bits) + 7) // 8)
    for place, bit in enumerate(bits):
        body[place // 8] |= (bit & 1) << place % 8
    return bytes(body)
