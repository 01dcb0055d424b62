"""A publisher of small releases on a real HTTP server, and a gateway's folder that follows it."""

import hashlib
import io
import os
import ssl
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from deploy.releases.building import Member, write
from deploy.releases.signing import SecretKey, sign
from edge_agent.update import guard
from edge_agent.update.manifest import FORMAT, PRODUCT, Manifest, platform_tag
from edge_agent.update.minisign import PublicKey
from edge_agent.update.staging import Staged, stage
from tests.services.certificates import Pair

NOW: Final = datetime(2026, 11, 24, 12, tzinfo=UTC)
GUARD: Final = guard.__file__


def new_key(key_id: bytes = b"\1\2\3\4\5\6\7\10") -> SecretKey:
    return SecretKey(key_id, Ed25519PrivateKey.generate())


def public(secret: SecretKey) -> PublicKey:
    return PublicKey(secret.id, secret.key.public_key())


def program(version: str, *, body: str = "", self_test: str = "exit 0") -> Member:
    """A release's program: says its version, and does ``body`` when it is to run the agent."""
    script = f"""#!/bin/sh
case "$*" in
--version) echo "shelfpulse {version}" ;;
"edge config show"*) {self_test} ;;
*) {body or "true"}; echo "running {version}" ;;
esac
"""
    return Member(script.encode(), 0o755)


def tree(version: str, **scripts: str) -> dict[str, Member]:
    return {"bin/shelfpulse": program(version, **scripts), "lib/part.txt": Member(b"x" * 1000)}


def tar_of(*entries: tuple[tarfile.TarInfo, bytes]) -> bytes:
    """An archive with whatever an attacker would put into it, behind a good program."""
    buffer, member = io.BytesIO(), program("1.1.0")
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        good = tarfile.TarInfo("bin/shelfpulse")
        good.size, good.mode = len(member.content), member.mode
        tar.addfile(good, io.BytesIO(member.content))
        for info, content in entries:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


class World:
    """``folder`` is served at ``url``; ``home`` is the gateway's; ``factory`` its first installation."""

    def __init__(self, root: Path, url: str) -> None:
        self.folder, self.home, self.url = root / "served", root / "home", url
        self.factory, self.config = root / "factory", root / "edge.toml"
        self.secret = new_key()
        self.config.write_text("")
        member = program("1.0.0")
        self.factory.write_bytes(member.content)
        self.factory.chmod(member.mode)

    def publish(self, version: str = "1.1.0", archive: bytes | None = None, **changes: Any) -> str:
        """Publish a signed release; the manifest's address.

        ``body`` and ``self_test`` are its program's; other ``changes`` go into the manifest before it is signed.
        """
        scripts = {name: changes.pop(name) for name in ("body", "self_test") if name in changes}
        file = self.folder / f"{version}.tar.gz"
        if archive is None:
            write(file, tree(version, **scripts))
        else:
            file.write_bytes(archive)
        content = file.read_bytes()
        manifest = Manifest(
            format=FORMAT, product=PRODUCT, version=version, platform=platform_tag(), url=file.name,
            sha256=hashlib.sha256(content).hexdigest(), size=len(content), unpacked=100_000, requires="0.0.0",
            created=NOW, expires=NOW + timedelta(days=30),
        )  # fmt: skip
        return self.put(msgspec.json.encode(msgspec.structs.replace(manifest, **changes)), version)

    def put(self, body: bytes, version: str = "1.1.0") -> str:
        """Sign and publish these bytes as a manifest."""
        (self.folder / f"{version}.json").write_bytes(body)
        (self.folder / f"{version}.json.minisig").write_text(sign(body, "a release", self.secret))
        return f"{self.url}/{version}.json"

    def stage(
        self, manifest_url: str, version: str = "1.0.0", now: datetime = NOW, ca_file: Path | None = None
    ) -> Staged:
        return stage(
            manifest_url,
            key=public(self.secret),
            home=self.home,
            version=version,
            now=now,
            config=self.config,
            ca_file=ca_file,
        )

    def start(self, environ: Mapping[str, str] | None = None) -> str:
        """Start the gateway through its guard; what the agent said."""
        done = subprocess.run(
            [sys.executable, "-I", GUARD, str(self.home), str(self.factory), "edge", "run"],
            capture_output=True, text=True, check=False, timeout=60, env={**os.environ, **(environ or {})},
        )  # fmt: skip
        return done.stdout.strip()

    def releases(self) -> set[str]:
        return {path.name for path in (self.home / guard.RELEASES).glob("*")} if self.home.exists() else set()

    def leftovers(self) -> list[str]:
        return [path.name for path in (self.home / guard.RELEASES).glob(".*")]


@contextmanager
def update_world(root: Path) -> Iterator[World]:
    (root / "served").mkdir()
    handler = partial(Quiet, directory=str(root / "served"))
    with serving(handler) as url:
        yield World(root, url)


@contextmanager
def serving(handler: Any, pair: Pair | None = None) -> Iterator[str]:
    """A server on a free port; with ``pair`` it speaks TLS."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    if pair is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.cert, pair.key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http{'s' if pair else ''}://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        del format, args


def answering(status: int, headers: Mapping[str, str], body: bytes) -> type[BaseHTTPRequestHandler]:
    """A server that answers everything alike; a Content-Length in ``headers`` may lie."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
            del format, args

    return Handler
