"""What an installation does, step by step: planned without touching anything, then carried out."""

import grp
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from contracts.errors import UserError
from contracts.ids import is_identifier
from edge_agent.install.unit import sysusers, unit

SERVICE: Final = "shelfpulse-edge.service"
STATE: Final = Path("/var/lib/shelfpulse")
_SYSTEMD_RUNS: Final = Path("/run/systemd/system")
_COMMAND_TIMEOUT_S: Final = 120


class Step(Protocol):
    """One thing to do."""

    def say(self, *, dry_run: bool) -> str:
        """What it does, for people: in the past tense, or after "would"."""

    def as_json(self) -> dict[str, Any]:
        """For --json."""

    def carry_out(self) -> None:
        """Do it. Raises OSError, subprocess.CalledProcessError."""


@dataclass(frozen=True)
class WriteFile:
    """A file, whole or not at all."""

    path: Path
    text: str
    mode: int = 0o644

    def say(self, *, dry_run: bool) -> str:
        """See Step."""
        return f"{'write' if dry_run else 'wrote'} {self.path}"

    def as_json(self) -> dict[str, Any]:
        """See Step."""
        return {"write": str(self.path), "mode": f"{self.mode:04o}", "text": self.text}

    def carry_out(self) -> None:
        """See Step."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        new = self.path.with_name(f".{self.path.name}.new")
        new.write_text(self.text, encoding="utf-8")
        new.chmod(self.mode)
        new.replace(self.path)


@dataclass(frozen=True)
class MakeFolder:
    """A folder; ``owner`` None: whoever runs this."""

    path: Path
    mode: int
    owner: str | None

    def say(self, *, dry_run: bool) -> str:
        """See Step."""
        owner = "" if self.owner is None else f" for {self.owner}"
        return f"{'make' if dry_run else 'made'} {self.path}{owner}"

    def as_json(self) -> dict[str, Any]:
        """See Step."""
        return {"folder": str(self.path), "mode": f"{self.mode:04o}", "owner": self.owner}

    def carry_out(self) -> None:
        """See Step. What lies in it already (a secret, a configuration) goes to the owner too."""
        self.path.mkdir(parents=True, exist_ok=True)
        self.path.chmod(self.mode)
        if self.owner is None:
            return
        uid, gid = pwd.getpwnam(self.owner).pw_uid, grp.getgrnam(self.owner).gr_gid
        for path in (self.path, *self.path.iterdir()):
            if not path.is_symlink():
                os.chown(path, uid, gid, follow_symlinks=False)


@dataclass(frozen=True)
class Run:
    """A command of the system."""

    words: tuple[str, ...]

    def say(self, *, dry_run: bool) -> str:
        """See Step."""
        return f"{'run' if dry_run else 'ran'} {' '.join(self.words)}"

    def as_json(self) -> dict[str, Any]:
        """See Step."""
        return {"run": list(self.words)}

    def carry_out(self) -> None:
        """See Step."""
        subprocess.run(self.words, check=True, capture_output=True, text=True, timeout=_COMMAND_TIMEOUT_S)  # noqa: S603 - our own words


def plan(*, config: Path, program: Path, user: str, root: Path | None) -> list[Step]:
    """The steps. With ``root`` only files, below it, as a package carries them. Raises UserError."""
    if not config.is_absolute() or not program.is_absolute():
        msg = f"a unit names whole paths, and {config if not config.is_absolute() else program} is none"
        raise UserError(msg)
    if not is_identifier(user):
        msg = f"--user {user}: not a name of a system user"
        raise UserError(msg)
    text = unit(program=program, config=config, user=user)
    if root is not None:
        return [
            WriteFile(_below(root, Path("/usr/lib/sysusers.d/shelfpulse.conf")), sysusers(user)),
            WriteFile(_below(root, Path("/usr/lib/systemd/system") / SERVICE), text),
            MakeFolder(_below(root, config.parent), 0o750, None),
        ]
    users = Path("/etc/sysusers.d/shelfpulse.conf")
    steps: list[Step] = [
        WriteFile(users, sysusers(user)),
        Run(("systemd-sysusers", str(users))),
        MakeFolder(config.parent, 0o750, user),
        WriteFile(Path("/etc/systemd/system") / SERVICE, text),
    ]
    if _SYSTEMD_RUNS.is_dir():
        start = ("enable", "--now") if config.exists() else ("enable",)
        steps += [Run(("systemctl", "daemon-reload")), Run(("systemctl", *start, SERVICE))]
    return steps


def carry_out(steps: Sequence[Step]) -> None:
    """Do all of it, and stop at what fails. Raises UserError."""
    for step in steps:
        try:
            step.carry_out()
        except PermissionError as error:
            msg = f"cannot {step.say(dry_run=True)}: {error.strerror}"
            raise UserError(msg, "run it as root, or look first with --dry-run") from error
        except subprocess.CalledProcessError as error:
            msg = f"cannot {step.say(dry_run=True)}: {' '.join((error.stderr or '').split())[:300]}"
            raise UserError(msg) from error
        except (OSError, KeyError, subprocess.TimeoutExpired) as error:
            msg = f"cannot {step.say(dry_run=True)}: {error}"
            raise UserError(msg) from error


def this_program() -> Path:
    """The ``shelfpulse`` that runs now. Raises UserError."""
    beside = Path(sys.executable).with_name("shelfpulse")
    found = beside if beside.exists() else shutil.which("shelfpulse")
    if found is None:
        msg = "there is no program shelfpulse beside this Python"
        raise UserError(msg, "name it with --program")
    return Path(found).absolute()


def _below(root: Path, path: Path) -> Path:
    return root / path.relative_to("/")
