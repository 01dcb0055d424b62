"""A platform's API as far as a claim sees it, over HTTP or HTTPS, with certificates of its own."""

import datetime as dt
import ipaddress
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from contracts.provision import REDEEM_PATH

Answer = tuple[int, dict[str, str], bytes]


@dataclass
class ClaimServer:
    """``answer`` is what the next request gets; ``asked`` the bodies that came."""

    url: str = ""
    answer: Answer = (500, {}, b"")
    asked: list[dict[str, Any]] = field(default_factory=list)

    def grant(self, **more: Any) -> None:
        provision = {
            "tenant": "demo",
            "site": "store-01",
            "gateway": "gw-01",
            "broker_url": "mqtts://broker.example:8883",
            "username": "demo/gw-01",
            "secret": "s3cret-of-the-gateway",
            "ca_pem": "-----BEGIN CERTIFICATE-----\n",
        }
        self.answer = (200, {"Content-Type": "application/json"}, json.dumps(provision | more).encode())

    def refuse(self, status: int, detail: str) -> None:
        problem = {"type": "about:blank", "title": "Forbidden", "status": status, "detail": detail}
        self.answer = (status, {"Content-Type": "application/problem+json"}, json.dumps(problem).encode())


def make_certificates(folder: Path, *, begins: dt.datetime, ends: dt.datetime) -> tuple[Path, Path, Path]:
    """An authority, and a certificate of 127.0.0.1 that it signed: files of the authority, the chain and the key."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test authority")])
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = _certificate((name, name), (authority_key, authority_key), (begins, ends), is_authority=True)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    server = _certificate((subject, name), (key, authority_key), (begins, ends), is_authority=False)
    files = folder / "authority.pem", folder / "server.pem", folder / "server.key"
    files[0].write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(server.public_bytes(serialization.Encoding.PEM))
    files[2].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return files


def _certificate(
    names: tuple[x509.Name, x509.Name],
    keys: tuple[ec.EllipticCurvePrivateKey, ec.EllipticCurvePrivateKey],
    validity: tuple[dt.datetime, dt.datetime],
    *,
    is_authority: bool,
) -> x509.Certificate:
    """``names`` and ``keys`` are of the subject and of the issuer."""
    (subject, issuer), (key, issuer_key), (begins, ends) = names, keys, validity
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    if is_authority:
        usage = x509.KeyUsage(*(name in {5, 6} for name in range(9)))
        builder = builder.add_extension(usage, critical=True)
    else:
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


@contextmanager
def claim_server(wrap: Callable[[Any], Any] | None = None) -> Iterator[ClaimServer]:
    """Serve on a free port; ``wrap`` makes TLS of a socket."""
    state = ClaimServer()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path != REDEEM_PATH:
                self.send_error(404)
                return
            state.asked.append(json.loads(body))
            status, headers, payload = state.answer
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, *_args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if wrap is not None:
        server.socket = wrap(server.socket)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that does not believe us hangs up
    state.url = f"{'http' if wrap is None else 'https'}://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def tls_claim_server(folder: Path, **validity: dt.datetime) -> Iterator[tuple[ClaimServer, Path]]:
    """Over HTTPS; also the file of the authority that signed its certificate."""
    now = dt.datetime.now(dt.UTC)
    spans = {"begins": now - dt.timedelta(days=1), "ends": now + dt.timedelta(days=1)} | validity
    authority, chain, key = make_certificates(folder, **spans)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    with claim_server(lambda plain: context.wrap_socket(plain, server_side=True)) as server:
        yield server, authority
