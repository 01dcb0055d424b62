"""Reads one device: which ranges it allows, what its status words say, and how it is tared."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import structlog

from edge_agent.bus.decoding import RangeDecoder
from edge_agent.bus.modbus import (
    ACKNOWLEDGE,
    BUSY,
    ILLEGAL_ADDRESS,
    ILLEGAL_FUNCTION,
    ILLEGAL_VALUE,
    GarbledError,
    ModbusBus,
    ModbusError,
    RefusedError,
)
from edge_agent.bus.plan import Map, Place, Request, learn_absence, learn_refusal, plan
from edge_agent.bus.registers import SHELF_METRIC, Decoded, Register, Write
from edge_agent.settings import Device

LEARN_MAX: Final = 40
"""Refusals that one poll may learn from; the rest is learnt at the next."""
RELEARN_S: Final = 600.0
"""So often what was absent is asked for again: a device may have refused because it was still starting."""
TARE_DEADLINE_S: Final = 3.0
TARE_LOOK_S: Final = 0.1
TARE_TOLERANCE_G: Final = 20.0
"""A tared bay shows less than this (or its deadband, when that is more)."""

log = structlog.get_logger()


@dataclass(slots=True)
class Counts:
    """What became of the requests to a device. A poll that was garbled is asked once more, which counts again."""

    requests: int = 0
    refusals: int = 0
    garbled: int = 0
    silences: int = 0


class TareError(Exception):
    """A tare that did not work; the text says why, for people."""


class Tared(NamedTuple):
    """Weight that a bay showed before and after, in g."""

    before_g: float
    after_g: float


class DeviceReader:
    """Reads one device over its bus. Polls come from one thread; ``tare`` may come from another."""

    def __init__(self, device: Device, bus: ModbusBus) -> None:
        self.device = device
        self.counts = Counts()
        self._bus = bus
        self._map = Map()
        self._relearn_s = time.monotonic() + RELEARN_S
        self._decoders: dict[float | None, list[RangeDecoder]] = {}
        self._status: dict[Place, int] = {}
        self._refused_code = 0
        self._told_absent: set[Place] = set()

    def periods(self) -> list[float]:
        """Periods that its registers have, shortest first."""
        return sorted({register.period_s for register in self.device.registers})

    def poll(self, period_s: float | None = None) -> list[Decoded]:
        """Read the registers of one period (None: all).

        What the device refuses is left out: exceptions 1, 2 and 3 are learnt from, others (failure, busy) hold for
        this poll only. Raises NoAnswerError when the device is silent, GarbledError when the answer was unusable
        twice.
        """
        if self._map.absent and time.monotonic() >= self._relearn_s:
            self._learn(Map(self._map.barriers))
            self._relearn_s = time.monotonic() + RELEARN_S
        answers: list[tuple[RangeDecoder, Sequence[int]]] = []
        for decoder in self.ranges(period_s):
            self._read(decoder, self._registers(period_s), answers)
        # Status words first: they may lie in a later range than the values that they qualify.
        for decoder, words in answers:
            for place, index in decoder.status.items():
                self._status[place] = words[index]
        return [decoded for decoder, words in answers for decoded in decoder.decode(words, self._status)]

    def ranges(self, period_s: float | None = None) -> list[RangeDecoder]:
        """The ranges that a poll asks for."""
        if period_s not in self._decoders:
            registers = self._registers(period_s)
            self._decoders[period_s] = [RangeDecoder(each, registers) for each in plan(registers, self._map)]
        return self._decoders[period_s]

    def forget(self) -> None:
        """Learn the device anew: it was away, and what came back may be another one."""
        self._learn(Map())
        self._status.clear()

    def tare(self, bay: int) -> Tared:
        """Zero a bay, and see that it shows zero. Raises TareError when it does not, or cannot be known to.

        The tare register must go back to 0 (where it can be read), and the weight of the bay to about 0.
        """
        tare, weight = self.device.tare, self._weight_of(bay)
        if tare is None or weight is None:
            msg = f"{self.device.name}: profile {self.device.profile} has no tare for bay {bay}"
            raise TareError(msg)
        command = tare._replace(address=tare.address + bay - 1)
        try:
            before_g = self._value(weight)
            self._command(command)
            after_g = self._wait_for(lambda: self._tared(command, weight))
        except ModbusError as error:
            msg = f"{self.device.name}: bay {bay} is not tared, or it is not known: {error}"
            raise TareError(msg) from error
        return Tared(before_g, after_g)

    # ------------------------------------------------------------------ reading

    def _registers(self, period_s: float | None) -> list[Register]:
        return [r for r in self.device.registers if period_s is None or r.period_s == period_s]

    def _read(
        self,
        decoder: RangeDecoder,
        registers: Sequence[Register],
        answers: list[tuple[RangeDecoder, Sequence[int]]],
    ) -> None:
        """Read a range; after a refusal what is there of it, by smaller ranges that are remembered."""
        pending = [decoder]
        for _ in range(LEARN_MAX):
            if not pending:
                break
            asked = pending.pop(0)
            try:
                answers.append((asked, self._ask(asked.request)))
            except RefusedError as error:
                self.counts.refusals += 1
                # What cannot be read now qualifies nothing.
                for place in asked.status:
                    self._status.pop(place, None)
                pending[:0] = self._split(asked.request, error.code, registers)
            else:
                self._refused_code = 0

    def _ask(self, request: Request) -> Sequence[int]:
        self.counts.requests += 1
        try:
            return self._bus.read(self.device.unit, request)
        except GarbledError:
            self.counts.garbled += 1
        # Noise is short: the same question at once costs less than a reading missed.
        self.counts.requests += 1
        try:
            return self._bus.read(self.device.unit, request)
        except GarbledError:
            self.counts.garbled += 1
            raise

    def _split(self, refused: Request, code: int, registers: Sequence[Register]) -> list[RangeDecoder]:
        if code in {ILLEGAL_ADDRESS, ILLEGAL_VALUE}:
            # Illegal value: some devices give less than 125 registers at a time.
            self._learn(learn_refusal(refused, registers, self._map))
        elif code == ILLEGAL_FUNCTION:
            self._learn(learn_absence(refused, registers, self._map))
        else:
            if code != self._refused_code:
                log.warning("request_refused", device=self.device.name, code=code)
            self._refused_code = code
            return []
        end = refused.address + refused.size
        parts = [
            RangeDecoder(part, registers)
            for part in plan(registers, self._map)
            if part.function == refused.function and refused.address <= part.address < end
        ]
        place = (refused.function, refused.address)
        if not parts and place not in self._told_absent:
            self._told_absent.add(place)
            log.warning("register_absent", device=self.device.name, address=refused.address, code=code)
        return parts

    def _learn(self, known: Map) -> None:
        self._map = known
        self._decoders.clear()

    # ------------------------------------------------------------------ taring

    def _weight_of(self, bay: int) -> Register | None:
        channel = f"{self.device.name}-b{bay}.{SHELF_METRIC}"
        return next((r for r in self.device.registers if r.channel == channel), None)

    def _value(self, register: Register) -> float:
        request = Request(register.function, register.address, register.count)
        plain = RangeDecoder(request, [register])
        decoded = plain.decode(self._ask(request), {})
        if not decoded:
            msg = f"{register.channel} is no number"
            raise TareError(msg)
        return decoded[0].value

    def _command(self, command: Write) -> None:
        def is_taken() -> float | None:
            try:
                self._bus.write(self.device.unit, command)
            except RefusedError as error:
                if error.code == BUSY:
                    return None
                if error.code != ACKNOWLEDGE:  # 5: it takes its time, which is no refusal
                    raise
            return 1.0

        self._wait_for(is_taken)

    def _tared(self, command: Write, weight: Register) -> float | None:
        """The bay's weight when it is zero, else None."""
        try:
            if self._ask(Request(command.function, command.address, 1))[0] != 0:
                return None
        except RefusedError:
            pass  # some can only be written; the weight decides
        value_g = self._value(weight)
        return value_g if abs(value_g) <= max(TARE_TOLERANCE_G, weight.deadband) else None

    def _wait_for(self, look: Callable[[], float | None]) -> float:
        deadline_s = time.monotonic() + TARE_DEADLINE_S
        while (seen := look()) is None:
            if time.monotonic() >= deadline_s:
                msg = f"{self.device.name}: the bay did not go to zero within {TARE_DEADLINE_S:g} s"
                raise TareError(msg)
            time.sleep(TARE_LOOK_S)
        return seen
