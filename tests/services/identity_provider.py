"""Providers of identities: one that nobody here wrote, as a process, and one of ours that lies as it is told to.

Ours checks what a careful provider checks (client, redirect address, PKCE, a code once), so that a client which
forgets one of them is found out.
"""

import base64
import hashlib
import json
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qsl, unquote_plus, urlencode, urlsplit

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from deploy.local.deadline import wait_until
from deploy.local.ports import free_port, is_open

CLIENT_ID: Final = "shelfpulse at home"
CLIENT_SECRET: Final = "a secret: with+signs/and%20more"


@contextmanager
def run_provider(port: int, people: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Issuer of oidc-provider-mock as a process. ``people``: subject -> claims. It makes a new key on each start."""
    users = [part for sub, claims in people.items() for part in ("--user-claims", json.dumps({**claims, "sub": sub}))]
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "oidc_provider_mock",
        "--port",
        str(port),
        "--require-nonce",
        "true",
    ]
    child = subprocess.Popen([*command, *users], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert wait_until(lambda: is_open(port) or child.poll() is not None, 60)
        assert child.poll() is None
        yield f"http://127.0.0.1:{port}"
    finally:
        child.terminate()
        child.wait(30)


def consent(location: str, subject: str) -> str:
    """Where oidc-provider-mock sends the browser of somebody who logs in there."""
    answer = httpx.post(location, data={"sub": subject}, timeout=60)
    assert answer.status_code == 302, answer.text
    return answer.headers["location"]


def new_key() -> rsa.RSAPrivateKey:
    """A signing key."""
    return rsa.generate_private_key(public_exponent=65_537, key_size=2_048)


@dataclass
class Liar:
    """A provider. ``claims`` replace those of its next tokens (None takes one away), ``metadata`` those of discovery.

    ``key`` signs under the name ``kid``; ``published`` is what it says its keys are.
    """

    issuer: str
    key: rsa.RSAPrivateKey = field(default_factory=new_key)
    kid: str = "first"
    algorithm: str = "RS256"
    published: dict[str, rsa.RSAPrivateKey] = field(default_factory=dict)
    person: dict[str, Any] = field(default_factory=dict)
    claims: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    user_info: dict[str, Any] = field(default_factory=dict)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> tuple[int, Any]:
        """Status and JSON of a request, or a redirect's address."""
        path, query = urlsplit(target).path, dict(parse_qsl(urlsplit(target).query))
        self.asked.append(f"{method} {path}")
        match path:
            case "/.well-known/openid-configuration":
                ends = {f"{end}_endpoint": f"{self.issuer}/{end}" for end in ("authorization", "token", "userinfo")}
                return 200, {"issuer": self.issuer, **ends, "jwks_uri": f"{self.issuer}/jwks", **self.metadata}
            case "/jwks":
                return 200, {"keys": [_public(kid, key) for kid, key in self.published.items()]}
            case "/authorization":
                code = secrets.token_urlsafe(16)
                self.codes[code] = query
                return 302, f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}"
            case "/token":
                return self._token(headers, dict(parse_qsl(body.decode())))
            case "/userinfo":
                return 200, {"sub": self.person.get("sub"), **self.user_info}
        return 404, {}

    def _token(self, headers: Mapping[str, str], form: Mapping[str, str]) -> tuple[int, Any]:
        asked = self.codes.pop(form["code"], None)
        client: tuple[str | None, ...] = (form.get("client_id"), form.get("client_secret"))
        if "authorization" in headers:
            text = base64.b64decode(headers["authorization"].partition(" ")[2]).decode()
            client = tuple(unquote_plus(part) for part in text.split(":"))
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).rstrip(b"=")
        if (
            asked is None
            or client != (CLIENT_ID, CLIENT_SECRET)
            or ("authorization" in headers) is ("token_endpoint_auth_methods_supported" in self.metadata)
            or form["redirect_uri"] != asked["redirect_uri"]
            or asked["code_challenge_method"] != "S256"
            or asked["code_challenge"] != challenge.decode()
        ):
            return 400, {"error": "invalid_grant"}
        now = int(time.time())
        said = {"iss": self.issuer, "aud": CLIENT_ID, "iat": now, "exp": now + 300, "nonce": asked["nonce"]}
        told = {**said, **self.person, **self.claims}
        claims = {name: value for name, value in told.items() if value is not None}
        return 200, {"access_token": "for userinfo", "token_type": "Bearer", "id_token": self._sign(claims)}

    def _sign(self, claims: dict[str, Any]) -> str:
        if self.algorithm != "HS256":
            return jwt.encode(
                claims,
                None if self.algorithm == "none" else self.key,  # type: ignore[arg-type]  # what "none" takes
                algorithm=self.algorithm,
                headers={"kid": self.kid},
            )
        # The public key as a shared secret: PyJWT refuses to make such a token, an attacker does not.
        public = self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        head = jwt.utils.base64url_encode(json.dumps({"alg": "HS256", "kid": self.kid}).encode())
        content = head + b"." + jwt.utils.base64url_encode(json.dumps(claims).encode())
        mark = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(content, public)
        return (content + b"." + jwt.utils.base64url_encode(mark)).decode()


@contextmanager
def lie() -> Iterator[Liar]:
    """A provider of ours on a free port of the loopback interface; it is honest until told otherwise."""
    port = free_port()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._respond(b"")

        def do_POST(self) -> None:
            self._respond(self.rfile.read(int(self.headers["content-length"])))

        def _respond(self, body: bytes) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, said = liar.answer(self.command, self.path, headers, body)
            text = b"" if status == 302 else json.dumps(said).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(text)))
            if status == 302:
                self.send_header("location", said)
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name of the library
            """Say nothing on the console."""

    liar = Liar(f"http://127.0.0.1:{port}")
    liar.published[liar.kid] = liar.key
    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield liar
    finally:
        server.shutdown()
        thread.join(30)
        server.server_close()


def _public(kid: str, key: rsa.RSAPrivateKey) -> dict[str, Any]:
    said: dict[str, Any] = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return {**said, "kid": kid, "use": "sig", "alg": "RS256"}
