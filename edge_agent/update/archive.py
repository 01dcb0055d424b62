"""Unpacks an archive of a release: plain files and directories below one root, and nothing else."""

import tarfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Final

from edge_agent.update.errors import UpdateError
from edge_agent.update.guard import PROGRAM

MEMBERS_MAX: Final = 20_000
NAME_MAX: Final = 512


def unpack(archive: Path, root: Path, *, max_bytes: int) -> None:
    """Unpack a tar.gz into the new directory ``root``. Raises UpdateError; OSError when the disk refuses."""
    root.mkdir()
    seen: set[str] = set()
    unpacked = 0
    try:
        with tarfile.open(archive, "r|gz") as tar:
            for member in tar:
                _check(member)
                unpacked += member.size
                if unpacked > max_bytes or len(seen) >= MEMBERS_MAX:
                    msg = f"the archive unpacks to more than {max_bytes} bytes or {MEMBERS_MAX} entries"
                    raise UpdateError(msg)
                if member.name in seen:
                    msg = f"the archive has {member.name[:100]!r} twice"
                    raise UpdateError(msg)
                seen.add(member.name)
                # The library's own filter stands behind ours: it also clears set-uid bits and owners.
                tar.extract(member, root, filter="data")
    except (tarfile.TarError, zlib.error, EOFError, UnicodeError) as error:
        msg = f"the archive cannot be unpacked: {error}"
        raise UpdateError(msg) from error
    if PROGRAM not in seen or not (root / PROGRAM).stat().st_mode & 0o100:
        msg = f"the archive has no program {PROGRAM}"
        raise UpdateError(msg)


def _check(member: tarfile.TarInfo) -> None:
    name = member.name
    if not (member.isreg() or member.isdir()):
        msg = f"the archive has {name[:100]!r}, which is neither a file nor a directory"
        raise UpdateError(msg)
    path = PurePosixPath(name)
    is_plain = name.isprintable() and "\\" not in name and len(name) <= NAME_MAX
    if path.is_absolute() or ".." in path.parts or not path.parts or str(path) != name or not is_plain:
        msg = f"the archive has the name {name[:100]!r}, which leads outside or is not plain"
        raise UpdateError(msg)
