"""Fetches a release and puts it, complete and tested, beside the one that runs. What runs is not touched."""

import os
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec
import structlog

from edge_agent.update import fetching
from edge_agent.update.archive import unpack
from edge_agent.update.errors import UpdateError
from edge_agent.update.guard import PROGRAM, PYTHON_VARIABLE, RELEASES, running, sync
from edge_agent.update.manifest import Manifest, Running, check, decode, platform_tag
from edge_agent.update.minisign import PublicKey, verify
from edge_agent.update.trial import newest_followed, pending

SPARE_BYTES: Final = 64 * 1024 * 1024
"""Left free beside a release: the outbox may be on the same disk."""
SELF_TEST_S: Final = 60.0
COMPILE_S: Final = 600.0
SAID_MAX: Final = 300
PART: Final = ".part"
TRASH: Final = ".trash"

log = structlog.get_logger()


class Staged(msgspec.Struct, frozen=True):
    """A release that lies ready in HOME/releases. ``created`` is its manifest's."""

    version: str
    created: datetime


def stage(  # noqa: PLR0913 - one argument a fact about this gateway, all by name
    manifest_url: str,
    *,
    key: PublicKey,
    home: Path,
    version: str,
    now: datetime,
    config: Path,
    ca_file: Path | None = None,
) -> Staged:
    """Fetch what ``manifest_url`` announces, check it against ``key``, unpack it and let it check ``config``.

    ``version`` runs now; ``now`` is aware UTC. The signature is fetched from ``manifest_url`` + ``.minisig``.
    Raises UpdateError; a failed or interrupted call leaves nothing that the next one does not clear away.
    """
    newest, starts = _standing(home)
    body = fetching.fetch_text(manifest_url, fetching.MANIFEST_MAX_BYTES, ca_file)
    signature = fetching.fetch_text(f"{manifest_url}.minisig", fetching.SIGNATURE_MAX_BYTES, ca_file)
    verify(body, signature.decode("utf-8", errors="replace"), key)
    manifest = decode(body)
    check(manifest, Running(version, platform_tag(), newest), now)
    if starts == manifest.version:
        msg = f"{manifest.version} is what starts here already"
        raise UpdateError(msg)
    try:
        _make(manifest, manifest_url, home, config, ca_file)
    except OSError as error:
        msg = f"the disk does not take the release: {error}"
        raise UpdateError(msg) from error
    log.info("release_staged", version=manifest.version)
    return Staged(manifest.version, manifest.created)


def _standing(home: Path) -> tuple[datetime | None, str | None]:
    """When the newest manifest that was followed was made, and what starts here. Raises UpdateError."""
    try:
        if pending(home) is not None:
            msg = "another release is still on trial"
            raise UpdateError(msg)
        return newest_followed(home), running(home)
    except OSError as error:
        msg = f"the state of updates cannot be read: {error}"
        raise UpdateError(msg) from error


def _make(manifest: Manifest, manifest_url: str, home: Path, config: Path, ca_file: Path | None) -> None:
    releases = home / RELEASES
    releases.mkdir(parents=True, exist_ok=True)
    clear(home)
    free = shutil.disk_usage(releases).free
    if free < manifest.size + manifest.unpacked + SPARE_BYTES:
        msg = f"the disk has {free} bytes free, too few for a release of {manifest.size} + {manifest.unpacked}"
        raise UpdateError(msg)
    archive, tree = releases / f"{PART}.tar.gz", releases / PART
    try:
        url = fetching.archive_url(manifest_url, manifest.url)
        fetching.fetch_archive(url, archive, size=manifest.size, sha256=manifest.sha256, ca_file=ca_file)
        unpack(archive, tree, max_bytes=manifest.unpacked)
        archive.unlink()
        _compile(tree)
        _self_test(tree, manifest.version, config)
        _sync_tree(tree)
        discard(releases / manifest.version)
        tree.rename(releases / manifest.version)
        sync(releases)
    except BaseException:
        clear(home)
        raise


def _compile(tree: Path) -> None:
    """Byte code now, so that it is on the disk with the rest and the first start is a quick one."""
    library = tree / "lib"
    if library.is_dir():
        _run([sys.executable, "-I", "-m", "compileall", "-q", str(library)], COMPILE_S)


def _self_test(tree: Path, version: str, config: Path) -> None:
    """The release must start here, be what it claims, and understand this gateway's configuration."""
    program = str(tree / PROGRAM)
    said = _run([program, "--version"], SELF_TEST_S)
    if said.split() != ["shelfpulse", version]:
        msg = f"the release says {said[:SAID_MAX]!r}, not that it is {version}"
        raise UpdateError(msg)
    _run([program, "edge", "config", "show", "--config", str(config)], SELF_TEST_S)


def _run(command: list[str], timeout_s: float) -> str:
    """What a program prints. Raises UpdateError when it fails or takes too long."""
    environment = {PYTHON_VARIABLE: sys.executable, **os.environ}
    shown = " ".join(command[1:])[:SAID_MAX]
    try:
        done = subprocess.run(  # noqa: S603 - of a release whose signature is good
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired as error:
        msg = f"self-test: `{shown}` took longer than {timeout_s:g} s"
        raise UpdateError(msg) from error
    except OSError as error:
        msg = f"self-test: `{shown}` cannot be started: {error.strerror}"
        raise UpdateError(msg) from error
    if done.returncode:
        said = (done.stderr or done.stdout).decode(errors="replace").strip()[-SAID_MAX:]
        msg = f"self-test: `{shown}` ended with {done.returncode}: {said}"
        raise UpdateError(msg)
    return done.stdout.decode(errors="replace")


def _sync_tree(tree: Path) -> None:
    for folder, _, names in os.walk(tree):
        for name in names:
            sync(Path(folder, name))
        sync(Path(folder))


def discard(release: Path) -> None:
    """Remove a release; a half-removed one never bears a release's name."""
    if release.exists():
        trash = release.with_name(f"{TRASH}.{release.name}")
        shutil.rmtree(trash, ignore_errors=True)
        release.rename(trash)
        shutil.rmtree(trash)


def clear(home: Path) -> None:
    """Remove what an interrupted call left behind."""
    for left in (home / RELEASES).glob(".*"):
        if left.is_dir():
            shutil.rmtree(left)
        else:
            left.unlink()


def prune(home: Path, keep: set[str]) -> None:
    """Remove all releases but those in ``keep``."""
    clear(home)
    for release in (home / RELEASES).glob("*"):
        if release.name not in keep:
            discard(release)
