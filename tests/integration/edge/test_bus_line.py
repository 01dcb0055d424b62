"""A bus with bad neighbours: slaves that are dead, slow, busy or drowned in noise, on real serial lines and sockets."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from itertools import pairwise
from typing import NamedTuple

import pytest

from contracts.frames import Quality
from edge_agent.bus.modbus import GarbledError, ModbusBus, NoAnswerError
from edge_agent.bus.plan import Request
from edge_agent.bus.poller import Poller
from edge_agent.bus.reader import DeviceReader, TareError
from edge_agent.bus.registers import PROFILES, Decoded, Function, Kind, Register, expand
from edge_agent.settings import Device
from edge_agent.tables import Bus, RtuBus, TcpBus
from simulators.noise import QUIET, Noise
from simulators.slave_server import Slaves, running_rtu, running_tcp
from simulators.slaves import Code, ShelfSlave, Slave, Table, block
from tests.integration.edge.waiting import wait_for

TIMEOUT_S = 0.3
INPUT = Function.INPUT_REGISTERS

Wire = Callable[[Sequence[Slave]], AbstractContextManager[Slaves]]
on_both = pytest.mark.parametrize("wire", [running_tcp, running_rtu], ids=["tcp", "rtu"])


def bus_to(slaves: Slaves) -> Bus:
    if slaves.device:
        return RtuBus(kind="rtu", name="b", device=slaves.device, baudrate=115_200, timeout_s=TIMEOUT_S)
    return TcpBus(kind="tcp", name="b", host="127.0.0.1", port=slaves.port, timeout_s=TIMEOUT_S)


def shelf(unit: int, period_s: float = 0.05) -> Device:
    profile = PROFILES["loadcell_shelf"]
    registers = expand(profile, f"s{unit}", bays=2, period_s=period_s)
    return Device(f"s{unit}", "b", unit, profile.name, 2, tuple(registers), tare=profile.tare)


class Seen(NamedTuple):
    """What a running poller brought."""

    poller: Poller
    readings: list[tuple[float, Decoded]]

    def values(self, channel: str) -> list[float]:
        return [each.value for _, each in list(self.readings) if each.channel == channel]

    def times_s(self, channel: str) -> list[float]:
        return [at_s for at_s, each in list(self.readings) if each.channel == channel]


@contextmanager
def polling(slaves: Slaves, *devices: Device) -> Iterator[Seen]:
    readings: list[tuple[float, Decoded]] = []

    def sink(mono_ms: int, decoded: list[Decoded]) -> None:
        readings.extend((mono_ms / 1000, each) for each in decoded)

    poller = Poller("b", ModbusBus(bus_to(slaves)), devices, sink)
    poller.start()
    try:
        yield Seen(poller, readings)
        assert poller.error is None
    finally:
        poller.stop()


@on_both
def test_a_shelf_is_polled(wire: Wire) -> None:
    with wire([ShelfSlave(1, [3520.5, -12.5])]) as slaves, polling(slaves, shelf(1)) as seen:
        wait_for(lambda: len(seen.values("s1-b2.weight_g")) >= 5)
        wait_for(lambda: seen.values("s1.temp_c"))
        assert set(seen.values("s1-b1.weight_g")) == {3520.5}
        assert set(seen.values("s1-b2.weight_g")) == {-12.5}
        assert seen.values("s1.temp_c") == [21.5]


@on_both
def test_a_dead_slave_costs_one_time_out_a_pause_and_comes_back(wire: Wire) -> None:
    with wire([ShelfSlave(1, [1.0, 2.0]), ShelfSlave(2, [3.0, 4.0])]) as slaves:
        dead = slaves.unit(1)
        dead.is_dead = True
        with polling(slaves, shelf(1), shelf(2)) as seen:
            wait_for(lambda: seen.poller.counts["s1"].silences >= 2)
            times_s = seen.times_s("s2-b1.weight_g")
            holes = [after - before for before, after in pairwise(times_s)]
            # Asked at 0, then 1 s after its first time-out: the other misses one time-out each, and nothing else.
            assert sum(hole > 0.8 * TIMEOUT_S for hole in holes) <= 2
            assert seen.poller.silent == ["s1"]
            dead.is_dead = False
            wait_for(lambda: seen.values("s1-b1.weight_g"))
            assert seen.poller.silent == []


@on_both
def test_a_slow_slave_does_not_starve_a_fast_one(wire: Wire) -> None:
    with wire([ShelfSlave(1, [1.0, 2.0]), ShelfSlave(2, [3.0, 4.0])]) as slaves:
        slaves.unit(1).delay_s = 0.8 * TIMEOUT_S
        began_s = time.monotonic()
        with polling(slaves, shelf(1), shelf(2)) as seen:
            wait_for(lambda: len(seen.times_s("s1-b1.weight_g")) >= 3)
            took_s = time.monotonic() - began_s
            assert seen.poller.slow == ["s1"]
            # Undisturbed it would be one in 0.05 s; the slow one may take a fifth of the time, and a little at first.
            assert len(seen.times_s("s2-b1.weight_g")) >= 0.5 * took_s / 0.05


@on_both
def test_a_busy_slave_is_neither_parked_nor_unlearnt(wire: Wire) -> None:
    with wire([ShelfSlave(1, [1.0, 2.0])]) as slaves, polling(slaves, shelf(1)) as seen:
        wait_for(lambda: seen.values("s1-b1.weight_g"))
        slaves.unit(1).exception = Code.BUSY
        refusals = seen.poller.counts["s1"].refusals
        wait_for(lambda: seen.poller.counts["s1"].refusals >= refusals + 3)
        assert seen.poller.silent == []
        slaves.unit(1).exception = Code.NONE
        before = len(seen.values("s1-b1.weight_g"))
        wait_for(lambda: len(seen.values("s1-b1.weight_g")) > before)


def test_noise_on_a_line_is_counted_and_never_becomes_a_reading() -> None:
    with running_rtu([ShelfSlave(1, [3520.5, -12.5])]) as slaves, polling(slaves, shelf(1)) as seen:
        wait_for(lambda: seen.values("s1-b1.weight_g"))
        slaves.noise = Noise(flip=0.2, cut=0.2, garbage=0.3)
        wait_for(lambda: seen.poller.counts["s1"].garbled >= 10)
        wait_for(lambda: len(seen.values("s1-b1.weight_g")) >= 20)
        slaves.noise = QUIET
        garbled = seen.poller.counts["s1"].garbled
        before = len(seen.values("s1-b1.weight_g"))
        wait_for(lambda: len(seen.values("s1-b1.weight_g")) >= before + 20)
        assert seen.poller.counts["s1"].garbled <= garbled + 2
        assert set(seen.values("s1-b1.weight_g")) == {3520.5}
        assert set(seen.values("s1-b2.weight_g")) == {-12.5}


def test_garbage_before_an_answer_does_not_even_cost_it() -> None:
    with running_rtu([ShelfSlave(1, [3520.5, 0.0])]) as slaves:
        slaves.noise = Noise(garbage=1.0)
        bus = ModbusBus(bus_to(slaves))
        for _ in range(50):
            assert bus.read(1, Request(INPUT, 0, 2)) == [0, 35_205]
        bus.close()


def test_a_half_answer_is_garbled_and_soon_over() -> None:
    with running_rtu([ShelfSlave(1, [3520.5, 0.0])]) as slaves:
        slaves.noise = Noise(flip=1.0)
        bus = ModbusBus(bus_to(slaves).model_copy(update={"timeout_s": 30.0}))
        began_s = time.monotonic()
        with pytest.raises(GarbledError):
            bus.read(1, Request(INPUT, 0, 2))
        assert time.monotonic() - began_s < 5.0
        bus.close()


def test_a_late_answer_is_not_taken_for_that_of_another_unit() -> None:
    with running_rtu([ShelfSlave(1, [1.0, 2.0]), ShelfSlave(2, [3.0, 4.0])]) as slaves:
        slaves.unit(1).delay_s = TIMEOUT_S + 0.1
        bus = ModbusBus(bus_to(slaves))
        for _ in range(3):
            with suppress(NoAnswerError):  # from the second time on, the answer to the first may come in time
                bus.read(1, Request(INPUT, 0, 2))
            for _ in range(20):
                assert bus.read(2, Request(INPUT, 0, 2)) == [0, 30]
        bus.close()


def test_a_device_that_gives_few_registers_at_a_time_is_read_in_parts() -> None:
    class Small(Slave):
        """Refuses more than 10 registers with exception 3."""

        def answer(self, pdu: bytes) -> bytes:
            if int.from_bytes(pdu[3:5], "big") > 10:
                return bytes((pdu[0] | 0x80, Code.ILLEGAL_VALUE))
            return super().answer(pdu)

    fields = tuple(Register(f"d.r{k}", INPUT, k, Kind.UINT16) for k in range(40))
    with running_tcp([Small(1, {Table.INPUT_REGISTERS: [block(0, range(40))]})]) as slaves:
        reader = DeviceReader(Device("d", "b", 1, "generic", 1, fields), ModbusBus(bus_to(slaves)))
        for _ in range(2):
            assert [each.value for each in reader.poll()] == [float(k) for k in range(40)]
        refusals = reader.counts.refusals
        reader.poll()
        assert reader.counts.refusals == refusals


def test_an_unknown_function_is_asked_for_once() -> None:
    class Plain(Slave):
        """Knows input registers only."""

        def answer(self, pdu: bytes) -> bytes:
            return super().answer(pdu) if pdu[0] == 4 else bytes((pdu[0] | 0x80, Code.ILLEGAL_FUNCTION))

    fields = (
        Register("d.a", INPUT, 0, Kind.UINT16),
        *(Register(f"d.h{k}", Function.HOLDING_REGISTERS, k, Kind.UINT16) for k in range(8)),
    )
    with running_tcp([Plain(1, {Table.INPUT_REGISTERS: [block(0, [5])]})]) as slaves:
        reader = DeviceReader(Device("d", "b", 1, "generic", 1, fields), ModbusBus(bus_to(slaves)))
        assert [each.channel for each in reader.poll()] == ["d.a"]
        assert reader.counts.refusals == 1
        reader.poll()
        assert reader.counts.refusals == 1


def test_what_was_learnt_of_a_device_is_forgotten_when_it_comes_back() -> None:
    small = {Table.INPUT_REGISTERS: [block(0, [1])]}
    whole = {Table.INPUT_REGISTERS: [block(0, [1, 2])]}
    fields = tuple(Register(f"d.r{k}", INPUT, k, Kind.UINT16, period_s=0.05) for k in range(2))
    slave = Slave(1, small)
    with running_tcp([slave]) as slaves, polling(slaves, Device("d", "b", 1, "generic", 1, fields)) as seen:
        wait_for(lambda: seen.values("d.r0"))
        slave.is_dead = True
        wait_for(lambda: seen.poller.silent)
        slave.tables = Slave(1, whole).tables
        slave.is_dead = False
        wait_for(lambda: seen.values("d.r1"))


@on_both
def test_a_tare_from_another_thread_works_between_polls(wire: Wire) -> None:
    with wire([ShelfSlave(1, [352.0, 700.0])]) as slaves, polling(slaves, shelf(1, 0.02)) as seen:
        wait_for(lambda: seen.values("s1-b2.weight_g"))
        results = []
        thread = threading.Thread(target=lambda: results.append(seen.poller.tare("s1", 2)))
        thread.start()
        thread.join(10)
        assert results == [(700.0, 0.0)]
        wait_for(lambda: seen.values("s1-b2.weight_g")[-1] == 0.0)
        assert seen.values("s1-b1.weight_g")[-1] == 352.0


def test_a_tare_that_the_device_does_not_do_is_told() -> None:
    class Stubborn(ShelfSlave):
        """Takes the write and does nothing."""

        def written(self, *_write: object) -> Code:
            return Code.NONE

    with running_tcp([Stubborn(1, [352.0, 700.0])]) as slaves:
        reader = DeviceReader(shelf(1), ModbusBus(bus_to(slaves)))
        with pytest.raises(TareError, match="did not go to zero"):
            reader.tare(1)
        slaves.unit(1).is_dead = True
        with pytest.raises(TareError, match="is not tared, or it is not known"):
            reader.tare(1)


def test_a_status_word_that_is_refused_makes_its_bays_uncertain() -> None:
    class Proud(ShelfSlave):
        """Refuses its status word while ``hides``."""

        hides = False

        def answer(self, pdu: bytes) -> bytes:
            first, count = int.from_bytes(pdu[1:3], "big"), int.from_bytes(pdu[3:5], "big")
            if self.hides and first <= 102 < first + count:
                return bytes((pdu[0] | 0x80, Code.ILLEGAL_ADDRESS))
            return super().answer(pdu)

    slave = Proud(1, [352.0, 700.0])
    with running_tcp([slave]) as slaves:
        reader = DeviceReader(shelf(1), ModbusBus(bus_to(slaves)))

        def weights() -> set[Quality]:
            return {each.quality for each in reader.poll() if each.channel.endswith("weight_g")}

        assert weights() == {Quality.GOOD}
        slave.hides = True
        assert weights() == {Quality.UNCERTAIN}
