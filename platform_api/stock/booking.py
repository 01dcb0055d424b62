"""Books what shelves saw: each event becomes a move once. For the worker.

The stream writes events and knows nothing of balances; a move that cannot be posted now waits here and stalls nobody.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, Final

from contracts.frames import EventKind
from platform_api.stock import moving
from platform_api.stock import observing_queries as queries
from platform_api.stock.ledger import Connection, Move, StockError, hold, post
from platform_api.stock.rules import ADJUST, DEPLETING, MoveKind, event_legs, shelf_of
from platform_api.stock.valuing import Leg

BATCH_MAX: Final = 500
AGAIN_AFTER: Final = timedelta(minutes=5)
TELEMETRY: Final = "telemetry"
_BEFORE: Final = timedelta(microseconds=1)

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Booked:
    """Outcome of a round: events taken, and those of them that wait for another try."""

    taken: int
    put_off: int


def book_events(connection: Connection, now: datetime) -> Booked:
    """Book up to BATCH_MAX events in one transaction. Several workers may do so at once: each takes others."""
    put_off = 0
    with connection.transaction():
        rows = connection.execute(queries.TAKE, {"now": now, "limit": BATCH_MAX}).fetchall()
        for tenant_id, group in groupby(rows, key=lambda row: str(row["tenant_id"])):
            events = list(group)
            # All places at once and in order: another worker may be booking for the same stores.
            hold(connection, tenant_id, (place for row in events if _counts(row) for place in _places(row)))
            put_off += sum(not _settle(connection, row, now) for row in events)
    return Booked(len(rows), put_off)


def _counts(row: Row) -> bool:
    return bool(row["known"] and row["placed"])


def _places(row: Row) -> list[tuple[str, str]]:
    return [(row["site_id"], row["sku"]), (shelf_of(row["site_id"]), row["sku"])]


def _settle(connection: Connection, row: Row, now: datetime) -> bool:
    """Book an event and forget it; False when it must wait."""
    if _counts(row):
        try:
            with connection.transaction():
                _book(connection, row, now)
        except StockError as error:
            connection.execute(queries.PUT_OFF, {**row, "error": str(error), "retry_at": now + AGAIN_AFTER})
            return False
    connection.execute(queries.SETTLE, row)
    return True


def _book(connection: Connection, row: Row, now: datetime) -> None:
    tenant_id, shelf, sku = row["tenant_id"], shelf_of(row["site_id"]), row["sku"]
    kind = EventKind(row["kind"])
    if not _open_slot(connection, row, now):
        return  # an event from before the slot's first count, which has it in it
    if kind in DEPLETING and row["source"] != TELEMETRY:
        return  # somebody else's word counts here; this one only checks it (reconciling.py)
    places = hold(connection, tenant_id, _places(row))
    found = event_legs(kind, row["site_id"], sku, row["units"], places[row["site_id"], sku].free)
    if found is None:
        return
    move_kind, legs = found
    unbooked = sum(-leg.units for leg in legs if leg.location == ADJUST and move_kind is MoveKind.RESTOCK)
    post(
        connection,
        tenant_id,
        Move(
            kind=move_kind,
            happened_at=row["time"],
            legs=moving.fefo_legs(connection, tenant_id, legs, places),
            source="shelf",
            source_event_id=f"{row['gateway_id']}/{row['event_id']}",
            reason=f"{unbooked} units that {row['site_id']} has not got by its books" if unbooked else "",
            reference=shelf,
            late=True,
        ),
        now,
    )


def _open_slot(connection: Connection, row: Row, now: datetime) -> bool:
    """Book what lay on a slot before its first event; False for an event that came before that one."""
    if row["on_shelf"] is None:
        opened = connection.execute(queries.OPENED_AT, row).fetchone()
        return opened is not None and not _came_before(row, opened)
    if connection.execute(queries.OPEN_SLOT, row).rowcount == 0:
        opened = connection.execute(queries.OPENED_AT, row).fetchone()
        assert opened is not None
        return not _came_before(row, opened)
    before = row["on_shelf"] - row["units"]
    if before:
        post(
            connection,
            row["tenant_id"],
            Move(
                kind=MoveKind.OPENING,
                happened_at=row["time"] - _BEFORE,
                legs=[Leg(shelf_of(row["site_id"]), row["sku"], before), Leg(ADJUST, row["sku"], -before)],
                source="opening",
                source_event_id=f"{row['gateway_id']}/{row['slot_id']}/{row['sku']}",
                reason="the first count of the slot",
                late=True,
            ),
            now,
        )
    return True


def _came_before(row: Row, opened: Row) -> bool:
    """Whether an event is in the slot's first count.

    A lower number alone does not say so: a gateway that lost its outbox begins at 1 again, and what it tells then came
    after that count, and happened after it.
    """
    is_older = row["received_at"] <= opened["opened_at"] or row["time"] < opened["counted_at"]
    return bool(row["lane_seq"] < opened["lane_seq"] and is_older)
