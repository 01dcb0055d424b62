"""What other processes commit of a site reaches who decides for it: events once and in order, and outages."""

import threading
from collections.abc import Callable, Iterator
from uuid import uuid4

import psycopg
import pytest

from contracts.ids import bucket_of
from stream.connecting import connect
from stream.elsewhere import ElsewhereReader
from stream.facts import AnomalyRow, EventRow, Tick
from stream.fence import ALL, bucket_of_site, spans
from stream.site import key_of
from stream.ticking import Elsewhere
from tests.integration.stream.running import eventually

SPAN = next(span for span in spans(2) if bucket_of_site("acme", "s1") in span.buckets)
OURS = next(name for name in ("g1", "g2") if bucket_of(name) in SPAN.buckets)
THEIRS = next(name for name in ("g1", "g2") if bucket_of(name) not in SPAN.buckets)
EVENT = """
INSERT INTO shelf_event (tenant_id, gateway_id, event_id, time, site_id, slot_id, sku, kind, units, delta_g, confidence,
                         on_shelf, other, lane_seq)
VALUES ('acme', %s, %s, now(), %s, 'b1', 'cola', 'adjust', -1, -330, 0.9, 5, '{"tea": 1}', 1)
"""
ANOMALY = """
INSERT INTO anomaly (anomaly_id, tenant_id, site_id, gateway_id, kind, place_kind, place, start_at, detected_at,
                     severity, score)
VALUES (%s, 'acme', %s, 'g1', %s, %s, 'g1', now(), now(), 0.5, 0.9)
"""
OLD = "SELECT now() - max(received_at) > interval '2 seconds' FROM shelf_event"
Rows = list[EventRow | AnomalyRow]


@pytest.fixture
def look(registered: str) -> Callable[[], Rows]:
    """All that was found so far; each call looks once more."""
    reader = ElsewhereReader(registered, SPAN, threading.Event())
    found: Rows = []

    def once_more() -> Rows:
        found.extend(reader.read() or [])
        return found

    once_more()
    return once_more


@pytest.fixture
def database_now(registered: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(registered, autocommit=True) as connection:
        yield connection


def test_events_of_other_gateways_come_once_and_in_the_order_of_their_commits(
    registered: str, look: Callable[[], Rows], database_now: psycopg.Connection
) -> None:
    with connect(registered, "shelfpulse-stream") as slow:
        slow.execute(EVENT, (THEIRS, "first", "s1"))
        for gateway, event in ((OURS, "own"), (THEIRS, "second")):
            database_now.execute(EVENT, (gateway, event, "s1"))
        eventually(lambda: database_now.execute(OLD).fetchone() == (True,), "the second would be found alone")
        assert look() == []
        slow.commit()
    eventually(lambda: len(look()) == 2, "both are found")
    database_now.execute(EVENT, (THEIRS, "third", "s1"))
    eventually(lambda: len(look()) == 3, "the third is found")
    events = [row for row in look() if isinstance(row, EventRow)]
    assert [row.event_id for row in events] == ["first", "second", "third"]
    assert (events[0].gateway, events[0].units, events[0].on_shelf, events[0].other) == (THEIRS, -1, 5, {"tea": 1})


def test_outages_of_any_gateway_are_told_when_they_begin_and_when_they_end(
    look: Callable[[], Rows], database_now: psycopg.Connection
) -> None:
    dropout, alarm = uuid4(), uuid4()
    database_now.execute(ANOMALY, (dropout, "s1", "dropout", "gateway"))
    # Two agents with one name, or a fast clock: nothing of the scales, and without an end.
    database_now.execute(ANOMALY, (alarm, "s1", "device_fault", "gateway"))
    database_now.execute(ANOMALY, (uuid4(), "s1", "spike", "series"))
    assert [(row.anomaly_id, row.end) for row in look() if isinstance(row, AnomalyRow)] == [(dropout, None)]
    assert len(look()) == 1
    database_now.execute("UPDATE anomaly SET end_at = now() WHERE anomaly_id = %s", (dropout,))
    begun, ended = (row for row in look() if isinstance(row, AnomalyRow))
    assert (begun.anomaly_id, ended.anomaly_id) == (dropout, dropout)
    assert ended.end is not None
    assert len(look()) == 2


def test_a_tick_brings_them_to_the_key_of_their_site(registered: str, database_now: psycopg.Connection) -> None:
    stopping = threading.Event()
    elsewhere = Elsewhere(registered, SPAN, stopping)
    database_now.execute(ANOMALY, (uuid4(), "s1", "dropout", "gateway"))
    found: list[str] = []

    def told() -> bool:
        found.extend(key for key, _ in elsewhere([Tick()]))
        return bool(found)

    eventually(told, "it is told")
    stopping.set()
    assert found == [key_of("acme", "s1")]
    assert list(Elsewhere(registered, ALL, stopping)([Tick()])) == []
