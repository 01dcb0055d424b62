"""Whatever dies wherever, the gateway starts with the old release or the new one; a bad one is taken back."""

import base64
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from edge_agent.remote.trial import Health
from edge_agent.update import staging, trial
from edge_agent.update.errors import UpdateError
from edge_agent.update.guard import ATTEMPTS_MAX, TRIAL, read, running, write
from tests.integration.edge.update_world import NOW, World, public, update_world
from tests.integration.edge.waiting import wait_for

WELL = Health(frozenset({"s01"}), frozenset({"s01"}), is_heard=True)
CHILD = Path(__file__).with_name("update_child.py")
EITHER = {"running 1.0.0", "running 1.1.0"}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with update_world(tmp_path) as made:
        yield made


def on_trial(world: World, version: str = "1.1.0", over: str = "1.0.0", body: str = "true") -> None:
    staged = world.stage(world.publish(version, body=body), over)
    trial.activate(world.home, staged.version, staged.created, before=WELL)


def child(world: World, what: str, step: int, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(CHILD), what, str(step), str(world.home), *words],
        capture_output=True, text=True, check=False, timeout=60, cwd=Path(__file__).parents[3],
        env={"PYTHONPATH": str(Path(__file__).parents[3]), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip


def test_without_a_release_the_factory_installation_runs(world: World) -> None:
    assert world.start() == "running 1.0.0"


def test_a_release_on_trial_runs_and_is_kept_once_confirmed(world: World) -> None:
    on_trial(world)
    assert world.start() == "running 1.1.0"
    assert trial.outcome(world.home) is None
    trial.confirm(world.home)
    for _ in range(ATTEMPTS_MAX + 1):
        assert world.start() == "running 1.1.0"
    ended = trial.outcome(world.home)
    assert ended is not None
    assert ended.kept


@pytest.mark.parametrize("body", ["exit 1", "kill -9 $$"])
def test_a_release_that_dies_again_and_again_is_taken_back(world: World, body: str) -> None:
    on_trial(world, body=body)
    assert [world.start() for _ in range(ATTEMPTS_MAX + 1)] == [""] * ATTEMPTS_MAX + ["running 1.0.0"]
    ended = trial.outcome(world.home)
    assert ended is not None
    assert not ended.kept
    assert "started 3 times" in ended.reason


def test_it_is_taken_back_to_the_release_before_not_to_the_factory(world: World) -> None:
    on_trial(world)
    trial.confirm(world.home)
    on_trial(world, "1.2.0", "1.1.0", "exit 1")
    assert [world.start() for _ in range(ATTEMPTS_MAX + 1)][-1] == "running 1.1.0"


def test_a_release_that_gives_itself_up_is_taken_back_at_the_next_start(world: World) -> None:
    on_trial(world)
    assert world.start() == "running 1.1.0"
    trial.reject(world.home, "no answer within 120 s from s01")
    assert world.start() == "running 1.0.0"
    ended = trial.outcome(world.home)
    assert ended is not None
    assert ended.reason == "no answer within 120 s from s01"


def test_a_release_that_hangs_is_ended_and_taken_back(world: World) -> None:
    on_trial(world, body="exec sleep 600")
    state = read(world.home / TRIAL)
    assert state is not None
    write(world.home / TRIAL, state | {"limit_s": 0.3})
    assert world.start() == ""  # it returns, since somebody ended it
    wait_for(lambda: "no verdict" in (read(world.home / TRIAL) or {}).get("failed", ""))
    assert world.start() == "running 1.0.0"


def test_a_release_that_was_removed_does_not_stop_the_gateway(world: World) -> None:
    on_trial(world)
    trial.confirm(world.home)
    (world.home / "releases/1.1.0/bin/shelfpulse").unlink()
    assert world.start() == "running 1.0.0"


@pytest.mark.parametrize("damage", [b"", b"\0" * 200, b"[]", b"{}", b'{"failed": 3'])
def test_a_damaged_state_does_not_stop_the_gateway(world: World, damage: bytes) -> None:
    on_trial(world)
    (world.home / TRIAL).write_bytes(damage)
    assert world.start() in EITHER


def test_nothing_is_staged_while_a_release_is_on_trial(world: World) -> None:
    on_trial(world)
    with pytest.raises(UpdateError, match="still on trial"):
        world.stage(world.publish("1.2.0"), "1.1.0")


def test_the_last_two_releases_are_kept(world: World) -> None:
    for version, over in (("1.1.0", "1.0.0"), ("1.2.0", "1.1.0"), ("1.3.0", "1.2.0")):
        on_trial(world, version, over)
        trial.confirm(world.home)
        ended = trial.outcome(world.home)
        assert ended is not None
        staging.prune(world.home, {ended.version, ended.previous or ""})
    assert world.releases() == {"1.2.0", "1.3.0"}


def test_killed_at_any_step_of_an_update_it_starts_with_the_old_release_or_the_new(world: World) -> None:
    url = world.publish()
    key = base64.b64encode(b"Ed" + public(world.secret).id + public(world.secret).key.public_bytes_raw()).decode()
    words = (url, key, "1.0.0", NOW.isoformat(), str(world.config))
    for step in count(1):
        done = child(world, "update", step, *words)
        if done.returncode != -signal.SIGKILL:
            break
        assert world.start() in EITHER
        assert running(world.home) in {None, "1.1.0"}
        for _ in range(ATTEMPTS_MAX):  # whatever was begun is over at last, and the next update may come
            if trial.pending(world.home) is not None:
                world.start()
        assert trial.pending(world.home) is None
        assert running(world.home) is None
    assert done.returncode == 0, done.stderr
    assert step > 15
    assert running(world.home) == "1.1.0"


@pytest.mark.parametrize("what", ["keep", "back"])
def test_killed_at_any_step_of_a_verdict_it_starts_with_the_old_release_or_the_new(world: World, what: str) -> None:
    for step in count(1):
        on_trial(world)
        if what == "back":
            trial.reject(world.home, "worse")
        words = [str(world.factory), "edge", "run"] if what == "back" else []
        done = child(world, "guard" if what == "back" else "keep", step, *words)
        killed = done.returncode == -signal.SIGKILL
        assert world.start() == "running 1.0.0" if what == "back" else world.start() in EITHER
        if not killed:
            break
        # As it was, for the next step.
        trial.reject(world.home, "again")
        world.start()
        write(world.home / "seen.json", {"created": NOW.isoformat()})
        (world.home / "current").unlink(missing_ok=True)
    assert done.returncode == 0, done.stderr
    assert step > 3
    ended = trial.outcome(world.home)
    assert ended is not None
    assert ended.kept == (what == "keep")


def test_a_start_of_a_release_on_trial_that_cannot_be_counted_is_one_of_the_release_before(world: World) -> None:
    on_trial(world, body="exit 1")
    (world.home / ".trial.json.new").mkdir()  # no state can be written now
    assert [world.start() for _ in range(3)] == ["running 1.0.0"] * 3
    (world.home / ".trial.json.new").rmdir()
    for _ in range(ATTEMPTS_MAX):
        world.start()
    assert world.start() == "running 1.0.0"
    ended = trial.outcome(world.home)
    assert ended is not None
    assert not ended.kept
