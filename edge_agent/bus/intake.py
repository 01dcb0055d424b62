"""Where RFID readers push their rounds: one POST a round, over HTTP. See docs/protocol.md, "RFID readers".

POST /rfid   Authorization: Bearer …   {"reader":"door-1","round":1042,"tags":["e280…","e280…"]}
"""

import hmac
import threading
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Annotated, Final

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
"""A reader that hangs in the middle of a request does not keep its thread for ever."""
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

    def __init__(self, host: str, port: int, token: str, readers: Mapping[str, int], sink: Sink) -> None:
        self._trackers = {name: TagTracker(missed_rounds) for name, missed_rounds in readers.items()}
        self._token = token
        self._sink = sink
        self._lock = threading.Lock()
        self._address = (host, port)
        self._server: ThreadingHTTPServer | None = None
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
            take = staticmethod(intake.take)

        try:
            self._server = ThreadingHTTPServer(self._address, Handler)
        except OSError as error:
            host, port = self._address
            msg = f"intake: cannot listen on {host}:{port}: {error.strerror}"
            raise UserError(msg) from error
        self._server.daemon_threads = True
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

    def take(self, authorization: str, body: bytes) -> tuple[HTTPStatus, dict[str, object]]:
        """The answer to one POST: what a reader is told."""
        try:
            return HTTPStatus.OK, self._take(authorization, body)
        except _RefusedError as refused:
            self.refused += 1
            log.warning("round_refused", status=refused.status.value, error=str(refused))
            return refused.status, {"error": str(refused)}

    def _take(self, authorization: str, body: bytes) -> dict[str, object]:
        if self._token and not hmac.compare_digest(authorization.encode(), f"{_BEARER}{self._token}".encode()):
            raise _RefusedError(HTTPStatus.UNAUTHORIZED, "no token, or a wrong one")
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


class _RoundHandler(BaseHTTPRequestHandler):
    take: Callable[[str, bytes], tuple[HTTPStatus, dict[str, object]]]
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
            self._answer(*self.take(self.headers.get("Authorization", ""), self.rfile.read(int(length))))

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
