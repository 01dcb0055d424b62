"""Posts moves: the ledger and its projection, in the caller's transaction.

Whoever posts several moves in one transaction locks all of their places first (``hold``), so that two transactions
never wait for each other in a ring.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from uuid import UUID

import psycopg
from psycopg.rows import DictRow

from platform_api.kit.keys import new_key
from platform_api.stock import queries
from platform_api.stock.rules import PHYSICAL, LotStock, MoveKind
from platform_api.stock.valuing import Holding, Leg, Place, is_balanced, value_legs

Connection = psycopg.Connection[DictRow]


class StockError(Exception):
    """A move that cannot be posted."""


class NotEnoughError(StockError):
    """A place would have less than is reserved there, or a lot less than nothing."""


class ClosedPeriodError(StockError):
    """The period of the move is closed."""


class UnknownPlaceError(StockError):
    """A location that the tenant does not have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """Units that change places, for one reason.

    ``source`` and ``source_event_id`` name the fact that it stands for: it is posted once, however often it is told.
    ``told_minor`` is the cost by SKU of what comes from outside. ``late``: when its period is closed it is booked
    ``now`` instead of being refused.
    """

    kind: MoveKind
    happened_at: datetime
    legs: list[Leg]
    source: str
    source_event_id: str
    reason: str = ""
    reference: str = ""
    user_id: UUID | None = None
    told_minor: Mapping[str, int] = field(default_factory=dict)
    late: bool = False


@dataclass(frozen=True, slots=True)
class Balance:
    """A locked place of the projection."""

    on_hand: int
    reserved: int
    value_minor: int
    unbounded: bool

    @property
    def free(self) -> int:
        """Units that are there and promised to nobody."""
        return self.on_hand - self.reserved


def hold(tx: Connection, tenant_id: str, places: Iterable[Place]) -> dict[Place, Balance]:
    """Lock the balances of physical places until the transaction ends, those of others are left out.

    Raises UnknownPlaceError for a location that there is not.
    """
    wanted = sorted(set(places))
    if not wanted:
        return {}
    keys = {"tenant_id": tenant_id, "locations": [one[0] for one in wanted], "skus": [one[1] for one in wanted]}
    kinds = {row["location_id"]: row["kind"] for row in tx.execute(queries.LOCATION_KINDS, keys)}
    if missing := {location for location, _ in wanted} - kinds.keys():
        raise UnknownPlaceError(", ".join(sorted(missing)))
    tx.execute(queries.ADD_BALANCES, keys)
    return {
        (row["location_id"], row["sku"]): Balance(row["on_hand"], row["reserved"], row["value_minor"], row["unbounded"])
        for row in tx.execute(queries.LOCK_BALANCES, keys)
        if kinds[row["location_id"]] in PHYSICAL
    }


def post(tx: Connection, tenant_id: str, move: Move, now: datetime) -> UUID | None:
    """Post a move and return its id; None when it is posted already.

    Raises NotEnoughError, ClosedPeriodError (unless ``late``), UnknownPlaceError.
    """
    assert is_balanced(move.legs), move
    tx.execute(queries.SHARE_PERIODS, {"tenant_id": tenant_id})
    booked_at = move.happened_at
    if _is_closed(tx, tenant_id, booked_at):
        if not move.late or _is_closed(tx, tenant_id, now):
            raise ClosedPeriodError(f"{booked_at:%Y-%m} is closed")
        booked_at = now
    move_id = new_key()
    row = tx.execute(
        queries.INSERT_MOVE,
        {
            "tenant_id": tenant_id,
            "move_id": move_id,
            "kind": move.kind,
            "happened_at": move.happened_at,
            "booked_at": booked_at,
            "source": move.source,
            "source_event_id": move.source_event_id,
            "reason": move.reason,
            "reference": move.reference,
            "user_id": move.user_id,
        },
    ).fetchone()
    if row is None:
        return None
    balances = hold(tx, tenant_id, ((leg.location, leg.sku) for leg in move.legs))
    holdings = {place: Holding(one.on_hand, one.value_minor) for place, one in balances.items()}
    values = value_legs(move.legs, holdings, move.told_minor)
    _write_entries(tx, tenant_id, move_id, move, values)
    _project(tx, tenant_id, move.legs, values, balances)
    return move_id


def lots_at(tx: Connection, tenant_id: str, location: str, skus: Iterable[str]) -> dict[str, list[LotStock]]:
    """Lots at a place by SKU; hold the place first."""
    lots: dict[str, list[LotStock]] = {sku: [] for sku in skus}
    for row in tx.execute(queries.LOTS_AT, {"tenant_id": tenant_id, "location": location, "skus": list(lots)}):
        lots[row["sku"]].append(LotStock(row["lot_id"], row["expires_on"], row["units"]))
    return lots


def keep_lot(tx: Connection, tenant_id: str, sku: str, code: str, expires_on: date | None) -> UUID:
    """Id of a lot, made when it is new. Raises StockError when it is known with another date."""
    row = tx.execute(
        queries.KEEP_LOT,
        {"tenant_id": tenant_id, "lot_id": new_key(), "sku": sku, "code": code, "expires_on": expires_on},
    ).fetchone()
    assert row is not None
    if expires_on is not None and row["expires_on"] != expires_on:
        msg = f"lot {code} of {sku} expires on {row['expires_on']}"
        raise StockError(msg)
    lot_id: UUID = row["lot_id"]
    return lot_id


def _is_closed(tx: Connection, tenant_id: str, at: datetime) -> bool:
    row = tx.execute(queries.IS_CLOSED, {"tenant_id": tenant_id, "at": at}).fetchone()
    assert row is not None
    return bool(row["closed"])


def _write_entries(tx: Connection, tenant_id: str, move_id: UUID, move: Move, values: list[int]) -> None:
    tx.execute(
        queries.INSERT_ENTRIES,
        {
            "tenant_id": tenant_id,
            "move_id": move_id,
            "happened_at": move.happened_at,
            "locations": [leg.location for leg in move.legs],
            "skus": [leg.sku for leg in move.legs],
            "lots": [leg.lot_id for leg in move.legs],
            "units": [leg.units for leg in move.legs],
            "values": values,
        },
    )


def _project(
    tx: Connection, tenant_id: str, legs: list[Leg], values: list[int], balances: Mapping[Place, Balance]
) -> None:
    changes: dict[Place, list[int]] = {}
    for leg, value in zip(legs, values, strict=True):
        if (leg.location, leg.sku) in balances:
            change = changes.setdefault((leg.location, leg.sku), [0, 0])
            change[0] += leg.units
            change[1] += value
    for (location, sku), (units, _) in changes.items():
        balance = balances[location, sku]
        if units < 0 and not balance.unbounded and balance.free + units < 0:
            raise NotEnoughError(f"{location} has {balance.free} units of {sku} that are not reserved")
    tx.execute(
        queries.UPDATE_BALANCES,
        {
            "tenant_id": tenant_id,
            "locations": [location for location, _ in changes],
            "skus": [sku for _, sku in changes],
            "units": [units for units, _ in changes.values()],
            "values": [value for _, value in changes.values()],
        },
    )
    for leg in legs:
        if leg.lot_id is None or (leg.location, leg.sku) not in balances:
            continue
        query = queries.ADD_LOT if leg.units > 0 else queries.TAKE_LOT
        lot = {"tenant_id": tenant_id, "location": leg.location, "sku": leg.sku, "lot_id": leg.lot_id}
        if tx.execute(query, {**lot, "units": leg.units}).rowcount != 1:
            raise NotEnoughError(f"{leg.location} has less than {-leg.units} units of this lot of {leg.sku}")
