"""Processes that stand still: each silence is one dropout of the smallest thing that is wholly silent, and it ends.

The agent's last will dies with the broker, so that the platform has nothing to go by but the silence itself.
"""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest

from contracts import topics
from contracts.frames import TelemetryFrame, encode
from contracts.topics import GatewayAddress, Lane
from deploy.local.deadline import wait_until
from tests.services.gateways import BAYS, Gateway, gateway, tcp
from tests.services.stacks import RunningStack, run_stack, state_directory

pytestmark = [pytest.mark.system, pytest.mark.timeout(1_500)]

PAST_MINUTES = 30
"""A rhythm is known after twenty minutes: nobody waits that long in a test, so they come from a file."""
PERIOD_S = 1.0
COMMITS = 60
"""After so many the stream knows how often the gateway speaks."""
SILENT_S = 400.0
"""Two and a half minutes are the shortest silence that counts."""
BACK_S = 180.0
"""A shelf that did not answer is asked again after at most a minute."""


class ShelfProcess(NamedTuple):
    """One simulated shelf, unit 1 on a bus of its own."""

    process: "subprocess.Popen[str]"
    port: int


@contextmanager
def shelf_process() -> Iterator[ShelfProcess]:
    with subprocess.Popen(
        [sys.executable, "-m", "deploy.cli", "simulate", "slaves", "--shelves", "1", "--bays", str(BAYS)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            yield ShelfProcess(process, json.loads(process.stdout.readline())["ports"][0])
        finally:
            process.kill()


def two_shelves(edge: Gateway, near: ShelfProcess, far: ShelfProcess) -> None:
    """Configure the gateway for ``s01`` and ``s02``, each on a bus of its own."""
    edge.configure(tcp(near.port), [1], period_s=PERIOD_S)
    with edge.config.open("a") as config:
        config.write(f"""
            [[bus]]
            name = "far"
            timeout_s = 0.2
            {tcp(far.port)}
            [[device]]
            name = "s02"
            bus = "far"
            unit = 1
            profile = "loadcell_shelf"
            bays = {BAYS}
            period_s = {PERIOD_S}
            """)


def remember_past(stack: RunningStack, edge: Gateway) -> None:
    """Commit readings every five seconds of the last half hour, of an incarnation before the agent's."""
    address = GatewayAddress("faults", "north", edge.name)
    channels = [f"{shelf}-b{bay}.weight_g" for shelf in ("s01", "s02") for bay in range(1, BAYS + 1)]
    begin_ms = int(time.time() * 1000) - PAST_MINUTES * 60_000
    rows = [(at_ms, number) for at_ms in range(0, 60_000, 5_000) for number in range(len(channels))]
    lines = []
    for minute in range(PAST_MINUTES):
        t0 = begin_ms + minute * 60_000
        frame = TelemetryFrame(
            v=1, ep="past", seq=minute + 1, t0=t0, ch=channels,
            i=[number for _, number in rows], d=[at_ms for at_ms, _ in rows], x=[0.0] * len(rows),
        )  # fmt: skip
        payload = json.loads(encode(frame))
        lines.append(json.dumps({"at": t0, "topic": topics.up(address, Lane.TEL), "payload": payload}))
    past = edge.folder / "past.jsonl"
    past.write_text("\n".join(lines) + "\n")
    replayed = stack.command("simulate", "replay", str(past), "--json")
    assert replayed.returncode == 0, replayed.stdout + replayed.stderr


def dropouts(stack: RunningStack, edge: Gateway) -> list[tuple[str, str, bool]]:
    """Kind and name of the place, and whether it is over, of every dropout of the gateway."""
    with psycopg.connect(stack.info.dsn) as connection:
        return connection.execute(
            "SELECT place_kind, place, end_at IS NOT NULL FROM anomaly WHERE kind = 'dropout' AND gateway_id = %s",
            (edge.name,),
        ).fetchall()


def test_a_stopped_agent_and_a_stopped_shelf_are_one_dropout_each_until_they_go_on(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "part").mkdir()
    with (
        state_directory() as state,
        run_stack(state) as stack,
        shelf_process() as near,
        shelf_process() as far,
        gateway(stack, "gw-whole", tmp_path / "whole") as whole,
        gateway(stack, "gw-part", tmp_path / "part") as part,
    ):
        for edge, second in ((whole, near), (part, far)):
            two_shelves(edge, near, second)
            remember_past(stack, edge)
            edge.start()
        for _ in range(COMMITS):
            whole.commits_more(1)
        part.commits_more(1)
        assert whole.process is not None
        assert dropouts(stack, whole) == dropouts(stack, part) == []

        whole.process.send_signal(signal.SIGSTOP)
        far.process.send_signal(signal.SIGSTOP)
        stack.crash("broker")
        silent = [("gateway", "gw-whole", False)], [("device", "gw-part/s02", False)]
        assert wait_until(lambda: (dropouts(stack, whole), dropouts(stack, part)) == silent, SILENT_S), (
            dropouts(stack, whole), dropouts(stack, part), part.log()
        )  # fmt: skip
        said = "SELECT state FROM gateway_presence WHERE gateway_id = 'gw-whole'"
        assert stack.value(said) == "online", "no last will told it"

        whole.process.send_signal(signal.SIGCONT)
        far.process.send_signal(signal.SIGCONT)
        over = [("gateway", "gw-whole", True)], [("device", "gw-part/s02", True)]
        assert wait_until(lambda: (dropouts(stack, whole), dropouts(stack, part)) == over, BACK_S), (
            dropouts(stack, whole), dropouts(stack, part), whole.log()
        )  # fmt: skip
