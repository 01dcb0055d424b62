"""A real HTTP server that takes webhooks, and behaves as it is told to."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

HANG: Final = -1
"""In ``answers``: take the request and say nothing."""
DRIP: Final = -2
"""In ``answers``: answer one byte at a time, for as long as the client stays."""


@dataclass
class Receiver:
    """What came, and what is answered: the next of ``answers``, 204 when there is none."""

    url: str
    answers: deque[int] = field(default_factory=deque)
    headers: dict[str, str] = field(default_factory=dict)
    """Headers of each answer."""
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    heard: Callable[[dict[str, str], bytes], None] = lambda _headers, _body: None
    """Called with each request as it comes."""
    released: threading.Event = field(default_factory=threading.Event)


@contextmanager
def receive() -> Iterator[Receiver]:
    """A receiver on a free port of the loopback interface."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            told = {name.lower(): value for name, value in self.headers.items()}
            receiver.heard(told, body)
            receiver.requests.append((self.path, told, body))
            status = receiver.answers.popleft() if receiver.answers else 204
            if status == HANG:
                receiver.released.wait(120)
                return
            if status == DRIP:
                self._drip()
                return
            self.send_response(status)
            for name, value in receiver.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", "0")
            self.end_headers()

        def _drip(self) -> None:
            try:
                self.wfile.write(b"HTTP/1.1 200 OK\r\nx-slow: ")
                while not receiver.released.wait(0.05):
                    self.wfile.write(b"x")
            except OSError:
                return

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the library
            """Say nothing on the console."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver = Receiver(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.released.set()
        server.shutdown()
        thread.join()
        server.server_close()
