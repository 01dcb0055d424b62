"""A TCP proxy before PostgreSQL that breaks a connection at an epoch's COMMIT, before or after the server has it."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum, auto
from typing import Final

COMMIT: Final = b"Q\x00\x00\x00\x0bCOMMIT\x00"
"""The message in which libpq sends it."""
EPOCH_MARK: Final = b"COPY reading "
READ_BYTES: Final = 65_536


class Cut(Enum):
    """Which way the COMMIT is lost."""

    REQUEST = auto()
    """The server never sees it."""
    ANSWER = auto()
    """The server carries it out, and nobody hears of that."""


class CommitCutter:
    """Forwards to ``target``; ``arm`` breaks the next connection that commits readings."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._armed: Cut | None = None
        self.fired = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    def arm(self, cut: Cut) -> None:
        """Break the next COMMIT of an epoch with readings, once."""
        self._armed = cut

    def accept(self) -> None:
        """Serve connections until ``close``."""
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def close(self) -> None:
        """Accept no more."""
        # Closing alone would not wake the thread that waits in accept.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._target) as server:
            answers = threading.Thread(target=_pump, args=(server, client), daemon=True)
            answers.start()
            of_epoch = False
            with suppress(OSError):
                while data := client.recv(READ_BYTES):
                    of_epoch = of_epoch or EPOCH_MARK in data
                    if of_epoch and data.endswith(COMMIT) and self._armed is not None:
                        self._break(client, server, data)
                        return
                    server.sendall(data)
            # The server hears that the client has gone, and rolls back.
            with suppress(OSError):
                server.shutdown(socket.SHUT_WR)
            answers.join()

    def _break(self, client: socket.socket, server: socket.socket, data: bytes) -> None:
        cut, self._armed = self._armed, None
        client.shutdown(socket.SHUT_RDWR)
        if cut is Cut.ANSWER:
            server.sendall(data)
        # The server carries out what it has, then hears that the client has gone.
        server.shutdown(socket.SHUT_WR)
        self.fired.set()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    """Forward until either end has gone; what nobody takes any more is read all the same, so that the server ends."""
    with suppress(OSError):
        while data := source.recv(READ_BYTES):
            with suppress(OSError):
                sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


@contextmanager
def run_cutter(target: tuple[str, int]) -> Iterator[CommitCutter]:
    """A cutter that accepts connections."""
    cutter = CommitCutter(target)
    thread = threading.Thread(target=cutter.accept, daemon=True)
    thread.start()
    try:
        yield cutter
    finally:
        cutter.close()
        thread.join()
