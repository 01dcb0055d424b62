"""Stock by the books, read for its page: what can be promised, what has expired, and what is on hold."""

from collections.abc import Mapping
from typing import Any, Final

from platform_api.kit.auth import Principal, Role
from platform_api.kit.db import Connection
from platform_api.kit.paging import encode_cursor, seen
from platform_api.pages import queries
from platform_api.pages.transfers import MOVERS
from platform_api.stock import queries as stock
from platform_api.stock.rules import ON_HOLD, PHYSICAL, atp_of

SHOWN_MAX: Final = 50
LIST: Final = "stock"
KINDS: Final = ("warehouse", "store", "shelf", "transit", ON_HOLD)
assert set(KINDS) == PHYSICAL
CONTROLLERS: Final = frozenset({Role.HQ, Role.OPS})
"""As the routes of holds have it."""

Row = Mapping[str, Any]


def read_stock(tx: Connection, caller: Principal, place: str, kind: str, cursor: str | None) -> dict[str, Any]:
    """What /stock shows of a place and kind ('': of all). Raises InputError (422) for a text that is no cursor."""
    after = seen(LIST, tuple[str, str], cursor) or (None, None)
    filters = {"site": place or None, "kind": kind if kind in PHYSICAL else None}
    rows = _balances(tx, caller, filters, after, SHOWN_MAX + 1)
    shown = [_balance(row) for row in rows[:SHOWN_MAX]]
    last = shown[-1] if len(rows) > SHOWN_MAX else None
    on_hold = {"site": place or None, "kind": ON_HOLD, "least": 1}
    held = _balances(tx, caller, on_hold, (None, None), SHOWN_MAX)
    return {
        "balances": shown,
        "held": [_balance(row) for row in held],
        "places": tx.execute(queries.PLACES, caller.scope).fetchall(),
        "place": place,
        "kind": kind,
        "kinds": KINDS,
        "may_hold": caller.role in MOVERS,
        "may_decide": caller.role in CONTROLLERS,
        "more": None if last is None else encode_cursor(LIST, (last["location_id"], last["sku"])),
    }


def _balances(
    tx: Connection, caller: Principal, filters: Mapping[str, object], after: tuple[str | None, str | None], limit: int
) -> list[Row]:
    every = {"location": None, "site": None, "sku": None, "kind": None, "least": None, "until": None}
    page = {"after_location": after[0], "after_sku": after[1], "limit": limit}
    return list(tx.execute(stock.BALANCES, {**caller.scope, **every, **filters, **page}).fetchall())


def _balance(row: Row) -> dict[str, Any]:
    return {**row, "place": row["place"] or row["location_id"], "atp": atp_of(row)}
