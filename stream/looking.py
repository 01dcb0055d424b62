"""Asks the database again and again from a thread of its own, so that a slow answer never holds up what comes in."""

import threading
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import Final, Generic, TypeVar

import psycopg
import structlog

from stream.connecting import connect

log = structlog.get_logger()

CONNECT_TIMEOUT_S: Final = 5
STATEMENT_TIMEOUT_MS: Final = 2_000
PAUSE_S: Final = 1.0

Found = TypeVar("Found")


class Looker(ABC, Generic[Found]):
    """``take`` gives what the last look has found, and asks for the next; it never waits.

    ``name`` is that of its thread and connection, ``dsn`` a libpq URL.
    """

    def __init__(self, name: str, dsn: str, stopping: threading.Event) -> None:
        self._name = name
        self._dsn = dsn
        self._stopping = stopping
        self._found: Found | None = None
        self._wanted = threading.Event()
        self._thread: threading.Thread | None = None
        self._connection: psycopg.Connection | None = None

    @abstractmethod
    def look(self, connection: psycopg.Connection, *, is_new: bool) -> Found | None:
        """What there is now, None when that is nothing. ``is_new``: of the connection. Raises psycopg.Error."""

    def take(self) -> Found | None:
        """What was found since the last time, None when that is nothing yet. The first call begins to look."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        found, self._found = self._found, None
        self._wanted.set()
        return found

    def read(self) -> Found | None:
        """Look once. Raises psycopg.Error."""
        connection = self._connection
        is_new = connection is None or connection.closed
        if connection is None or connection.closed:
            connection = self._connection = connect(
                self._dsn, f"shelfpulse-stream-{self._name}", autocommit=True, connect_timeout_s=CONNECT_TIMEOUT_S,
                options=f"-c statement_timeout={STATEMENT_TIMEOUT_MS}",
            )  # fmt: skip
        return self.look(connection, is_new=is_new)

    def _run(self) -> None:
        while not self._stopping.is_set():
            asked = self._wanted.wait(PAUSE_S)
            self._wanted.clear()
            if not asked or self._found is not None:
                # Who takes what was found asks for more.
                continue
            try:
                self._found = self.read()
            except psycopg.Error as error:
                log.warning("look_delayed", what=self._name, error=str(error).strip())
                if self._connection is not None:
                    with suppress(psycopg.Error):
                        self._connection.close()
                self._stopping.wait(PAUSE_S)
