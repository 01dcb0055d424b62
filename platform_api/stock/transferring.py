"""Transfers in parts: what was asked for leaves into transit, and comes out of it in the lots that it left in.

Locks are taken in one order: the transfer, then the balances of stock.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from uuid import UUID

from platform_api.kit.auth import Principal
from platform_api.kit.conditions import stale
from platform_api.kit.db import Connection
from platform_api.kit.errors import ApiError, not_found
from platform_api.kit.keys import new_key
from platform_api.stock import moving
from platform_api.stock import transfer_queries as queries
from platform_api.stock.ledger import Move, hold
from platform_api.stock.parameters import require_place
from platform_api.stock.rules import LOSS, TRANSIT, MoveKind
from platform_api.stock.transfer_models import progress_of
from platform_api.stock.transfer_rules import Progress, state_of, units_to_receive, units_to_send
from platform_api.stock.valuing import Leg

Row = Mapping[str, Any]


def lock(tx: Connection, caller: Principal, transfer_id: UUID, version: int) -> Row:
    """The transfer's row, held until the transaction ends. Raises ApiError (404, 412)."""
    row = tx.execute(queries.LOCK_TRANSFER, {**caller.scope, "transfer_id": transfer_id}).fetchone()
    if row is None:
        raise not_found("transfer")
    if row["version"] != version:
        raise stale("transfer")
    return row


def send(tx: Connection, caller: Principal, row: Row, asked: Mapping[str, int] | None) -> None:
    """Let units leave, first expired first; the rest goes on waiting. Raises ApiError (404, 409), StockError."""
    require_place(tx, caller, row["origin"])
    lines = _lines(row)
    # Both sides at once and in order: others hold them both too.
    balances = hold(tx, caller.tenant_id, [(place, sku) for sku in lines for place in (row["origin"], TRANSIT)])
    with _refused():
        units = units_to_send(lines, {sku: balances[row["origin"], sku].free for sku in lines}, asked)
    now = datetime.now(UTC)
    legs = moving.transfer_legs(tx, caller.tenant_id, moving.Route(row["origin"], TRANSIT, now.date()), units)
    _post(tx, caller, row, legs, now)
    _change(tx, caller, row, {sku: {"sent": count} for sku, count in units.items()})


def receive(
    tx: Connection, caller: Principal, row: Row, received: Mapping[str, int] | None, missing: Mapping[str, int]
) -> None:
    """Take in what has come; what is missing is a loss. Raises ApiError (404, 409), StockError."""
    require_place(tx, caller, row["destination"])
    with _refused():
        told = units_to_receive(_lines(row), received, missing)
    legs: list[Leg] = []
    place = {"tenant_id": caller.tenant_id, "references": [_reference(row)], "location": TRANSIT}
    hold(tx, caller.tenant_id, [(where, sku) for sku in told for where in (TRANSIT, row["destination"])])
    for sku, (came, lost) in told.items():
        lots = [(TRANSIT, lot["lot_id"], lot["units"]) for lot in tx.execute(moving.LOTS_LEFT, {**place, "sku": sku})]
        legs += moving.spread_legs(sku, lots, {row["destination"]: came, LOSS: lost})
    _post(tx, caller, row, legs, datetime.now(UTC))
    _change(tx, caller, row, {sku: {"received": came, "missing": lost} for sku, (came, lost) in told.items()})


def close(tx: Connection, caller: Principal, row: Row, reason: str) -> None:
    """Give up what has not left; what is on its way may still come. Raises ApiError (409) when nothing waits."""
    waiting = {sku: line.waiting for sku, line in _lines(row).items() if line.waiting}
    if not waiting:
        raise ApiError(HTTPStatus.CONFLICT, f"nothing waits: the transfer is {row['state']}")
    _change(tx, caller, row, {sku: {"given_up": count} for sku, count in waiting.items()}, reason)


def _lines(row: Row) -> dict[str, Progress]:
    return {line["sku"]: progress_of(line) for line in row["lines"]}


@contextmanager
def _refused() -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise ApiError(HTTPStatus.CONFLICT, str(error)) from error


def _reference(row: Row) -> str:
    return f"transfer:{row['transfer_id']}"


def _post(tx: Connection, caller: Principal, row: Row, legs: list[Leg], now: datetime) -> None:
    move = Move(
        kind=MoveKind.TRANSFER,
        happened_at=now,
        legs=legs,
        source="transfer",
        source_event_id=str(new_key()),
        reference=_reference(row),
        user_id=caller.user_id,
    )
    moving.post_new(tx, caller.tenant_id, move, now)


def _change(
    tx: Connection, caller: Principal, row: Row, changes: Mapping[str, Mapping[str, int]], reason: str | None = None
) -> None:
    key = {"tenant_id": caller.tenant_id, "transfer_id": row["transfer_id"]}
    none = dict.fromkeys(("sent", "received", "missing", "given_up"), 0)
    for sku, change in sorted(changes.items()):
        tx.execute(queries.CHANGE_LINE, {**key, "sku": sku, **none, **change})
    now = tx.execute(queries.TRANSFER, {**caller.scope, **key}).fetchone()
    assert now is not None
    tx.execute(queries.SET_STATE, {**key, "state": state_of(_lines(now).values()), "reason": reason})
