"""Stages and activates a release, keeps it, or starts the guard; and dies before its n-th step on the file system.

Not by hooks in our code: the interpreter reports every opening for writing, renaming, removing, linking, and start
of a program, and this kills the process (SIGKILL) at the n-th of them.
"""

import os
import runpy
import signal
import sys
from datetime import datetime
from pathlib import Path
from typing import Any, Final

STEPS: Final = {
    "os.rename",
    "os.remove",
    "os.rmdir",
    "os.symlink",
    "os.mkdir",
    "os.chmod",
    "subprocess.Popen",
    "os.fork",
}


def die_before_step(n: int) -> None:
    left = n

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if event in STEPS or writes:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hear)


def main() -> None:
    what, steps, home = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    if what == "guard":
        from edge_agent.update import guard  # noqa: PLC0415 - each part imports what it needs

        sys.argv = ["guard.py", str(home), *sys.argv[4:]]
        die_before_step(steps)
        runpy.run_path(str(guard.__file__), run_name="__main__")
        return
    from edge_agent.remote.trial import Health  # noqa: PLC0415
    from edge_agent.update import staging, trial  # noqa: PLC0415
    from edge_agent.update.minisign import parse_key  # noqa: PLC0415

    if what == "keep":
        die_before_step(steps)
        trial.confirm(home)
        staging.prune(home, {"1.1.0", "1.0.1"})
        return
    url, key, version, now, config = sys.argv[4:]
    moment = datetime.fromisoformat(now)
    die_before_step(steps)
    staged = staging.stage(url, key=parse_key(key), home=home, version=version, now=moment, config=Path(config))
    well = Health(frozenset(), frozenset(), is_heard=True)
    trial.activate(home, staged.version, staged.created, before=well)


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    main()
