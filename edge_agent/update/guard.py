"""Runs before every start of the agent, and takes back a release that does not prove itself.

Standard library only, no other module of this project: it is started from the factory installation, so that a release
that cannot even be imported is taken back as well. Which program runs is one symbolic link::

    HOME/releases/1.2.0/bin/shelfpulse    releases, complete from the moment that they bear this name
    HOME/current -> releases/1.2.0        absent: the factory installation runs
    HOME/trial.json                       a release is on trial: how often it was started, what ran before
    HOME/outcome.json                     how the last trial ended
    HOME/seen.json                        what keeps old manifests from coming again

Every file is replaced as a whole, every step may be repeated, so that whatever dies wherever, the next start finds
either the old release or the new one.

    guard.py HOME FACTORY ARGUMENT…
"""

import json
import os
import select
import signal
import sys
from pathlib import Path
from typing import Any, Final

CURRENT: Final = "current"
RELEASES: Final = "releases"
TRIAL: Final = "trial.json"
OUTCOME: Final = "outcome.json"
PROGRAM: Final = "bin/shelfpulse"
ATTEMPTS_MAX: Final = 3
"""Starts of a release on trial; power cuts count too."""
GRACE_S: Final = 30.0
"""Between SIGTERM and SIGKILL for a release whose time is over."""
PYTHON_VARIABLE: Final = "SHELFPULSE_PYTHON"
HOME_VARIABLE: Final = "SHELFPULSE_UPDATE_HOME"
"""Tells the agent that it is guarded, and from where."""


def main(arguments: list[str]) -> None:
    """Decide which program runs, and become it."""
    home, factory, rest = Path(arguments[0]), arguments[1], arguments[2:]
    program = home / CURRENT / PROGRAM
    try:
        trial = prepare(home)
        if trial is not None:
            watch(home, trial)
    except Exception as error:  # noqa: BLE001 - a full disk or a damaged file must not keep the gateway from starting
        sys.stderr.write(f"edge-guard: {error}\n")
        # A start of a release on trial that cannot be counted could be repeated for ever.
        program = before_trial(home, Path(factory)) or program
    os.environ.setdefault(PYTHON_VARIABLE, sys.executable)
    os.environ[HOME_VARIABLE] = str(home)
    if os.access(program, os.X_OK):
        try:
            os.execv(program, [str(program), *rest])  # noqa: S606 - no shell is wanted
        except OSError as error:
            sys.stderr.write(f"edge-guard: {program}: {error}\n")
    os.execv(factory, [factory, *rest])  # noqa: S606 - no shell is wanted


def prepare(home: Path) -> dict[str, Any] | None:
    """Count this start of the release on trial, or take it back; the trial when there is (still) one."""
    trial = read(home / TRIAL)
    if trial is None:
        return None
    reason = _failure(home, trial)
    if reason:
        roll_back(home, trial, reason)
        return None
    trial["attempts"] += 1
    write(home / TRIAL, trial)
    return trial


def before_trial(home: Path, factory: Path) -> Path | None:
    """The program that ran before the release on trial; None when there is no trial, or nothing can be told."""
    try:
        trial = read(home / TRIAL)
    except OSError:
        return None
    if trial is None or "previous" not in trial:
        return None
    return factory if trial["previous"] is None else home / RELEASES / str(trial["previous"]) / PROGRAM


def _failure(home: Path, trial: dict[str, Any]) -> str:
    """Why the release on trial is taken back, '' for not yet."""
    if trial["failed"]:
        return str(trial["failed"])
    if trial["attempts"] >= ATTEMPTS_MAX:
        return f"it was started {trial['attempts']} times and never proved healthy"
    if running(home) != trial["version"]:
        return "the switch to it was interrupted"
    if not os.access(home / CURRENT / PROGRAM, os.X_OK):
        return "it has no program that can be started"
    return ""


def roll_back(home: Path, trial: dict[str, Any], reason: str) -> None:
    """Back to what ran before the trial. May be repeated from any point."""
    switch(home, trial["previous"])
    outcome = {"version": trial["version"], "previous": trial["previous"], "kept": False, "reason": reason}
    write(home / OUTCOME, outcome)
    remove(home / TRIAL)


def watch(home: Path, trial: dict[str, Any]) -> None:
    """Leave a small process behind that ends this one when the window passes without a verdict.

    The release itself judges sooner; this is for one that hangs, or whose judge is broken.
    """
    guarded = os.pidfd_open(os.getpid())
    child = os.fork()
    if child:
        os.close(guarded)
        os.waitpid(child, 0)
        return
    # Twice, so that it is nobody's child that the release would have to wait for.
    if os.fork():
        os._exit(0)
    try:
        _outlast(home, trial, guarded)
    finally:
        os._exit(0)


def _outlast(home: Path, trial: dict[str, Any], guarded: int) -> None:
    os.setsid()
    quiet = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(quiet, stream)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    if select.select([guarded], [], [], trial["limit_s"])[0]:
        return  # it ended by itself; the next start counts
    found = read(home / TRIAL)
    if found != trial:
        return  # it was kept, or given up, meanwhile
    try:
        write(home / TRIAL, trial | {"failed": f"no verdict on it within {trial['limit_s']:g} s"})
    finally:
        # Also when the disk took no reason: then the starts are counted.
        signal.pidfd_send_signal(guarded, signal.SIGTERM)
        if not select.select([guarded], [], [], GRACE_S)[0]:
            signal.pidfd_send_signal(guarded, signal.SIGKILL)


# ---------------------------------------------------------------------- the disk


def running(home: Path) -> str | None:
    """The release that ``current`` names, None for the factory installation."""
    try:
        return (home / CURRENT).readlink().name
    except FileNotFoundError:
        return None


def switch(home: Path, version: str | None) -> None:
    """Make ``current`` name this release, None for the factory installation; on the disk when it returns."""
    if version is None:
        remove(home / CURRENT)
        return
    new = home / f".{CURRENT}.new"
    new.unlink(missing_ok=True)
    new.symlink_to(f"{RELEASES}/{version}")
    new.replace(home / CURRENT)
    sync(home)


def read(path: Path) -> dict[str, Any] | None:
    """A state file, None when there is none or a failing disk made it unreadable."""
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError:
        sys.stderr.write(f"edge-guard: {path} cannot be read, and is ignored\n")
        return None
    return found if isinstance(found, dict) else None


def write(path: Path, state: dict[str, Any]) -> None:
    """Replace a state file as a whole; on the disk when it returns."""
    new = path.with_name(f".{path.name}.new")
    with new.open("w", encoding="utf-8") as file:
        json.dump(state, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    sync(path.parent)


def remove(path: Path) -> None:
    """Take a file or link away for good."""
    path.unlink(missing_ok=True)
    sync(path.parent)


def sync(path: Path) -> None:
    """Put a file or a directory's entries on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


if __name__ == "__main__":
    main(sys.argv[1:])
