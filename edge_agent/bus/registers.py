"""Registers of devices as tables, and how their words become readings. Pure.

A *profile* is a table of rows; ``expand`` binds it to one device, ``decode`` turns the words of a poll into
readings. A new kind of device is a new table, never new code.
"""

import math
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum, StrEnum
from typing import Final, NamedTuple

from contracts.frames import Quality
from contracts.metrics import metric_for

REGISTER_MAX: Final = 0xFFFF
BAYS_MAX: Final = 16
FLAG_PERIOD_S: Final = 1.0
"""A status word changes slowly; reading it with every weight would double the requests on a bus."""


class Function(IntEnum):
    """Modbus functions that read."""

    COILS = 1
    DISCRETE_INPUTS = 2
    HOLDING_REGISTERS = 3
    INPUT_REGISTERS = 4


class Kind(StrEnum):
    """How a value lies in registers: ``bit`` in one coil, the others in whole words, high byte first."""

    BIT = "bit"
    INT16 = "int16"
    UINT16 = "uint16"
    INT32 = "int32"
    UINT32 = "uint32"
    FLOAT32 = "float32"
    INT64 = "int64"
    UINT64 = "uint64"
    FLOAT64 = "float64"


class WordOrder(StrEnum):
    """Which word of a value comes first."""

    BIG = "big"
    LITTLE = "little"


_FORMATS: Final[Mapping[Kind, str]] = {
    Kind.BIT: ">H", Kind.INT16: ">h", Kind.UINT16: ">H", Kind.INT32: ">i", Kind.UINT32: ">I", Kind.FLOAT32: ">f",
    Kind.INT64: ">q", Kind.UINT64: ">Q", Kind.FLOAT64: ">d",
}  # fmt: skip
_STRUCTS: Final = {kind: struct.Struct(layout) for kind, layout in _FORMATS.items()}
_PACK_WORDS: Final = {n: struct.Struct(f">{n}H") for n in (1, 2, 4)}


class Flag(NamedTuple):
    """A bit that, when set, makes a reading bad: bit ``bit`` of the word at ``address`` (same function)."""

    address: int
    bit: int


@dataclass(frozen=True, slots=True)
class Register:
    """One channel of a device: value = raw * ``scale`` + ``offset``, read every ``period_s`` seconds.

    A reading is sent when it differs by more than ``deadband`` (in the channel's unit) from the last one sent, or
    at the heartbeat. A register with ``channel`` '' is read for its ``Flag`` users only.
    """

    channel: str
    function: Function
    address: int
    kind: Kind
    scale: float = 1.0
    offset: float = 0.0
    word_order: WordOrder = WordOrder.BIG
    period_s: float = 10.0
    deadband: float = 0.0
    flag: Flag | None = None

    @property
    def count(self) -> int:
        """Registers (or coils) that the value takes."""
        return max(1, _STRUCTS[self.kind].size // 2)


class Row(NamedTuple):
    """A row of a profile: a register whose channel is ``{device}{suffix}.{metric}``.

    A row with ``step`` stands for one register a bay b = 1 …: suffix ``-b{b}``, address + step * (b - 1), and
    bit b - 1 of ``flag_word`` says that the bay is overloaded.
    """

    metric: str
    function: Function
    address: int
    kind: Kind
    scale: float = 1.0
    offset: float = 0.0
    period_s: float = 10.0
    deadband: float = 0.0
    step: int = 0
    flag_word: int | None = None


class Profile(NamedTuple):
    """What registers a kind of device has, and where a bay's tare is written (``tare`` + bay - 1), if anywhere."""

    name: str
    rows: tuple[Row, ...]
    tare: int | None = None


_INPUT: Final = Function.INPUT_REGISTERS
SHELF: Final = "loadcell_shelf"
PROFILES: Final[Mapping[str, Profile]] = {
    profile.name: profile
    for profile in (
        Profile(
            SHELF,
            (
                Row("weight_g", _INPUT, 0, Kind.INT32, 0.1, period_s=0.2, deadband=20.0, step=2, flag_word=102),
                Row("temp_c", _INPUT, 100, Kind.INT16, 0.1, period_s=5.0, deadband=0.2),
                Row("door_count", _INPUT, 101, Kind.UINT16, period_s=5.0),
            ),
            tare=200,
        ),
        Profile(
            "cold_room",
            (
                Row("temp_c", _INPUT, 0, Kind.INT16, 0.1, period_s=5.0, deadband=0.2),
                Row("humidity_pct", _INPUT, 1, Kind.UINT16, 0.1, period_s=10.0, deadband=1.0),
                Row("door_count", _INPUT, 2, Kind.UINT16, period_s=5.0),
            ),
        ),
        Profile("portal", (Row("portal_count", _INPUT, 0, Kind.UINT32, period_s=1.0),)),
        Profile("generic", ()),
    )
}


def expand(profile: Profile, device: str, *, bays: int, period_s: float | None = None) -> list[Register]:
    """Registers of one device.

    ``bays`` says how many times the rows of bays are repeated; ``period_s`` replaces the period of the profile's
    fastest rows (a shelf's weights). A status word that flags refer to is read every ``FLAG_PERIOD_S`` at most.
    """
    fastest = min((row.period_s for row in profile.rows), default=0.0)
    registers: list[Register] = []
    for row in profile.rows:
        period = period_s if period_s is not None and row.period_s == fastest else row.period_s
        registers.extend(_bound(row, device, bay, period) for bay in (range(1, bays + 1) if row.step else (0,)))
        if row.flag_word is not None:
            flag_period_s = max(period, FLAG_PERIOD_S)
            registers.append(Register("", row.function, row.flag_word, Kind.UINT16, period_s=flag_period_s))
    return registers


def _bound(row: Row, device: str, bay: int, period_s: float) -> Register:
    name = f"{device}-b{bay}" if bay else device
    offset = row.step * (bay - 1) if bay else 0
    return Register(
        f"{name}.{row.metric}",
        row.function,
        row.address + offset,
        row.kind,
        row.scale,
        row.offset,
        period_s=period_s,
        deadband=row.deadband,
        flag=Flag(row.flag_word, bay - 1) if row.flag_word is not None and bay else None,
    )


def with_deadbands(registers: Iterable[Register], deadbands: Mapping[str, float]) -> list[Register]:
    """The registers with the deadbands of some metrics replaced."""
    return [
        replace(register, deadband=deadbands.get(register.channel.partition(".")[2], register.deadband))
        for register in registers
    ]


class Decoded(NamedTuple):
    """A channel's value in its unit, and how far it can be trusted."""

    channel: str
    value: float
    quality: Quality


Words = Mapping[tuple[Function, int], int]
"""What a poll read: word (or bit, 0 or 1) by function and address."""


def decode(registers: Iterable[Register], words: Words) -> list[Decoded]:
    """Values of the registers whose words were read; those that were not, and values not finite, are left out.

    Bad: the register's flag is set, or the value is outside what its metric can be (contracts.metrics).
    """
    decoded = []
    for register in registers:
        if not register.channel:
            continue
        value = value_of(register, words)
        if value is not None and math.isfinite(value):
            decoded.append(Decoded(register.channel, value, _quality(register, value, words)))
    return decoded


def value_of(register: Register, words: Words) -> float | None:
    """The value of one register in its unit, or None when its words are not all there."""
    function, address = register.function, register.address
    try:
        raw = [words[function, address + i] for i in range(register.count)]
    except KeyError:
        return None
    if register.word_order is WordOrder.LITTLE:
        raw.reverse()
    (number,) = _STRUCTS[register.kind].unpack(_PACK_WORDS[len(raw)].pack(*raw))
    return float(round(number * register.scale + register.offset, 6))


def _quality(register: Register, value: float, words: Words) -> Quality:
    if register.flag is not None:
        status = words.get((register.function, register.flag.address))
        if status is None:
            return Quality.UNCERTAIN
        if status >> register.flag.bit & 1:
            return Quality.BAD
    metric = metric_for(register.channel)
    if metric is not None and not metric.low <= value <= metric.high:
        return Quality.BAD
    return Quality.GOOD
