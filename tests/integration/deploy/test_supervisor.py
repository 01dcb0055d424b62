"""Real processes that die in every way, and a supervisor that leaves none behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from contracts.errors import UserError
from deploy.local.deadline import wait_until
from deploy.local.process import Child, ProcessSpec
from deploy.local.supervisor import Service, Supervisor

SLEEPER = "import time\nwhile True: time.sleep(60)"
STUBBORN = f"import signal\nfor n in (2, 15): signal.signal(n, signal.SIG_IGN)\nprint('ready', flush=True)\n{SLEEPER}"
PARENT = f"""
import subprocess, sys
print(subprocess.Popen([sys.executable, "-c", {SLEEPER!r}]).pid, flush=True)
{SLEEPER}
"""


def spec(tmp_path: Path, name: str, code: str, *, stop_s: float = 10.0) -> ProcessSpec:
    return ProcessSpec(name=name, argv=(sys.executable, "-c", code), log=tmp_path / f"{name}.log", stop_s=stop_s)


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    with Supervisor() as supervisor:
        yield supervisor


def runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def ticked(supervisor: Supervisor, name: str, old: int) -> bool:
    supervisor.tick()
    return supervisor.pids().get(name, old) != old


def test_a_killed_process_is_started_again(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start(Service(spec(tmp_path, "one", SLEEPER)))
    first = supervisor.pids()["one"]
    os.kill(first, signal.SIGKILL)
    assert wait_until(lambda: ticked(supervisor, "one", first), 10)
    assert supervisor.restarts("one") == 1
    assert runs(supervisor.pids()["one"])


def test_a_process_that_keeps_dying_does_not_stop_the_others(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start(Service(spec(tmp_path, "good", SLEEPER)))
    supervisor.start(Service(spec(tmp_path, "bad", "raise SystemExit(3)")))
    good = supervisor.pids()["good"]

    def restarted_twice() -> bool:
        supervisor.tick()
        return supervisor.restarts("bad") >= 2

    assert wait_until(restarted_twice, 20)
    assert supervisor.pids()["good"] == good


def test_a_start_that_cannot_be_prepared_is_tried_again(supervisor: Supervisor, tmp_path: Path) -> None:
    calls = []

    def prepare() -> None:
        calls.append(1)
        if len(calls) == 2:
            message = "not now"
            raise UserError(message)

    supervisor.start(Service(spec(tmp_path, "one", SLEEPER), prepare))
    first = supervisor.pids()["one"]
    supervisor.kill("one")
    assert wait_until(lambda: ticked(supervisor, "one", first), 10)
    assert len(calls) == 3


def test_stopping_leaves_no_process_behind_not_even_a_stubborn_one(tmp_path: Path) -> None:
    with Supervisor() as supervisor:
        supervisor.start(Service(spec(tmp_path, "mild", SLEEPER)))
        supervisor.start(Service(spec(tmp_path, "stubborn", STUBBORN, stop_s=0.5)))
        assert wait_until(lambda: "ready" in (tmp_path / "stubborn.log").read_text(), 10)
        pids = list(supervisor.pids().values())
    assert not any(map(runs, pids))


def test_what_a_process_started_goes_with_it(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start(Service(spec(tmp_path, "parent", PARENT)))
    log = tmp_path / "parent.log"
    assert wait_until(lambda: log.exists() and log.read_text().endswith("\n"), 10)
    grandchild = int(log.read_text())
    supervisor.stop("parent")
    assert wait_until(lambda: not runs(grandchild), 10)


def test_services_stop_in_reverse_order(tmp_path: Path) -> None:
    order = tmp_path / "order"
    code = (
        "import signal, sys, time\n"
        "def end(*_):\n    open({file!r}, 'a').write({name!r} + ' '); sys.exit(0)\n"
        "signal.signal(15, end)\nprint('ready', flush=True)\nwhile True: time.sleep(60)"
    )
    with Supervisor() as supervisor:
        for name in ("database", "stream", "edge"):
            supervisor.start(Service(spec(tmp_path, name, code.format(file=str(order), name=name))))
            log = tmp_path / f"{name}.log"
            assert wait_until(lambda log=log: "ready" in log.read_text(), 10)  # type: ignore[misc]
        codes = supervisor.stop()
    assert order.read_text().split() == ["edge", "stream", "database"]
    assert set(codes.values()) == {0}


def test_a_service_that_ends_at_once_is_told_with_its_last_words(supervisor: Supervisor, tmp_path: Path) -> None:
    one = spec(tmp_path, "one", "import sys; sys.exit('no such port')")
    supervisor.start(Service(ProcessSpec(name="one", argv=one.argv, log=one.log, is_ready=lambda: False)))
    with pytest.raises(UserError, match="one ended at once with code 1: no such port"):
        supervisor.wait_ready("one")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
def test_children_do_not_outlive_a_killed_supervisor(tmp_path: Path) -> None:
    code = f"""
import time
from pathlib import Path
from deploy.local.process import Child, ProcessSpec
import sys
child = Child(ProcessSpec(name="one", argv=(sys.executable, "-c", {SLEEPER!r}), log=Path({str(tmp_path / "log")!r})))
print(child.pid, flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        child = int(owner.stdout.readline())
        assert runs(child)
        owner.kill()
    assert wait_until(lambda: not runs(child), 10)


def test_a_child_runs_in_a_group_of_its_own(tmp_path: Path) -> None:
    child = Child(spec(tmp_path, "one", SLEEPER))
    try:
        assert os.getpgid(child.pid) == child.pid != os.getpgrp()
    finally:
        child.kill()
    assert child.poll() == -signal.SIGKILL
