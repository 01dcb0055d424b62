"""Reads what the tills sold, by id, below the horizon of open transactions (settled point 9)."""

import threading
from typing import Final

import psycopg

from stream import queries
from stream.fence import Span, bucket_of_site, span_of
from stream.looking import Looker
from stream.units import SaleRow

ROWS_MAX: Final = 5_000
"""Sales that one look takes."""


class SalesReader(Looker[tuple[list[SaleRow], int]]):
    """Sales of the sites in ``span``, each once, in order of id, and the id up to which they are read.

    Where it begins is what the last commits of whoever had these buckets stored; without that, behind the newest sale.
    """

    def __init__(self, dsn: str, span: Span, stopping: threading.Event) -> None:
        super().__init__("pos", dsn, stopping)
        self._span = span
        self._last: int | None = None
        self._known: dict[int, int] = {}

    def look(self, connection: psycopg.Connection, *, is_new: bool) -> tuple[list[SaleRow], int] | None:
        """New sales; the first time also none, so that where reading begins is stored."""
        # A database that was restored to an earlier time gives the same ids to other sales.
        begins = self._last is None or (is_new and newest_sale(connection) < self._last)
        if self._last is None or begins:
            self._known = read_offsets(connection, self._span)
            self._last = min(self._known.values())
        rows = read_sales(connection, self._last)
        if not rows and not begins:
            return None
        self._last = rows[-1].row if rows else self._last
        return [row for row in rows if self._is_new(row)], self._last

    def _is_new(self, row: SaleRow) -> bool:
        """Whether a sale is for us, and nobody has read it before for its site."""
        bucket = bucket_of_site(row.tenant, row.site)
        return bucket in self._known and row.row > self._known[bucket]


def read_offsets(connection: psycopg.Connection, span: Span) -> dict[int, int]:
    """Of each bucket the id up to which sales of its sites are read. Raises psycopg.Error.

    With more or fewer processes buckets are of other spans. Each process reads on through the sales of all, so of the
    spans that had a bucket the last one is furthest.
    """
    newest = newest_sale(connection)
    known: dict[int, int] = {}
    for name, last in connection.execute(queries.SALES_OFFSETS):
        for bucket in span_of(name).buckets:
            known[bucket] = max(last, known.get(bucket, 0))
    return {bucket: known.get(bucket, newest) for bucket in span.buckets}


def newest_sale(connection: psycopg.Connection) -> int:
    """The highest id of a sale, 0 without any. Raises psycopg.Error."""
    row = connection.execute(queries.SALES_LAST).fetchone()
    assert row is not None
    return int(row[0])


def read_sales(connection: psycopg.Connection, after: int) -> list[SaleRow]:
    """Sales behind an id that nothing with a smaller id can follow any more. Raises psycopg.Error."""
    return [SaleRow(*row) for row in connection.execute(queries.SALES, {"after": after, "limit": ROWS_MAX})]
