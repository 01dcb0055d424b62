"""Units that are promised: they stay where they are, and nobody else gets them.

A reservation changes only while the balance of its place is locked.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from platform_api.kit.keys import new_key
from platform_api.stock import queries
from platform_api.stock.ledger import Balance, Connection, hold

CONSUMED: Final = "consumed"
RELEASED: Final = "released"
EXPIRED: Final = "expired"


@dataclass(frozen=True, slots=True)
class Reservation:
    """Units of a SKU that are held at a place for a reference."""

    reservation_id: UUID
    location: str
    sku: str
    units: int


def reserve(
    tx: Connection,
    tenant_id: str,
    location: str,
    wanted: dict[str, int],
    reference: str,
    expires_at: datetime | None = None,
) -> dict[str, int]:
    """Reserve what there is of each SKU and has not expired, at most what is wanted; the units that were, by SKU.

    ``wanted`` holds positive units. The places stay locked until the transaction ends. Raises UnknownPlaceError.
    """
    free = promisable(tx, tenant_id, location, wanted)
    granted = {}
    for sku, units in sorted(wanted.items()):
        assert units > 0
        taken = min(units, free[sku])
        granted[sku] = taken
        if not taken:
            continue
        place = {"tenant_id": tenant_id, "location": location, "sku": sku, "units": taken}
        tx.execute(queries.CHANGE_RESERVED, place)
        tx.execute(
            queries.INSERT_RESERVATION,
            {**place, "reservation_id": new_key(), "reference": reference, "expires_at": expires_at},
        )
    return granted


def promisable(tx: Connection, tenant_id: str, location: str, skus: Iterable[str]) -> dict[str, int]:
    """Units by SKU that are promised to nobody and have not expired, never negative; the places are locked then.

    Raises UnknownPlaceError.
    """
    return _unexpired(tx, tenant_id, location, list(skus), lambda balance: balance.free)


def fresh(tx: Connection, tenant_id: str, location: str, skus: Iterable[str]) -> dict[str, int]:
    """Units by SKU that have not expired, whoever they are promised to; the places are locked then.

    Raises UnknownPlaceError.
    """
    return _unexpired(tx, tenant_id, location, list(skus), lambda balance: balance.on_hand)


def _unexpired(
    tx: Connection, tenant_id: str, location: str, skus: list[str], units: Callable[[Balance], int]
) -> dict[str, int]:
    balances = hold(tx, tenant_id, ((location, sku) for sku in skus))
    expired = _expired(tx, tenant_id, location, skus)
    return {sku: max(0, units(balances[location, sku]) - expired[sku]) for sku in skus}


def _expired(tx: Connection, tenant_id: str, location: str, skus: list[str]) -> dict[str, int]:
    place = {"tenant_id": tenant_id, "location": location, "skus": skus}
    return {row["sku"]: row["units"] for row in tx.execute(queries.EXPIRED_UNITS, place)}


def held_for(tx: Connection, tenant_id: str, reference: str, location: str | None = None) -> list[Reservation]:
    """What is held for a reference."""
    rows = tx.execute(queries.HELD, {"tenant_id": tenant_id, "reference": reference, "location": location})
    return [Reservation(row["reservation_id"], row["location_id"], row["sku"], row["units"]) for row in rows]


def release(tx: Connection, tenant_id: str, reference: str) -> None:
    """Give back everything that is held for a reference."""
    hold(tx, tenant_id, ((one.location, one.sku) for one in held_for(tx, tenant_id, reference)))
    # Read again: until the places were locked, another may have ended some of them.
    for one in held_for(tx, tenant_id, reference):
        _end(tx, tenant_id, one, RELEASED)


def consume(tx: Connection, tenant_id: str, reference: str, location: str, units: dict[str, int]) -> None:
    """Use up reserved units, because they leave now: the move is posted right after, in the same transaction.

    ``units`` may be less than what is held, never more (a mistake of ours).
    """
    hold(tx, tenant_id, ((location, sku) for sku in units))
    left = dict(units)
    for one in held_for(tx, tenant_id, reference, location):
        taken = min(left.get(one.sku, 0), one.units)
        if not taken:
            continue
        left[one.sku] -= taken
        if taken == one.units:
            _end(tx, tenant_id, one, CONSUMED)
        else:
            key = {"tenant_id": tenant_id, "reservation_id": one.reservation_id, "units": taken}
            tx.execute(queries.SHRINK_RESERVATION, key)
            place = {"tenant_id": tenant_id, "location": location, "sku": one.sku, "units": -taken}
            tx.execute(queries.CHANGE_RESERVED, place)
    assert not any(left.values()), (reference, left)


def expire(tx: Connection, now: datetime) -> int:
    """End reservations whose time is over, of all tenants; how many. For the worker."""
    due: dict[str, list[Reservation]] = {}
    for row in tx.execute(queries.EXPIRED, {"now": now}):
        one = Reservation(row["reservation_id"], row["location_id"], row["sku"], row["units"])
        due.setdefault(row["tenant_id"], []).append(one)
    for tenant_id, ended in sorted(due.items()):
        hold(tx, tenant_id, ((one.location, one.sku) for one in ended))
        for one in ended:
            _end(tx, tenant_id, one, EXPIRED)
    return sum(map(len, due.values()))


def _end(tx: Connection, tenant_id: str, one: Reservation, state: str) -> None:
    key = {"tenant_id": tenant_id, "reservation_id": one.reservation_id, "state": state}
    if tx.execute(queries.END_RESERVATION, key).rowcount == 0:
        return
    place = {"tenant_id": tenant_id, "location": one.location, "sku": one.sku, "units": -one.units}
    tx.execute(queries.CHANGE_RESERVED, place)
