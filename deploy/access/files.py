"""Writes the broker's files so that nobody ever sees half of one, and makes the broker read them."""

import os
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from contracts.errors import UserError

STARTING_S: Final = 1.0
"""A broker younger than this is left alone: SIGHUP ends it until it has set up its handlers."""


@dataclass(frozen=True)
class AccessFolder:
    """The folder of a broker's access files, and the broker that reads them.

    Files belong to whom the folder belongs to, and only that user can read them. ``pid_file`` is written by the broker;
    ``programs`` are the names that its process may have, so that a stale file never points at somebody else's.
    """

    folder: Path
    pid_file: Path
    programs: frozenset[str]

    def write(self, files: Mapping[str, str]) -> bool:
        """Write what differs; whether anything did. Raises UserError when the folder cannot be written."""
        changed = False
        try:
            for name, text in files.items():
                changed |= _replace(self.folder / name, text.encode())
        except OSError as error:
            message = f"cannot write the broker's access files in {self.folder}: {error.strerror}"
            raise UserError(
                message, "the folder must belong to the broker's user, and we must be it or root"
            ) from error
        return changed

    def missing(self, files: Mapping[str, str]) -> bool:
        """Whether any of the files is not there."""
        return not all((self.folder / name).exists() for name in files)

    def reload(self) -> bool:
        """Make the broker read its files (SIGHUP); False while none runs, or one is still starting."""
        with suppress(OSError, ValueError, psutil.Error):
            process = psutil.Process(int(self.pid_file.read_text()))
            if process.name() in self.programs and time.time() - process.create_time() >= STARTING_S:
                process.send_signal(signal.SIGHUP)
                return True
        return False


def _replace(file: Path, content: bytes) -> bool:
    if file.exists() and file.read_bytes() == content:
        return False
    owner = file.parent.stat()
    part = file.with_name(f".{file.name}.{os.getpid()}")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        if os.geteuid() == 0:
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
        stream.write(content)
        stream.flush()
        os.fsync(descriptor)
    part.replace(file)
    return True
