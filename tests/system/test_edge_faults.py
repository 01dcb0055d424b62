"""A gateway in trouble: whatever happens to it, everything that it wrote is committed once, and ``verify`` proves it.

Real processes: PostgreSQL, a broker, the stream and the agent; the slaves behind it are served by this one. Each test
ends by draining the outbox, exporting its ledger and verifying the database against it.
"""

import subprocess
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from contracts.topics import Lane
from deploy.local.deadline import wait_until
from edge_agent.clock import machine_id
from edge_agent.outbox.file import Outbox
from simulators.faults import Direction
from simulators.noise import Noise
from simulators.slave_server import Slaves, running_rtu, running_tcp
from tests.integration.edge.frame_makers import tel_entry
from tests.services.gateways import STEP_G, Gateway, LivelyShelf, fill_disk, gateway, rtu, tcp
from tests.services.stacks import RunningStack, run_stack, state_directory

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

POWER_LOSSES = 50
HOUR_S = 3_600
FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), Path("/nowhere"))


@pytest.fixture(scope="module")
def stack() -> Iterator[RunningStack]:
    with state_directory() as state, run_stack(state) as running:
        yield running


@pytest.fixture
def edge(stack: RunningStack, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Gateway]:
    """A gateway named after the test."""
    name = f"gw-{zlib.crc32(request.node.name.encode())}"
    with gateway(stack, name, tmp_path) as each:
        yield each


@pytest.fixture
def slaves(edge: Gateway) -> Iterator[Slaves]:
    """Two shelves on a TCP bus, and the gateway configured for them."""
    with running_tcp([LivelyShelf(1), LivelyShelf(2)]) as each:
        edge.configure(tcp(each.port), [1, 2])
        yield each


@pytest.mark.usefixtures("slaves")
def test_a_broker_that_loses_its_state_loses_nothing(stack: RunningStack, edge: Gateway) -> None:
    edge.start()
    edge.commits_more()
    data = stack.state / "broker" / "mosquitto"
    for file in data.glob("*") if data.exists() else ():
        file.unlink()
    stack.crash("broker")
    edge.commits_more()
    edge.all_is_committed()


@pytest.mark.usefixtures("slaves")
@pytest.mark.parametrize("direction", [Direction.UP, Direction.DOWN])
def test_a_network_that_is_dead_one_way_loses_nothing(edge: Gateway, direction: Direction) -> None:
    edge.start()
    edge.commits_more()
    edge.proxy.blackholes = frozenset({direction})
    edge.writes_more(300)
    edge.proxy.cut()  # what was under way is gone, as after any reset
    edge.proxy.blackholes = frozenset()
    edge.commits_more(300)
    edge.all_is_committed()


@pytest.mark.usefixtures("slaves")
def test_fifty_power_losses_in_a_row_lose_nothing_that_was_written(edge: Gateway) -> None:
    for _ in range(POWER_LOSSES):
        edge.start()
        edge.writes_more(1)
        edge.kill()
    edge.start()
    # Its own, for what the one before wrote may be committed before this one can hear a signal.
    edge.writes_more(1)
    edge.commits_more(1)
    edge.all_is_committed()


@pytest.mark.usefixtures("slaves")
def test_an_outbox_on_a_full_disk_recovers_when_there_is_room(edge: Gateway) -> None:
    folder = edge.outbox.parent
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder],  # noqa: S607 - from PATH
        check=False,
        capture_output=True,
    )
    if mounted.returncode != 0:
        pytest.skip(f"no tmpfs can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        edge.proxy.refusing = True
        edge.proxy.cut()
        edge.start()
        edge.writes_more(100)
        ballast = fill_disk(folder, leave_bytes=0)
        assert wait_until(lambda: "outbox_refused" in edge.log(), 60), edge.log()
        before = edge.written()
        ballast.unlink()
        assert wait_until(lambda: "outbox_recovered" in edge.log(), 30), edge.log()
        assert wait_until(lambda: edge.written() > before, 30)
        edge.proxy.refusing = False
        edge.commits_more(100)
        edge.all_is_committed()
    finally:
        edge.kill()
        subprocess.run(["umount", folder], check=True)  # noqa: S607 - from PATH


@pytest.mark.usefixtures("slaves")
def test_an_outbox_corrupted_while_stopped_is_set_aside_and_work_goes_on(edge: Gateway) -> None:
    edge.start()
    edge.commits_more()
    edge.settle()
    before = edge.committed()
    with edge.outbox.open("r+b") as file:
        file.write(Random(0).randbytes(4_096))
    edge.start()
    edge.commits_more()
    told = edge.settle_and_verify()
    assert told["readings_written"] == edge.committed() - before
    assert [Path(aside).name.split("-")[0] for aside in told["aside"]] == ["outbox.db.corrupt"]
    assert "outbox_set_aside" in edge.log()


@pytest.mark.usefixtures("slaves")
def test_an_outbox_corrupted_while_running_is_set_aside_and_work_goes_on(edge: Gateway) -> None:
    backlog = Outbox(edge.outbox, machine=machine_id(), max_bytes=1 << 30)
    backlog.open()
    backlog.write([tel_entry(float(k), lane=Lane.BULK, readings=100) for k in range(4_000)])  # more than SQLite caches
    backlog.close()
    edge.proxy.refusing = True
    edge.start()
    edge.writes_more()
    size = edge.outbox.stat().st_size
    assert size > 2 << 20
    with edge.outbox.open("r+b") as file:  # the first pages stay: the file is still a database
        file.seek(64 * 1024)
        file.write(Random(0).randbytes(size - 64 * 1024))
    edge.proxy.refusing = False  # the backlog is read to be sent
    assert wait_until(lambda: "outbox_set_aside" in edge.log(), 60), edge.log()
    edge.commits_more()
    told = edge.settle_and_verify()
    assert told["readings_lost"] == 0
    assert [Path(aside).name.split("-")[0] for aside in told["aside"]] == ["outbox.db.corrupt"]
    assert edge.committed() == edge.stored()
    assert edge.declared("bulk", "corrupt") > 1_000, "the backlog is lost, and declared"
    assert edge.settled("bulk") >= 4_000, "to its last frame"


@pytest.mark.usefixtures("slaves")
@pytest.mark.parametrize("step_s", [HOUR_S, -HOUR_S])
def test_a_clock_that_is_set_wrong_by_an_hour_moves_no_reading(edge: Gateway, step_s: int) -> None:
    if not FAKETIME.exists():
        pytest.skip("libfaketime is not installed here")
    hands = edge.folder / "faketime"
    hands.write_text("+0s")
    edge.variables |= {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(hands),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    began_s = time.time()
    edge.start()
    edge.commits_more()
    hands.write_text(f"{step_s:+d}s")
    assert wait_until(lambda: '"stepped_ms"' in edge.log(), 20), edge.log()
    edge.writes_more(200)
    hands.write_text("+0s")
    edge.commits_more(200)
    edge.all_is_committed()
    ended_s = time.time()
    first, last = edge.times_s()
    assert began_s - 2 <= first <= last <= ended_s + 2


def test_a_dead_slave_keeps_no_other_waiting(edge: Gateway, slaves: Slaves) -> None:
    edge.start()
    edge.commits_more()
    slaves.unit(2).is_dead = True
    assert wait_until(lambda: "device_silent" in edge.log(), 30)
    asked, dead = slaves.unit(1).requests, slaves.unit(2).requests
    assert wait_until(lambda: slaves.unit(1).requests >= asked + 100, 60)
    assert slaves.unit(2).requests - dead < 15, "it is asked after 1, 2, 4 … s, not in every round"
    slaves.unit(2).is_dead = False
    assert wait_until(lambda: "device_answers" in edge.log(), 60)
    edge.all_is_committed()


def test_a_slow_slave_loses_no_reading(edge: Gateway, slaves: Slaves) -> None:
    edge.start()
    edge.commits_more()
    slaves.unit(2).delay_s = 0.15
    assert wait_until(lambda: "device_slow" in edge.log(), 60), edge.log()
    fast, slow = slaves.unit(1).requests, slaves.unit(2).requests
    edge.commits_more(200)
    assert slaves.unit(1).requests - fast > 2 * (slaves.unit(2).requests - slow), "the bus is not its own alone"
    edge.all_is_committed()


def test_noise_on_a_serial_line_becomes_no_reading(edge: Gateway) -> None:
    with running_rtu([LivelyShelf(1)]) as line:
        edge.configure(rtu(line.device), [1])
        edge.start()
        edge.commits_more()
        line.noise = Noise(flip=0.1, cut=0.1, garbage=0.1)
        assert wait_until(lambda: line.disturbed > 20, 60), "no answer was disturbed"
        edge.commits_more(50)
        line.noise = Noise()
        edge.all_is_committed()
    kinds = edge.values("%weight_g")
    assert kinds == [1_000.0, 1_000.0 + STEP_G]
