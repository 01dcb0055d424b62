"""Registers of devices as tables. Pure.

A *profile* is a table of rows; ``expand`` binds it to one device, ``decoding`` turns the words of a poll into
readings. A new kind of device is a new table, never new code.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum, StrEnum
from typing import Final, NamedTuple

from contracts.frames import Quality

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
    """How a value lies in registers: ``bit`` in a coil or in one word, the others in whole words, high byte first."""

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


WORDS: Final[Mapping[Kind, int]] = {
    Kind.BIT: 1, Kind.INT16: 1, Kind.UINT16: 1, Kind.INT32: 2, Kind.UINT32: 2, Kind.FLOAT32: 2,
    Kind.INT64: 4, Kind.UINT64: 4, Kind.FLOAT64: 4,
}  # fmt: skip
"""Registers (or coils) that a value takes."""


class Flag(NamedTuple):
    """A bit that, when set, makes a reading bad: bit ``bit`` of the word at ``address`` (same function)."""

    address: int
    bit: int


@dataclass(frozen=True, slots=True)
class Register:
    """One channel of a device: value = raw * ``scale`` + ``offset``, read every ``period_s`` seconds.

    A reading is sent when it differs by more than ``deadband`` (in the channel's unit) from the last one sent, or
    at the heartbeat. A register with ``channel`` '' is read for its ``Flag`` users only. ``bit`` (0: the lowest) is
    the place of a ``Kind.BIT`` in a holding or input register.
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
    bit: int = 0

    @property
    def count(self) -> int:
        """Registers (or coils) that the value takes."""
        return WORDS[self.kind]


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
    word_order: WordOrder = WordOrder.BIG
    bit: int = 0


class Write(NamedTuple):
    """What a command writes: ``value`` to the coil or holding register at ``address`` + bay - 1."""

    function: Function
    address: int
    value: int = 1


class Profile(NamedTuple):
    """What registers a kind of device has, and what tares a bay, if anything does.

    A tare register goes back to 0 by itself when the device has done it.
    """

    name: str
    rows: tuple[Row, ...]
    tare: Write | None = None


_INPUT: Final = Function.INPUT_REGISTERS
SHELF: Final = "loadcell_shelf"
SHELF_METRIC: Final = "weight_g"
PROFILES: Final[Mapping[str, Profile]] = {
    profile.name: profile
    for profile in (
        Profile(
            SHELF,
            (
                Row(SHELF_METRIC, _INPUT, 0, Kind.INT32, 0.1, period_s=0.2, deadband=20.0, step=2, flag_word=102),
                Row("temp_c", _INPUT, 100, Kind.INT16, 0.1, period_s=5.0, deadband=0.2),
                Row("door_count", _INPUT, 101, Kind.UINT16, period_s=5.0),
            ),
            tare=Write(Function.HOLDING_REGISTERS, 200),
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
        Profile(
            # Eastron SDM120/SDM630 and the many meters that copy its map.
            "sdm_meter",
            (
                Row("power_w", _INPUT, 0x000C, Kind.FLOAT32, period_s=5.0, deadband=5.0),
                Row("frequency_hz", _INPUT, 0x0046, Kind.FLOAT32, period_s=10.0, deadband=0.1),
                Row("energy_kwh", _INPUT, 0x0156, Kind.FLOAT32, period_s=60.0, deadband=0.01),
            ),
        ),
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
        word_order=row.word_order,
        flag=Flag(row.flag_word, bay - 1) if row.flag_word is not None and bay else None,
        bit=row.bit,
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
