"""Simulated slaves as a process of their own, obeying lines."""

import json
import subprocess
import sys
from typing import Any

import pytest

from edge_agent.bus.modbus import ModbusBus, NoAnswerError
from edge_agent.bus.plan import Request
from edge_agent.bus.registers import Function
from edge_agent.tables import Bus, RtuBus, TcpBus

WEIGHTS = Request(Function.INPUT_REGISTERS, 0, 2)


@pytest.mark.parametrize("words", [(), ("--rtu",)], ids=["tcp", "rtu"])
def test_a_slave_dies_and_comes_back_on_command(words: tuple[str, ...]) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "deploy.cli", "simulate", "slaves", "--shelves", "2", *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        listening = json.loads(process.stdout.readline())
        bus = ModbusBus(bus_of(listening))

        def tell(line: dict[str, Any]) -> Any:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps(line) + "\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        assert tell({"unit": 2, "weights_g": [6553.6, 0.0, 0.0, 0.0]})["ok"]
        assert bus.read(2, WEIGHTS) == [1, 0]
        assert tell({"unit": 2, "dead": True})["ok"]
        with pytest.raises(NoAnswerError):
            bus.read(2, WEIGHTS)
        assert bus.read(1, WEIGHTS) == [0, 0]
        assert tell({"unit": 2, "dead": False})["ok"]
        assert bus.read(2, WEIGHTS) == [1, 0]
        assert tell({"unit": 7, "dead": True}) == {"ok": False, "error": "no unit 7"}
        bus.close()
        process.stdin.close()
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()


def bus_of(listening: dict[str, Any]) -> Bus:
    if "devices" in listening:
        return RtuBus(kind="rtu", name="line", device=listening["devices"][0], baudrate=115_200, timeout_s=0.3)
    return TcpBus(kind="tcp", name="port", host="127.0.0.1", port=listening["ports"][0], timeout_s=0.3)
