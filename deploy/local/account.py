"""The unprivileged user of the services when the stack is started as root (PostgreSQL refuses to run as root)."""

import grp
import os
import pwd
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Final, NamedTuple

SERVICE_USER: Final = "shelfpulse"
_FALLBACK_USER: Final = "nobody"


class Account(NamedTuple):
    """A user of this machine."""

    name: str
    uid: int
    gid: int


def service_account() -> Account | None:
    """The user that the services drop to, created when it is not there; None when we are not root ourselves."""
    if os.geteuid() != 0:
        return None
    found = _look_up(SERVICE_USER) or _create() or _look_up(_FALLBACK_USER)
    assert found is not None, "every Unix has the user nobody"
    return found


def hand_over(path: Path, account: Account | None) -> None:
    """Make ``path`` the account's own, readable by nobody else."""
    path.chmod(0o700 if path.is_dir() else 0o600)
    if account is not None:
        os.chown(path, account.uid, account.gid)


def can_reach(path: Path, account: Account | None) -> bool:
    """Whether the account can walk to ``path`` (which may be a file or a folder) through all of its parents."""
    if account is None:
        return os.access(path, os.X_OK)
    return all(_may_enter(folder, account) for folder in path.resolve().parents)


def _may_enter(folder: Path, account: Account) -> bool:
    status = folder.stat()
    if status.st_uid == account.uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid == account.gid:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)


def _look_up(name: str) -> Account | None:
    try:
        entry = pwd.getpwnam(name)
        grp.getgrgid(entry.pw_gid)
    except KeyError:
        return None
    return Account(name, entry.pw_uid, entry.pw_gid)


def _create() -> Account | None:
    useradd = shutil.which("useradd")
    if useradd is None:
        return None
    # Two stacks may do this at once: whoever is late finds the user there.
    subprocess.run(  # noqa: S603 - a fixed command of the system
        [useradd, "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", SERVICE_USER],
        check=False,
        capture_output=True,
    )
    return _look_up(SERVICE_USER)
