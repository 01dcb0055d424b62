"""``shelfpulse release``: build, sign, verify."""

import hashlib
import json
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from contracts.errors import UserError
from deploy.releases import building, signing
from edge_agent.update import minisign
from edge_agent.update.errors import UpdateError
from edge_agent.update.manifest import FORMAT, PRODUCT, VERSION_PATTERN, Manifest, decode, platform_tag

EXPIRES_DAYS: Final = 90
DAYS_MAX: Final = 3650

app = typer.Typer(no_args_is_help=True, help="Releases for gateways: build, sign, verify.")
ManifestArgument = Annotated[Path, typer.Argument(metavar="MANIFEST.JSON", help="Written by `release build`.")]


@app.command()
def build(
    *,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the archive and its manifest go.")],
    release: Annotated[str, typer.Option("--release", metavar="X.Y.Z", help="Version of the release.")],
    lock: Annotated[Path, typer.Option(help="Pins that the environment must match.")] = (
        building.SOURCE / "requirements/edge.txt"
    ),
    requires: Annotated[str, typer.Option(metavar="X.Y.Z", help="Least version to update from.")] = "0.0.0",
    days: Annotated[int, typer.Option("--expires-days", min=1, max=DAYS_MAX)] = EXPIRES_DAYS,
    downgrade: Annotated[bool, typer.Option("--downgrade", help="May replace a newer version.")] = False,
) -> None:
    """Make a release from this environment, for machines with this system, processor and minor of Python."""
    for version in (release, requires):
        if re.fullmatch(VERSION_PATTERN, version) is None:
            msg = f"{version!r} is not a version of three numbers"
            raise UserError(msg)
    name = f"{PRODUCT}-{release}-{platform_tag()}"
    now = datetime.now(UTC).replace(microsecond=0)
    try:
        out.mkdir(parents=True, exist_ok=True)
        built = building.build(out / f"{name}.tar.gz", release, lock)
        manifest = Manifest(
            format=FORMAT,
            product=PRODUCT,
            version=release,
            platform=platform_tag(),
            url=built.archive.name,
            sha256=built.sha256,
            size=built.size,
            unpacked=built.unpacked,
            requires=requires,
            created=now,
            expires=now + timedelta(days=days),
            downgrade=downgrade,
        )
        file = out / f"{name}.json"
        file.write_bytes(msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")
    except OSError as error:
        msg = f"{error.filename}: {error.strerror}"
        raise UserError(msg) from error
    sys.stdout.write(json.dumps({"manifest": str(file), "sha256": built.sha256, "packages": dict(built.packages)}))
    sys.stdout.write("\n")


@app.command()
def sign(
    manifest: ManifestArgument,
    *,
    key: Annotated[Path, typer.Option(metavar="MINISIGN.KEY", help="Secret key, made by `minisign -G`.")],
) -> None:
    """Write MANIFEST.JSON.minisig; `minisign -S` does the same."""
    body = _read(manifest)
    parsed = _decode(body)
    secret = signing.read_key(_read(key).decode(errors="replace"), _ask_password)
    comment = f"{parsed.product} {parsed.version} for {parsed.platform}, {parsed.created:%Y-%m-%dT%H:%M:%SZ}"
    signature = _signature_file(manifest)
    try:
        signature.write_text(signing.sign(body, comment, secret), encoding="utf-8")
    except OSError as error:
        msg = f"{signature}: {error.strerror}"
        raise UserError(msg) from error
    sys.stdout.write(f"{signature}\n")


@app.command()
def verify(
    manifest: ManifestArgument,
    *,
    key: Annotated[Path, typer.Option(metavar="MINISIGN.PUB", help="Public key.")],
) -> None:
    """Check the signature, and the archive beside the manifest, as a gateway would."""
    body = _read(manifest)
    try:
        public = minisign.parse_key(_read(key).decode(errors="replace"))
        comment = minisign.verify(body, _read(_signature_file(manifest)).decode(errors="replace"), public)
    except UpdateError as error:
        msg = f"{manifest}: {error}"
        raise UserError(msg) from error
    parsed = _decode(body)
    archive = _read(manifest.parent / Path(parsed.url).name)
    if len(archive) != parsed.size or hashlib.sha256(archive).hexdigest() != parsed.sha256:
        msg = f"{parsed.url}: not the archive that the manifest names"
        raise UserError(msg)
    sys.stdout.write(f"good: {comment}; expires {parsed.expires:%Y-%m-%d}\n")


def _signature_file(manifest: Path) -> Path:
    return manifest.with_name(f"{manifest.name}.minisig")


def _ask_password() -> str:
    password: str = typer.prompt("Password of the secret key", hide_input=True, err=True)
    return password


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        msg = f"{path}: {error.strerror}"
        raise UserError(msg) from error


def _decode(body: bytes) -> Manifest:
    try:
        return decode(body)
    except UpdateError as error:
        raise UserError(str(error)) from error
