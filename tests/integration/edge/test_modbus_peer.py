"""The agent against libmodbus, a slave that we did not write, over TCP and over a serial line."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from contracts.frames import Quality
from deploy.local.ports import free_port
from edge_agent.bus.modbus import GarbledError, ModbusBus, NoAnswerError, RefusedError
from edge_agent.bus.plan import Request
from edge_agent.bus.reader import DeviceReader, TareError
from edge_agent.bus.registers import PROFILES, Function, Kind, Register, WordOrder, expand
from edge_agent.settings import Device
from edge_agent.tables import Bus, RtuBus, TcpBus
from simulators.noise import Noise
from simulators.serial_line import SerialLine, running_line

SOURCE = Path(__file__).with_name("modbus_peer.c")
INPUT = Function.INPUT_REGISTERS
LITTLE = WordOrder.LITTLE


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The peer, compiled."""
    gcc, pkg_config = shutil.which("gcc"), shutil.which("pkg-config")
    if gcc is None or pkg_config is None:
        pytest.skip("gcc or pkg-config is not installed")
    found = subprocess.run([pkg_config, "--cflags", "--libs", "libmodbus"], capture_output=True, check=False)
    if found.returncode:
        pytest.skip("libmodbus-dev is not installed")
    out = tmp_path_factory.mktemp("peer") / "modbus_peer"
    # libmodbus' macros cut constants into words by overflow.
    subprocess.run([gcc, "-Wall", "-Wno-overflow", "-o", out, SOURCE, *found.stdout.decode().split()], check=True)
    return out


@pytest.fixture(params=["tcp", "rtu"])
def peer(request: pytest.FixtureRequest, program: Path) -> Iterator[tuple[Bus, SerialLine | None]]:
    """The bus that leads to the running peer, and the line between, if it is one."""
    with ExitStack() as stack:
        line = None
        if request.param == "tcp":
            port = free_port()
            words, bus = ("tcp", str(port)), tcp(port)
        else:
            line = stack.enter_context(running_line())
            words, bus = ("rtu", line.far), rtu(line.near)
        process = subprocess.Popen([program, *words], stdout=subprocess.PIPE)
        stack.callback(process.wait)
        stack.callback(process.kill)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield bus, line
        process.stdout.close()


def tcp(port: int) -> Bus:
    return TcpBus(kind="tcp", name="b", host="127.0.0.1", port=port, timeout_s=1.0)


def rtu(device: str) -> Bus:
    return RtuBus(kind="rtu", name="b", device=device, baudrate=115_200, timeout_s=1.0)


def generic(*registers: Register) -> Device:
    return Device("d", "b", 1, "generic", 1, registers)


def shelf() -> Device:
    profile = PROFILES["loadcell_shelf"]
    return Device("s01", "b", 1, profile.name, 4, tuple(expand(profile, "s01", bays=4)), tare=profile.tare)


def values(reader: DeviceReader) -> dict[str, float]:
    return {each.channel: each.value for each in reader.poll()}


def test_every_kind_is_read_in_both_word_orders(peer: tuple[Bus, SerialLine | None]) -> None:
    device = generic(
        Register("d.i16", INPUT, 20, Kind.INT16),
        Register("d.u16", INPUT, 21, Kind.UINT16),
        Register("d.i32", INPUT, 22, Kind.INT32),
        Register("d.i32_little", INPUT, 24, Kind.INT32, word_order=LITTLE),
        Register("d.f32", INPUT, 26, Kind.FLOAT32),
        Register("d.f32_little", INPUT, 28, Kind.FLOAT32, word_order=LITTLE),
        Register("d.i64", INPUT, 30, Kind.INT64),
        Register("d.i64_little", INPUT, 34, Kind.INT64, word_order=LITTLE),
        Register("d.f64", INPUT, 38, Kind.FLOAT64),
        Register("d.f64_little", INPUT, 42, Kind.FLOAT64, word_order=LITTLE),
        Register("d.bit1", INPUT, 46, Kind.BIT, bit=1),
        Register("d.bit2", INPUT, 46, Kind.BIT, bit=2),
        Register("d.bit15", INPUT, 46, Kind.BIT, bit=15),
    )
    bus = ModbusBus(peer[0])
    reader = DeviceReader(device, bus)
    assert values(reader) == {
        "d.i16": -1234.0, "d.u16": 54321.0, "d.i32": -123456789.0, "d.i32_little": -123456789.0,
        "d.f32": 21.375, "d.f32_little": 21.375, "d.i64": -1234567890123.0, "d.i64_little": -1234567890123.0,
        "d.f64": -0.007812, "d.f64_little": -0.007812, "d.bit1": 1.0, "d.bit2": 0.0, "d.bit15": 1.0,
    }  # fmt: skip
    assert reader.counts.requests == 1
    bus.close()


def test_coils_and_discrete_inputs_are_read(peer: tuple[Bus, SerialLine | None]) -> None:
    device = generic(
        *(Register(f"d.c{k}", Function.COILS, k, Kind.BIT) for k in range(16)),
        *(Register(f"d.i{k}", Function.DISCRETE_INPUTS, k, Kind.BIT) for k in range(16)),
    )
    bus = ModbusBus(peer[0])
    seen = values(DeviceReader(device, bus))
    assert [seen[f"d.c{k}"] for k in range(16)] == [float(k % 3 == 0) for k in range(16)]
    assert [seen[f"d.i{k}"] for k in range(16)] == [float(k % 5 == 0) for k in range(16)]
    bus.close()


def test_exceptions_are_told_apart_and_what_is_there_is_read(peer: tuple[Bus, SerialLine | None]) -> None:
    bus = ModbusBus(peer[0])
    for address, code in ((210, 6), (211, 4), (500, 2)):
        with pytest.raises(RefusedError) as refused:
            bus.read(1, Request(Function.HOLDING_REGISTERS, address, 1))
        assert refused.value.code == code
    there, beyond = Register("d.there", INPUT, 119, Kind.UINT16), Register("d.beyond", INPUT, 120, Kind.UINT16)
    assert values(DeviceReader(generic(there, beyond), bus)) == {"d.there": 0.0}
    bus.close()


def test_a_shelf_is_read_and_tared(peer: tuple[Bus, SerialLine | None]) -> None:
    bus = ModbusBus(peer[0])
    reader = DeviceReader(shelf(), bus)
    seen = {each.channel: (each.value, each.quality) for each in reader.poll()}
    assert seen["s01-b2.weight_g"] == (3520.6, Quality.GOOD)
    assert seen["s01-b4.weight_g"] == (3520.8, Quality.BAD)  # its status bit is set
    assert seen["s01.temp_c"] == (-3.5, Quality.GOOD)
    assert reader.tare(2) == (3520.6, 0.0)
    after = values(reader)
    assert (after["s01-b1.weight_g"], after["s01-b2.weight_g"]) == (3520.5, 0.0)
    with pytest.raises(TareError, match="no tare for bay 5"):
        reader.tare(5)
    bus.close()


@pytest.mark.parametrize("peer", ["rtu"], indirect=True)
def test_noise_on_the_line_never_becomes_a_reading(peer: tuple[Bus, SerialLine | None]) -> None:
    bus, line = peer
    assert line is not None
    quick = ModbusBus(bus.model_copy(update={"timeout_s": 0.15}))
    line.noise = Noise(flip=0.1, cut=0.1, garbage=0.1)
    good = failed = 0
    while good < 20 or failed < 5:
        try:
            assert quick.read(1, Request(INPUT, 20, 2)) == [64_302, 54_321]
            good += 1
        except (GarbledError, NoAnswerError):
            failed += 1
        assert good + failed < 1_000
    quick.close()
