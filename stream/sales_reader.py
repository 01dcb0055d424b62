"""Reads what the tills sold, by id, below the horizon of open transactions (settled point 9)."""

import threading
from contextlib import suppress
from typing import Final

import psycopg
import structlog

from stream import queries
from stream.fence import Span, bucket_of_site
from stream.units import SaleRow

log = structlog.get_logger()

ROWS_MAX: Final = 5_000
"""Sales that one look takes."""
CONNECT_TIMEOUT_S: Final = 5
STATEMENT_TIMEOUT_MS: Final = 2_000
PAUSE_S: Final = 1.0


class SalesReader:
    """Sales of the sites in ``span``, each once, in order of id. A thread reads; ``take`` never waits.

    Where it begins is what the last commit stored; without that, behind the newest sale.
    """

    def __init__(self, dsn: str, span: Span, stopping: threading.Event) -> None:
        self._dsn = dsn
        self._span = span
        self._stopping = stopping
        self._last: int | None = None
        self._found: tuple[list[SaleRow], int] | None = None
        self._wanted = threading.Event()
        self._connection: psycopg.Connection | None = None

    def start(self) -> None:
        """Read from a daemon thread."""
        self._wanted.set()
        threading.Thread(target=self._run, name="sales", daemon=True).start()

    def take(self) -> tuple[list[SaleRow], int] | None:
        """New sales of our sites and the id up to which they go, None when there are none yet."""
        found, self._found = self._found, None
        self._wanted.set()
        return found

    def _run(self) -> None:
        while not self._stopping.is_set():
            if not self._wanted.wait(PAUSE_S) or self._found is not None:
                continue
            self._wanted.clear()
            try:
                self._found = self._read()
            except psycopg.Error as error:
                log.warning("sales_delayed", error=str(error).strip())
                if self._connection is not None:
                    with suppress(psycopg.Error):
                        self._connection.close()
                self._stopping.wait(PAUSE_S)

    def _read(self) -> tuple[list[SaleRow], int] | None:
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(
                self._dsn, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S, application_name="shelfpulse-stream-pos",
                options=f"-c statement_timeout={STATEMENT_TIMEOUT_MS}",
            )  # fmt: skip
        if self._last is None:
            self._last = read_offset(self._connection, self._span)
        rows = read_sales(self._connection, self._last)
        if not rows:
            return None
        self._last = rows[-1].row
        return [row for row in rows if bucket_of_site(row.tenant, row.site) in self._span.buckets], self._last


def read_offset(connection: psycopg.Connection, span: Span) -> int:
    """Id up to which sales are read. Raises psycopg.Error."""
    stored = connection.execute(queries.SALES_OFFSET, {"span": span.name}).fetchone()
    if stored is None:
        stored = connection.execute(queries.SALES_LAST).fetchone()
    assert stored is not None
    return int(stored[0])


def read_sales(connection: psycopg.Connection, after: int) -> list[SaleRow]:
    """Sales behind an id that nothing with a smaller id can follow any more. Raises psycopg.Error."""
    return [SaleRow(*row) for row in connection.execute(queries.SALES, {"after": after, "limit": ROWS_MAX})]
