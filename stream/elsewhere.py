"""What other processes commit of the sites that this one decides for: events of their shelves, and outages.

Who decides for a site follows its units, wherever its gateways are read. Events come up to two seconds later than our
own, each once, in order of their commits; a start begins with those that follow.
"""

import threading
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import psycopg

from contracts.facts import AnomalyKind
from contracts.ids import bucket_of
from stream import queries
from stream.facts import AnomalyRow, EventRow
from stream.fence import Span, bucket_of_site
from stream.looking import Looker
from stream.units import is_outage

ROWS_MAX: Final = 5_000
"""Events that one look takes."""


class ElsewhereReader(Looker[list[EventRow | AnomalyRow]]):
    """Events of gateways outside of ``span`` at the sites in it, and outages of any gateway there."""

    def __init__(self, dsn: str, span: Span, stopping: threading.Event) -> None:
        super().__init__("elsewhere", dsn, stopping)
        self._span = span
        self._after: tuple[datetime, str, str, str] | None = None
        self._open: set[UUID] = set()

    def look(self, connection: psycopg.Connection, *, is_new: bool) -> list[EventRow | AnomalyRow] | None:
        """What was committed since the last look."""
        del is_new
        # A statement of its own: what is older than it was committed before the next one begins to read.
        row = connection.execute(queries.EVENTS_HORIZON).fetchone()
        assert row is not None
        outages, self._open = self._outages(connection)
        events = self._events(connection, row[0])
        return [*outages, *events] or None

    def _events(self, connection: psycopg.Connection, horizon: datetime) -> list[EventRow]:
        if self._after is None:
            self._after = (horizon, "", "", "")
            return []
        at, tenant, gateway, event = self._after
        place = {"at": at, "tenant": tenant, "gateway": gateway, "event": event}
        rows = connection.execute(queries.EVENTS_SINCE, {**place, "until": horizon, "limit": ROWS_MAX}).fetchall()
        if rows:
            self._after = rows[-1][:4]
        found = [_event(row) for row in rows]
        return [each for each in found if self._is_of(each.tenant, each.site) and not self._reads(each.gateway)]

    def _outages(self, connection: psycopg.Connection) -> tuple[list[AnomalyRow], set[UUID]]:
        """Outages that began or ended, and those that are open now."""
        now = {row.anomaly_id: row for row in map(_anomaly, connection.execute(queries.OUTAGES_OPEN)) if is_outage(row)}
        over = list(self._open - now.keys())
        ended = [_anomaly(row) for row in connection.execute(queries.OUTAGES_NAMED, {"ids": over})] if over else []
        begun = [row for row in now.values() if row.anomaly_id not in self._open]
        return [row for row in [*begun, *ended] if self._is_of(row.tenant, row.site)], set(now)

    def _is_of(self, tenant: str, site: str) -> bool:
        return bucket_of_site(tenant, site) in self._span.buckets

    def _reads(self, gateway: str) -> bool:
        return bucket_of(gateway) in self._span.buckets


def _event(row: tuple[Any, ...]) -> EventRow:
    _, tenant, gateway, event_id, *rest = row
    return EventRow(tenant, gateway, event_id, *rest)


def _anomaly(row: tuple[Any, ...]) -> AnomalyRow:
    anomaly_id, tenant, site, gateway, kind, *rest = row
    return AnomalyRow(anomaly_id, tenant, site, gateway, AnomalyKind(kind), *rest)
