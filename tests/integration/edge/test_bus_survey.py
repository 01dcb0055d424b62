"""What an installer in a back room is shown: real slaves, real lines, the real command."""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from simulators.noise import Noise
from simulators.slave_server import Slaves, running_rtu, running_tcp
from simulators.slaves import Code, CountingSlave, ShelfSlave, Slave

Wire = Callable[[Sequence[Slave]], AbstractContextManager[Slaves]]
on_both = pytest.mark.parametrize("wire", [running_tcp, running_rtu], ids=["tcp", "rtu"])


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "deploy.cli", "edge", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def told(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


def where(slaves: Slaves) -> list[str]:
    if slaves.device:
        return ["--rtu", slaves.device, "--baudrate", "115200"]
    return ["--tcp", f"127.0.0.1:{slaves.port}"]


def configure(folder: Path, slaves: Slaves, *devices: str) -> Path:
    line = (
        f'kind = "rtu"\ndevice = "{slaves.device}"\nbaudrate = 115200'
        if slaves.device
        else f'kind = "tcp"\nhost = "127.0.0.1"\nport = {slaves.port}'
    )
    config = folder / "edge.toml"
    config.write_text(
        f'tenant = "demo"\nsite = "store-01"\ngateway = "gw-01"\n[[bus]]\nname = "b"\ntimeout_s = 0.3\n{line}\n'
        + "".join(f'[[device]]\nbus = "b"\n{device}\n' for device in devices)
    )
    return config


SHELF = 'name = "s{0}"\nunit = {0}\nprofile = "loadcell_shelf"\nbays = 2'


@on_both
def test_check_shows_values_latency_and_load(wire: Wire, tmp_path: Path) -> None:
    with wire([ShelfSlave(1, [3520.5, 0.0]), ShelfSlave(2, [1.0, 2.0])]) as slaves:
        slaves.unit(2).delay_s = 0.05
        config = configure(tmp_path, slaves, SHELF.format(1), SHELF.format(2))
        done = run("check", "--config", config, "--json")
    assert done.returncode == 0
    first, second = told(done)["devices"]
    assert {"channel": "s1-b1.weight_g", "value": 3520.5, "unit": "g", "quality": "good"} in first["values"]
    assert first["ok"]
    assert first["latency_ms"] < 50 <= second["latency_ms"]
    assert first["requests"] == 3  # weights, states, status word
    (bus,) = told(done)["buses"]
    assert bus["load"] == pytest.approx(first["load"] + second["load"], abs=1e-3)
    assert second["load"] >= 0.05 / 0.2


@on_both
def test_check_tells_the_silent_and_the_lacking_and_exits_with_1(wire: Wire, tmp_path: Path) -> None:
    with wire([ShelfSlave(1, [3520.5, 0.0]), ShelfSlave(2, [0.0] * 2)]) as slaves:
        slaves.unit(2).is_dead = True
        config = configure(tmp_path, slaves, SHELF.format(1).replace("bays = 2", "bays = 3"), SHELF.format(2))
        done = run("check", "--config", config, "--json")
        shown = run("check", "--config", config)
    assert done.returncode == shown.returncode == 1
    first, second = told(done)["devices"]
    assert first["absent"] == ["s1-b3.weight_g"]
    assert second["error"] == "no answer within 0.3 s"
    assert "no answer within 0.3 s" in shown.stdout
    assert "0 of 2 devices answer with all of their registers" in shown.stdout


@on_both
def test_scan_finds_units_and_their_tables(wire: Wire) -> None:
    with wire([ShelfSlave(2, [0.0] * 2), CountingSlave(5, 4, 0)]) as slaves:
        slaves.unit(5).exception = Code.BUSY
        done = run("scan", *where(slaves), "--last", "6", "--json")
    assert done.returncode == 0
    first, second = told(done)
    assert (first["unit"], second["unit"]) == (2, 5)
    assert first["answers"]["input_registers"] == "register 0 is 0"
    assert first["answers"]["holding_registers"] == "exception 2"
    assert second["answers"]["input_registers"] == "exception 6"


def test_scan_tells_noise_from_silence() -> None:
    with running_rtu([ShelfSlave(2, [0.0] * 2)]) as slaves:
        slaves.noise = Noise(flip=1.0)
        done = run("scan", *where(slaves), "--first", "2", "--last", "3", "--json")
        shown = run("scan", *where(slaves), "--first", "2", "--last", "3")
    assert [(each["unit"], each["garbled"]) for each in told(done)] == [(2, True)]
    assert "a wrong speed" in shown.stdout


def test_scan_tries_several_speeds() -> None:
    with running_rtu([ShelfSlave(2, [0.0] * 2)]) as slaves:
        words = ["--rtu", slaves.device, "--baudrate", "9600", "--baudrate", "19200"]
        done = run("scan", *words, "--first", "2", "--last", "2", "--json")
    # A pseudo terminal has no speed, so the unit answers at each.
    assert [each["where"] for each in told(done)] == [f"{slaves.device} 9600 8N1", f"{slaves.device} 19200 8N1"]


def test_scan_exits_with_1_when_nobody_answers() -> None:
    with running_tcp([ShelfSlave(2, [0.0] * 2)]) as slaves:
        done = run("scan", *where(slaves), "--first", "7", "--last", "9")
    assert done.returncode == 1
    assert "0 of 3 units answer" in done.stdout


def test_scan_of_a_bus_that_is_not_there_is_one_line() -> None:
    done = run("scan", "--rtu", "/dev/nowhere")
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == "error: cannot connect to /dev/nowhere 9600 8N1"
