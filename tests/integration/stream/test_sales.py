"""Sales of the tills as the stream reads them: each once, whoever has the buckets of its site."""

import threading
from collections.abc import Iterator
from contextlib import suppress

import psycopg
import pytest

from stream.fence import ALL, Span, bucket_of_site, spans
from stream.sales_reader import SalesReader

FIRST, SECOND = spans(2)
SITES = {span: next(f"s{n}" for n in range(200) if bucket_of_site("acme", f"s{n}") in span.buckets)
         for span in (FIRST, SECOND)}  # fmt: skip


class Tills:
    """Sales at one site of each of two spans, and the processes that read them."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.connection = psycopg.connect(dsn, autocommit=True)
        self.sold = 0
        for site in SITES.values():
            self.connection.execute(
                "INSERT INTO site (tenant_id, site_id, name) VALUES ('acme', %s, %s) ON CONFLICT DO NOTHING",
                (site, site),
            )

    def sell(self) -> None:
        """One at each site, long enough ago to be read."""
        for site in SITES.values():
            self.sold += 1
            self.connection.execute(
                """INSERT INTO pos_sale (tenant, site, sku, units, sold_at, receipt, line, received_at)
                   VALUES ('acme', %s, 'cola', 1, now(), %s, 1, now() - interval '10 seconds')""",
                (site, f"r-{self.sold}"),
            )

    def read(self, reader: SalesReader, span: Span, *, commit: bool = True) -> list[int]:
        """Ids of the sales that a reader finds; the epoch stores how far it has read."""
        found = reader.read()
        if found is None:
            return []
        if commit:
            self.connection.execute(
                """INSERT INTO sales_offset (span, last_id) VALUES (%s, %s)
                   ON CONFLICT (span) DO UPDATE SET last_id = excluded.last_id""",
                (span.name, found[1]),
            )
        return [sale.row for sale in found[0]]


@pytest.fixture
def tills(registered: str) -> Iterator[Tills]:
    made = Tills(registered)
    yield made
    made.connection.close()


def reader(tills: Tills, span: Span) -> SalesReader:
    return SalesReader(tills.dsn, span, threading.Event())


def test_each_sale_is_read_once_with_more_and_with_fewer_processes(tills: Tills) -> None:
    tills.sell()
    one = reader(tills, ALL)
    assert tills.read(one, ALL) == []
    tills.sell()
    assert tills.read(one, ALL) == [3, 4]
    tills.sell()
    first, second = reader(tills, FIRST), reader(tills, SECOND)
    assert tills.read(first, FIRST) == [5]
    tills.sell()
    assert tills.read(second, SECOND) == [6, 8]
    assert tills.read(second, SECOND) == []
    # The first was killed before it had read the last two: back to one process, which read up to 4 when there was one.
    assert tills.read(reader(tills, ALL), ALL) == [7]


def test_where_reading_begins_is_stored_before_the_first_sale(tills: Tills) -> None:
    tills.sell()
    assert tills.read(reader(tills, ALL), ALL) == []
    tills.sell()
    assert tills.read(reader(tills, ALL), ALL) == [3, 4]


def test_sales_after_a_database_that_went_back_are_read_although_their_ids_are_not_new(tills: Tills) -> None:
    going = reader(tills, ALL)
    tills.read(going, ALL)
    tills.sell()
    tills.read(going, ALL)
    tills.connection.execute("DELETE FROM pos_sale")
    tills.connection.execute("UPDATE sales_offset SET last_id = 0")
    tills.connection.execute("ALTER TABLE pos_sale ALTER COLUMN id RESTART")
    tills.connection.execute(
        "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE application_name = 'shelfpulse-stream-pos'"
        " AND datname = current_database()"
    )
    with suppress(psycopg.Error):
        going.read()
    assert tills.read(going, ALL) == []
    tills.sell()
    assert tills.read(going, ALL) == [1, 2]
