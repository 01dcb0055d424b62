"""Fetches a manifest, its signature and the archive over HTTPS: bounded in bytes and time, no redirects."""

import hashlib
import os
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any, Final, NoReturn
from urllib.parse import urljoin, urlsplit

from edge_agent.settings import is_loopback
from edge_agent.update.errors import UpdateError

MANIFEST_MAX_BYTES: Final = 64 * 1024
SIGNATURE_MAX_BYTES: Final = 16 * 1024
TIMEOUT_S: Final = 30.0
"""Silence of the server that is borne."""
FETCH_MAX_S: Final = 3600.0
"""All of the archive: 256 MiB at 75 kB/s."""
CHUNK_BYTES: Final = 64 * 1024


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> NoReturn:
        del req, fp, msg, headers
        text = f"the server redirects ({code}) to {newurl[:200]}, which is not followed"
        raise UpdateError(text)


def archive_url(manifest_url: str, url: str) -> str:
    """Where the archive is: ``url`` may be relative to the manifest."""
    return urljoin(manifest_url, url)


def fetch_text(url: str, max_bytes: int, ca_file: Path | None = None) -> bytes:
    """A small file. Raises UpdateError."""
    with _open(url, ca_file) as response:
        body = response.read(max_bytes + 1)
    if len(body) > max_bytes:
        msg = f"{url}: over {max_bytes} bytes"
        raise UpdateError(msg)
    return body


def fetch_archive(url: str, into: Path, *, size: int, sha256: str, ca_file: Path | None = None) -> None:
    """Write the archive to ``into``, which must not exist; only the announced one is accepted. Raises UpdateError."""
    digest, count, deadline_s = hashlib.sha256(), 0, time.monotonic() + FETCH_MAX_S
    with _open(url, ca_file) as response, into.open("xb") as file:
        while chunk := response.read1(CHUNK_BYTES):
            count += len(chunk)
            if count > size:
                msg = f"{url}: longer than the {size} bytes that were announced"
                raise UpdateError(msg)
            if time.monotonic() > deadline_s:
                msg = f"{url}: not complete within {FETCH_MAX_S:g} s"
                raise UpdateError(msg)
            digest.update(chunk)
            _write(file.fileno(), chunk)
    if count < size:
        msg = f"{url}: ended after {count} of {size} bytes"
        raise UpdateError(msg)
    if digest.hexdigest() != sha256:
        msg = f"{url}: not the archive that the manifest names (its SHA-256 differs)"
        raise UpdateError(msg)


def _write(handle: int, chunk: bytes) -> None:
    rest = memoryview(chunk)
    while rest:
        rest = rest[os.write(handle, rest) :]


@contextmanager
def _open(url: str, ca_file: Path | None) -> Iterator[HTTPResponse]:
    try:
        parts = urlsplit(url)
        url.encode("ascii")
    except ValueError as error:
        msg = f"{url[:200]!r} is no address: {error}"
        raise UpdateError(msg) from error
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname or "")):
        msg = f"{url[:200]}: only https:// is fetched from"
        raise UpdateError(msg)
    try:
        with _opener(parts.scheme, ca_file).open(url, timeout=TIMEOUT_S) as response:
            yield response
    except urllib.error.HTTPError as error:
        msg = f"{url}: the server answers {error.code}"
        raise UpdateError(msg) from error
    except (HTTPException, urllib.error.URLError, TimeoutError, ConnectionError, ssl.SSLError, ValueError) as error:
        msg = f"{url}: {error}"
        raise UpdateError(msg) from error


def _opener(scheme: str, ca_file: Path | None) -> urllib.request.OpenerDirector:
    if scheme == "http":
        return urllib.request.build_opener(_NoRedirects)
    context = ssl.create_default_context()
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except OSError as error:
            msg = f"{ca_file}: no certificates to believe: {error}"
            raise UpdateError(msg) from error
    return urllib.request.build_opener(_NoRedirects, urllib.request.HTTPSHandler(context=context))
