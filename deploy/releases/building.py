"""Makes an archive of the edge agent with all that it imports, from what is installed here; needs no network.

The same installed files give the same bytes: names are sorted, owners and times fixed. (The compressed form also
depends on the zlib that Python is built with.)
"""

import base64
import gzip
import hashlib
import importlib.metadata
import io
import re
import sys
import tarfile
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from contracts.errors import UserError

PROJECT: Final = "shelfpulse"
EXTRA: Final = "edge"
PACKAGES: Final = ("contracts", "edge_agent", "deploy")
SOURCE: Final = Path(__file__).parents[2]
BUILT_S: Final = 315_532_800
"""1980-01-01, the time of every member: what archives and byte code bear by custom."""
PLAIN: Final = 0o644
PROGRAM: Final = 0o755
HASH: Final = "sha256"
_PIN: Final = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)

LAUNCHER: Final = """\
#!/bin/sh
# Isolated: of the machine's Python only the interpreter and its standard library are used.
root=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd -P) || exit 70
exec "${{SHELFPULSE_PYTHON:-python{python}}}" -I -S "$root/bin/main.py" "$@"
"""
MAIN: Final = """\
import sys
from pathlib import Path

if sys.version_info[:2] != {version}:
    sys.exit("error: this release needs Python {python}, it was started by " + sys.version.split()[0])
# Byte code was written when the release was staged; later writes could be torn by a power cut.
sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
from deploy.cli import main

main()
"""


@dataclass(frozen=True)
class Member:
    """A file of the archive."""

    content: bytes
    mode: int = PLAIN


@dataclass(frozen=True)
class Built:
    """An archive that was written. ``packages`` maps names to versions."""

    archive: Path
    sha256: str
    size: int
    unpacked: int
    packages: Mapping[str, str]


def build(archive: Path, version: str, lock: Path) -> Built:
    """Write the archive of this release. Raises UserError when what is installed is not what ``lock`` pins."""
    distributions = closure(required(SOURCE / "pyproject.toml"))
    check_lock(distributions, lock)
    members = dict(_launcher())
    members |= _own(version)
    for distribution in distributions.values():
        members |= _installed(distribution)
    write(archive, members)
    body = archive.read_bytes()
    return Built(
        archive=archive,
        sha256=hashlib.sha256(body).hexdigest(),
        size=len(body),
        unpacked=sum(len(member.content) for member in members.values()),
        packages={name: each.version for name, each in sorted(distributions.items())},
    )


def required(pyproject: Path) -> list[str]:
    """What a gateway needs by the project's own word: an editable installation may remember an older one."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    return [*project["dependencies"], *project["optional-dependencies"][EXTRA]]


def closure(requirements: Iterable[str]) -> dict[str, importlib.metadata.Distribution]:
    """What is installed for these, and for what they need on this machine. Raises UserError when something is not."""
    found: dict[str, importlib.metadata.Distribution] = {}
    done: set[tuple[str, str]] = set()
    open_ = [(text, "") for text in requirements]
    while open_:
        text, extra = open_.pop()
        needed = Requirement(text)
        if needed.marker is not None and not needed.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(needed.name)
        for wanted in {"", *needed.extras} - {each for known, each in done if known == name}:
            done.add((name, wanted))
            try:
                found[name] = importlib.metadata.distribution(name)
            except importlib.metadata.PackageNotFoundError as error:
                msg = f"the package {name} is not installed here"
                raise UserError(msg, f"install {PROJECT}[{EXTRA}]") from error
            open_ += [(each, wanted) for each in found[name].requires or ()]
    return found


def check_lock(distributions: Mapping[str, importlib.metadata.Distribution], lock: Path) -> None:
    """Raises UserError unless every version is the one that is pinned."""
    try:
        text = lock.read_text(encoding="utf-8")
    except OSError as error:
        msg = f"{lock}: {error.strerror}"
        raise UserError(msg, "name the lock with --lock requirements/edge.txt") from error
    pins: dict[str, str] = {canonicalize_name(name): version for name, version in _PIN.findall(text)}
    for name, distribution in distributions.items():
        if pins.get(name) != distribution.version:
            msg = f"{name} {distribution.version} is installed, {lock} pins {pins.get(name, 'none')}"
            raise UserError(msg, "build in an environment made from the lock")


def write(archive: Path, members: Mapping[str, Member]) -> None:
    """Write a tar.gz whose bytes depend on ``members`` alone."""
    with (
        archive.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for name, member in sorted(members.items()):
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.mtime = len(member.content), member.mode, BUILT_S
            tar.addfile(info, io.BytesIO(member.content))


def _launcher() -> Iterator[tuple[str, Member]]:
    version = sys.version_info[:2]
    python = f"{version[0]}.{version[1]}"
    yield "bin/shelfpulse", Member(LAUNCHER.format(python=python).encode(), PROGRAM)
    yield "bin/main.py", Member(MAIN.format(version=tuple(version), python=python).encode())


def _own(version: str) -> dict[str, Member]:
    files = {
        f"lib/{path.relative_to(SOURCE).as_posix()}": Member(path.read_bytes())
        for package in PACKAGES
        for path in (SOURCE / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    about = f"Metadata-Version: 2.1\nName: {PROJECT}\nVersion: {version}\n"
    files[f"lib/{PROJECT}-{version}.dist-info/METADATA"] = Member(about.encode())
    return files


def _installed(distribution: importlib.metadata.Distribution) -> dict[str, Member]:
    """Files of an installed package, each compared with the hash that its installer noted. Raises UserError."""
    members = {}
    for file in distribution.files or ():
        path = PurePosixPath(file)
        # Scripts beside the packages and byte code are made anew where they are needed.
        if ".." in path.parts or "__pycache__" in path.parts or path.name in {"RECORD", "INSTALLER", "REQUESTED"}:
            continue
        if path.parts[0].endswith(".dist-info") and path.name in {"direct_url.json", "uv_cache.json", "uv_build.json"}:
            continue
        content = Path(str(distribution.locate_file(file))).read_bytes()
        if file.hash is not None and file.hash.mode == HASH:
            found = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            if found != file.hash.value:
                msg = f"{distribution.name}: {file} was changed after it was installed"
                raise UserError(msg, "build in an environment made from the lock")
        members[f"lib/{path}"] = Member(content)
    return members
