"""Where RFID readers push their rounds: one POST a round, over HTTP. See docs/field-devices.md, "RFID readers".

POST /rfid   Authorization: Bearer …   {"reader":"door-1","round":1042,"tags":["e280…","e280…"]}
"""

import hmac
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import structlog

from contracts.errors import UserError
from contracts.frames import Quality
from edge_agent.bus.registers import Decoded
from edge_agent.bus.rfid import TAGS_MAX, TagTracker

PATH: Final = "/rfid"
READER_METRICS: Final = ("tag_count", "portal_count")
BODY_BYTES_MAX: Final = 256 * 1024
TAG_LENGTH_MAX: Final = 128
REQUEST_TIMEOUT_S: Final = 5.0
"""Silence in the middle of a request that is borne, and between two on one connection."""
REQUEST_MAX_S: Final = 20.0
"""All of a request: one that drips in keeps its thread no longer."""
CONNECTIONS_MAX: Final = 16
"""Threads that readers may hold; who comes then is hung up on, and tries again."""
_MS: Final = 1_000
_BEARER: Final = "Bearer "

log = structlog.get_logger()

_Tag = Annotated[str, msgspec.Meta(min_length=1, max_length=TAG_LENGTH_MAX)]


class Round(msgspec.Struct, frozen=True):
    """One inventory of a reader: every tag that it saw."""

    reader: str
    round: Annotated[int, msgspec.Meta(ge=0, le=2**53)]
    tags: Annotated[list[_Tag], msgspec.Meta(max_length=TAGS_MAX)]


class _RefusedError(Exception):
    def __init__(self, status: HTTPStatus, text: str) -> None:
        super().__init__(text)
        self.status = status


_DECODE = msgspec.json.Decoder(Round).decode
Sink = Callable[[int, list[Decoded]], None]


class Intake:
    """Serves readers until ``stop``; ``readers``: after how many rounds without it a tag of each is removed.

    ``sink(mono_ms, decoded)`` gets two channels for each round: ``{reader}.tag_count``, the tags that are there, and
    ``{reader}.portal_count``, those that ever appeared (it begins at 0 with the agent). It is called from the threads
    of the server, never from two at once.
    """

    def __init__(
        self,
        host: str,
        port: int,
        token: str,
        readers: Mapping[str, int],
        sink: Sink,
        tls: tuple[Path, Path] | None = None,
    ) -> None:
        self._trackers = {name: TagTracker(missed_rounds) for name, missed_rounds in readers.items()}
        self._token = token
        self._sink = sink
        self._lock = threading.Lock()
        self._address = (host, port)
        self._tls = tls
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None
        self.rounds = 0
        self.refused = 0

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._server is not None, "not started"
        port: int = self._server.server_address[1]
        return port

    def start(self) -> None:
        """Begin to listen. Raises UserError when the port is taken."""
        intake = self

        class Handler(_RoundHandler):
            is_known = staticmethod(intake.is_known)
            take = staticmethod(intake.take)

        host, port = self._address
        try:
            self._server = _Server(self._address, Handler)
            if self._tls is not None:
                self._server.speak_tls(*self._tls)
        except OSError as error:
            msg = f"intake: cannot listen on {host}:{port}: {error.strerror or error}"
            raise UserError(msg) from error
        self._thread = threading.Thread(target=self._server.serve_forever, name="intake", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End; then nothing more is put."""
        if self._server is None or self._thread is None:
            return
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        with self._lock:
            self._trackers.clear()

    def is_known(self, authorization: str) -> bool:
        """Whether this Authorization header has the token."""
        known = f"{_BEARER}{self._token}".encode()
        if not self._token or hmac.compare_digest(authorization.encode(), known):
            return True
        self.refused += 1
        log.warning("reader_refused")
        return False

    def take(self, body: bytes) -> tuple[HTTPStatus, dict[str, object]]:
        """The answer to one POST of a reader that is known: what it is told."""
        try:
            return HTTPStatus.OK, self._take(body)
        except _RefusedError as refused:
            self.refused += 1
            log.warning("round_refused", status=refused.status.value, error=str(refused))
            return refused.status, {"error": str(refused)}

    def _take(self, body: bytes) -> dict[str, object]:
        try:
            told = _DECODE(body)
        except msgspec.MsgspecError as error:
            raise _RefusedError(HTTPStatus.BAD_REQUEST, str(error)) from error
        with self._lock:
            tracker = self._trackers.get(told.reader)
            if tracker is None:
                text = f"no [[reader]] is named {told.reader!r}"
                raise _RefusedError(HTTPStatus.NOT_FOUND, text)
            changes = tracker.step(told.round, told.tags)
            if changes is None:
                return {"repeated": True, "present": tracker.present}
            self.rounds += 1
            counts = zip(READER_METRICS, (tracker.present, tracker.passages), strict=True)
            decoded = [Decoded(f"{told.reader}.{name}", float(count), Quality.GOOD) for name, count in counts]
            self._sink(int(time.monotonic() * _MS), decoded)
        return {"present": tracker.present, "appeared": changes.appeared, "removed": changes.removed}


class _Server(ThreadingHTTPServer):
    """A bounded number of connections, none of which lasts much longer than its last complete request."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(address, handler)
        self._began_s: dict[socket.socket, float] = {}

    def speak_tls(self, cert: Path, key: Path) -> None:
        """Raises OSError for files that are none. The handshake is the business of each connection's thread."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give a connection its thread, when there is one."""
        if len(self._began_s) >= CONNECTIONS_MAX:
            log.warning("reader_hung_up_on", connections=CONNECTIONS_MAX)
            self.shutdown_request(request)
            return
        self.renew(request)
        super().process_request(request, client_address)

    def renew(self, request: socket.socket) -> None:
        """A request was answered: the next one on this connection has all its time."""
        self._began_s[request] = time.monotonic()

    def shutdown_request(self, request: Any) -> None:
        """The connection has ended."""
        self._began_s.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Called about twice a second: end what takes too long."""
        now_s = time.monotonic()
        for request, began_s in list(self._began_s.items()):
            if now_s - began_s > REQUEST_MAX_S:
                with suppress(OSError):
                    request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that broke is no event."""
        log.debug("reader_broke_off", client=str(client_address), request=str(request))


class _RoundHandler(BaseHTTPRequestHandler):
    is_known: Callable[[str], bool]
    take: Callable[[bytes], tuple[HTTPStatus, dict[str, object]]]
    server: _Server
    protocol_version = "HTTP/1.1"
    timeout = REQUEST_TIMEOUT_S

    def do_POST(self) -> None:
        """Take a round."""
        length = self.headers.get("Content-Length", "")
        if self.path != PATH:
            self._refuse(HTTPStatus.NOT_FOUND, f"POST {PATH}")
        elif not length.isdecimal():
            self._refuse(HTTPStatus.LENGTH_REQUIRED, "Content-Length is missing")
        elif int(length) > BODY_BYTES_MAX:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a round has at most {BODY_BYTES_MAX} bytes")
        else:
            # Read before the token is judged: a body that nobody takes would reset the connection under the answer.
            body = self.rfile.read(int(length))
            if self.is_known(self.headers.get("Authorization", "")):
                self._answer(*self.take(body))
                self.server.renew(self.request)
            else:
                self._refuse(HTTPStatus.UNAUTHORIZED, "no token, or a wrong one")

    def _refuse(self, status: HTTPStatus, text: str) -> None:
        # The body was not read: what follows on this connection would be taken for a request.
        self.close_connection = True
        self._answer(status, {"error": text})

    def _answer(self, status: HTTPStatus, answer: dict[str, object]) -> None:
        body = msgspec.json.encode(answer)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """Say nothing: a round is no event."""
