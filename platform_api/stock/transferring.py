"""Transfers in parts: units are held where they come from, leave into transit, and come out of it in their lots.

Locks are taken in one order: the transfer, then the balances of stock.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from uuid import UUID

from platform_api.kit.conditions import stale
from platform_api.kit.db import Connection
from platform_api.kit.errors import ApiError, not_found
from platform_api.kit.keys import new_key
from platform_api.stock import moving, queries, reserving
from platform_api.stock import transfer_queries as transfers
from platform_api.stock.ledger import Move, hold
from platform_api.stock.rules import LOSS, TRANSIT, MoveKind
from platform_api.stock.transfer_models import progress_of
from platform_api.stock.transfer_rules import Progress, TransferAct, state_of, units_to_receive, units_to_send
from platform_api.stock.valuing import Leg

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Hand:
    """Who acts: somebody of a tenant, or the platform itself. ``sites`` bound what they see (None: everything)."""

    tenant_id: str
    user_id: UUID | None = None
    sites: tuple[str, ...] | None = None

    @property
    def scope(self) -> dict[str, object]:
        """Parameters of the filter that every query carries."""
        return {"tenant_id": self.tenant_id, "sites": None if self.sites is None else list(self.sites)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is asked for, positive units by SKU; ``proposal_id`` when a proposal asks."""

    origin: str
    destination: str
    units: Mapping[str, int]
    reference: str = ""
    proposal_id: UUID | None = None


def ask(tx: Connection, hand: Hand, wish: Wish) -> UUID | None:
    """Ask for units, and hold those that are there; None when this proposal has asked that place already.

    Raises UnknownPlaceError.
    """
    transfer_id = new_key()
    key = {"tenant_id": hand.tenant_id, "transfer_id": transfer_id}
    head = {"origin": wish.origin, "destination": wish.destination, "reference": wish.reference}
    who = {"proposal_id": wish.proposal_id, "user_id": hand.user_id}
    if tx.execute(transfers.INSERT_TRANSFER, {**key, **head, **who}).fetchone() is None:
        return None
    with tx.cursor() as cursor:
        cursor.executemany(
            transfers.INSERT_LINE, [{**key, "sku": sku, "units": units} for sku, units in wish.units.items()]
        )
    _hold_waiting(tx, _read(tx, hand, transfer_id))
    return transfer_id


def lock(tx: Connection, hand: Hand, transfer_id: UUID, version: int) -> Row:
    """The transfer's row, held until the transaction ends. Raises ApiError (404, 412)."""
    row = _lock_if_there(tx, hand, transfer_id)
    if row is None:
        raise not_found("transfer")
    if row["version"] != version:
        raise stale("transfer")
    return row


def send(tx: Connection, hand: Hand, row: Row, asked: Mapping[str, int] | None) -> None:
    """Let units leave, first expired first; the rest goes on waiting. Raises ApiError (409), StockError."""
    lines = _lines(row)
    # Both sides at once and in order: others hold them both too.
    hold(tx, hand.tenant_id, [(place, sku) for sku in lines for place in (row["origin"], TRANSIT)])
    free = reserving.promisable(tx, hand.tenant_id, row["origin"], lines)
    fresh = reserving.fresh(tx, hand.tenant_id, row["origin"], lines)
    with _refused():
        units = units_to_send(lines, free, fresh, asked)
    used = {sku: min(count, lines[sku].held) for sku, count in units.items() if lines[sku].held}
    if used:
        reserving.consume(tx, hand.tenant_id, _reference(row), row["origin"], used)
    now = datetime.now(UTC)
    legs = moving.transfer_legs(tx, hand.tenant_id, moving.Route(row["origin"], TRANSIT, now.date()), units)
    _post(tx, hand, row, legs, now)
    changes = {sku: {"sent": count, "held": -used.get(sku, 0)} for sku, count in units.items()}
    _change(tx, hand, row, TransferAct.SENT, changes)


def receive(
    tx: Connection, hand: Hand, row: Row, received: Mapping[str, int] | None, missing: Mapping[str, int]
) -> None:
    """Take in what has come; what is missing is a loss. Raises ApiError (409), StockError."""
    with _refused():
        told = units_to_receive(_lines(row), received, missing)
    legs: list[Leg] = []
    place = {"tenant_id": hand.tenant_id, "references": [_reference(row)], "location": TRANSIT}
    hold(tx, hand.tenant_id, [(where, sku) for sku in told for where in (TRANSIT, row["destination"])])
    for sku, (came, lost) in told.items():
        lots = [(TRANSIT, lot["lot_id"], lot["units"]) for lot in tx.execute(moving.LOTS_LEFT, {**place, "sku": sku})]
        legs += moving.spread_legs(sku, lots, {row["destination"]: came, LOSS: lost})
    _post(tx, hand, row, legs, datetime.now(UTC))
    changes = {sku: {"received": came, "missing": lost} for sku, (came, lost) in told.items()}
    _change(tx, hand, row, TransferAct.RECEIVED, changes)


def close(tx: Connection, hand: Hand, row: Row, reason: str) -> None:
    """Give up what has not left, which is free again; what is on its way may still come.

    Raises ApiError (409) when nothing waits.
    """
    waiting = {sku: line for sku, line in _lines(row).items() if line.waiting}
    if not waiting:
        raise ApiError(HTTPStatus.CONFLICT, f"nothing waits: the transfer is {row['state']}")
    reserving.release(tx, hand.tenant_id, _reference(row))
    changes = {sku: {"given_up": line.waiting, "held": -line.held} for sku, line in waiting.items()}
    _change(tx, hand, row, TransferAct.CLOSED, changes, reason)


def give_up(tx: Connection, tenant_id: str, transfer_id: UUID, reason: str) -> bool:
    """Close a transfer that nobody needs any more; False when nothing of it waits by now. For the worker."""
    hand = Hand(tenant_id)
    row = _lock_if_there(tx, hand, transfer_id)
    if row is None or not any(line.waiting for line in _lines(row).values()):
        return False
    close(tx, hand, row, reason)
    return True


def hold_back_orders(tx: Connection) -> int:
    """Hold units that have come for transfers that wait for them, the oldest first; how many were looked at.

    For the worker, of all tenants, each transfer in a transaction of its own.
    """
    rows = tx.execute(transfers.BACK_ORDERS).fetchall()
    for one in rows:
        with tx.transaction():
            row = _lock_if_there(tx, Hand(one["tenant_id"]), one["transfer_id"])
            if row is not None and _hold_waiting(tx, row):
                tx.execute(transfers.BUMP, one)
    return len(rows)


def _hold_waiting(tx: Connection, row: Row) -> bool:
    """Hold what there is for what waits; whether anything was. On a shelf nothing can be held for anybody."""
    place = {"tenant_id": row["tenant_id"], "locations": [row["origin"]]}
    (kind,) = tx.execute(queries.LOCATION_KINDS, place).fetchall()
    wanted = {sku: line.unheld for sku, line in _lines(row).items() if line.unheld}
    if kind["kind"] == "shelf" or not wanted:
        return False
    granted = reserving.reserve(tx, row["tenant_id"], row["origin"], wanted, _reference(row))
    for sku, units in granted.items():
        if units:
            _change_line(tx, row, sku, {"held": units})
    return any(granted.values())


def _lines(row: Row) -> dict[str, Progress]:
    return {line["sku"]: progress_of(line) for line in row["lines"]}


def _lock_if_there(tx: Connection, hand: Hand, transfer_id: UUID) -> Row | None:
    """The transfer's row, None when it is gone: a reset of a sandbox may be quicker than the worker."""
    place = {**hand.scope, "transfer_id": transfer_id}
    if tx.execute(transfers.LOCK_TRANSFER, place).fetchone() is None:
        return None
    # Read again: until it was locked, another may have changed its lines.
    return _read(tx, hand, transfer_id)


def _read(tx: Connection, hand: Hand, transfer_id: UUID) -> Row:
    row = tx.execute(transfers.TRANSFER, {**hand.scope, "transfer_id": transfer_id}).fetchone()
    assert row is not None
    return {**row, "tenant_id": hand.tenant_id}


@contextmanager
def _refused() -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise ApiError(HTTPStatus.CONFLICT, str(error)) from error


def _reference(row: Row) -> str:
    return f"transfer:{row['transfer_id']}"


def _post(tx: Connection, hand: Hand, row: Row, legs: list[Leg], now: datetime) -> None:
    move = Move(
        kind=MoveKind.TRANSFER,
        happened_at=now,
        legs=legs,
        source="transfer",
        source_event_id=str(new_key()),
        reference=_reference(row),
        user_id=hand.user_id,
    )
    moving.post_new(tx, hand.tenant_id, move, now)


def _change(
    tx: Connection,
    hand: Hand,
    row: Row,
    act: TransferAct,
    changes: Mapping[str, Mapping[str, int]],
    reason: str | None = None,
) -> None:
    for sku, change in sorted(changes.items()):
        _change_line(tx, row, sku, change)
    key = {"tenant_id": hand.tenant_id, "transfer_id": row["transfer_id"]}
    state = state_of(_lines(_read(tx, hand, row["transfer_id"])).values())
    tx.execute(transfers.SET_STATE, {**key, "state": state, "act": act, "reason": reason})


def _change_line(tx: Connection, row: Row, sku: str, change: Mapping[str, int]) -> None:
    none = dict.fromkeys(("held", "sent", "received", "missing", "given_up"), 0)
    key = {"tenant_id": row["tenant_id"], "transfer_id": row["transfer_id"], "sku": sku}
    tx.execute(transfers.CHANGE_LINE, {**key, **none, **change})
