"""What a tick of the clock brings into the dataflow: silence that is noticed, and what is looked up in the database."""

import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

from stream.elsewhere import ElsewhereReader
from stream.facts import AnomalyRow, Chunk, EventRow, Facts, Item, Settled, Tick, no_columns
from stream.fence import ALL, Span
from stream.metrics import HEALTH
from stream.sales_reader import SalesReader
from stream.site import key_of
from stream.units import SaleRow

SILENCE_EVERY: Final = timedelta(seconds=15)
OFFSET_KEY: Final = "sales-read"
"""Key under which it passes how far sales are read."""
Happened = EventRow | AnomalyRow | SaleRow | Facts


def heard(span: Span) -> range:
    """Buckets of whose gateways a process hears something: who reads the plain messages hears some of each."""
    return ALL.buckets if 0 in span.buckets else span.buckets


class Silence:
    """Tells each of ``buckets`` now and then that time has passed, while all that is sent is heard."""

    def __init__(self, buckets: range, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._buckets = buckets
        self._clock = clock
        self._since: datetime | None = None
        self._due: datetime | None = None

    def __call__(self, items: Iterable[Item]) -> Iterable[tuple[str, Chunk]]:
        """A chunk for each bucket, by its key, when a tick is among the items and it is time."""
        if not any(isinstance(item, Tick) for item in items):
            return []
        now = self._clock()
        if not HEALTH.ok:
            self._since = None
            return []
        self._since = self._since or now
        self._due = self._due or now + SILENCE_EVERY
        if now < self._due:
            return []
        self._due = now + SILENCE_EVERY
        return [(f"{bucket:02}", Chunk(bucket, no_columns(), listening_since=self._since)) for bucket in self._buckets]


class Sales:
    """Sales of the tills at the sites of ``span``; the id up to which they are read is committed with them."""

    def __init__(self, dsn: str, span: Span, stopping: threading.Event) -> None:
        self._span = span
        self._reader = SalesReader(dsn, span, stopping)

    def __call__(self, items: Iterable[Item]) -> Iterable[tuple[str, Happened]]:
        """New sales by the key of their site, when a tick is among the items."""
        taken = self._reader.take() if any(isinstance(item, Tick) for item in items) else None
        if taken is None:
            return []
        sales, last = taken
        read = Facts(no_columns(), [Settled(None, sales_read=(self._span.name, last))])
        found: list[tuple[str, Happened]] = [(key_of(sale.tenant, sale.site), sale) for sale in sales]
        return [*found, (OFFSET_KEY, read)]


class Elsewhere:
    """What other processes committed of the sites of ``span``; nothing where one process has all buckets."""

    def __init__(self, dsn: str, span: Span, stopping: threading.Event) -> None:
        self._reader = None if span == ALL else ElsewhereReader(dsn, span, stopping)

    def __call__(self, items: Iterable[Item]) -> Iterable[tuple[str, Happened]]:
        """Events and outages by the key of their site, when a tick is among the items."""
        if self._reader is None or not any(isinstance(item, Tick) for item in items):
            return []
        return [(key_of(row.tenant, row.site), row) for row in self._reader.take() or ()]
