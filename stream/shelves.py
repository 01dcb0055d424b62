"""Shelves of one bucket: rows of their events, and what lies on each slot after them. Pure."""

from collections.abc import Callable
from datetime import UTC, datetime

from contracts.frames import Event
from contracts.topics import GatewayAddress
from stream import position
from stream.control_data import Snapshot
from stream.facts import Arrival, EventRow, PositionRow

Place = tuple[str, str, str]
"""Tenant, gateway and slot."""


class Shelves:
    """Units on each slot. ``on_shelf`` is where the database stands; ``snapshot`` gives the newest control data."""

    def __init__(self, on_shelf: dict[Place, int], snapshot: Callable[[], Snapshot]) -> None:
        self._on_shelf = on_shelf
        self._snapshot = snapshot

    def apply(self, arrival: Arrival, now: datetime) -> tuple[EventRow, ...]:
        """Rows of a frame's events, each with what is on its slot after it."""
        return tuple(self._row(arrival, event, self._count(arrival.address, event), now) for event in arrival.events)

    def record(self, arrival: Arrival, now: datetime) -> tuple[EventRow, ...]:
        """Rows of events of long ago: what lies on the shelf now, newer ones have said."""
        return tuple(self._row(arrival, event, event.on_shelf, now) for event in arrival.events)

    def _count(self, address: GatewayAddress, event: Event) -> int:
        place = (address.tenant, address.gateway, event.slot)
        after = position.apply(self._on_shelf.get(place, 0), event)
        self._on_shelf[place] = after
        return after

    def _row(self, arrival: Arrival, event: Event, on_shelf: int | None, now: datetime) -> EventRow:
        address = arrival.address
        slot = self._snapshot().slots.get((address.tenant, address.gateway, event.slot))
        at_ms = arrival.t0_ms + event.d
        if not arrival.timed:
            at_ms = min(at_ms, int(now.timestamp() * 1000))
        return EventRow(
            address.tenant,
            address.gateway,
            event.id,
            moment(at_ms),
            address.site,
            event.slot,
            "" if slot is None else slot.sku,
            event.kind,
            event.units,
            event.dg,
            event.conf,
            on_shelf,
            event.of,
            event.why,
            dict(event.other),
            arrival.timed,
            arrival.seq,
        )


def positions(rows: tuple[EventRow, ...]) -> tuple[PositionRow, ...]:
    """What each event left on its slot."""
    return tuple(_position(row) for row in rows)


def _position(row: EventRow) -> PositionRow:
    assert row.on_shelf is not None
    return PositionRow(row.tenant, row.gateway, row.slot, row.site, row.sku, row.on_shelf, row.time)


def moment(ms: int) -> datetime:
    """Aware UTC of ms since 1970."""
    return datetime.fromtimestamp(ms / 1000, UTC)
