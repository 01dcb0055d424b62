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
KINDS: Final = ("warehouse", "store", "shelf", ON_HOLD, "transit")
"""In the order in which they are shown: what can be sold first."""
assert set(KINDS) == PHYSICAL
CONTROLLERS: Final = frozenset({Role.HQ, Role.OPS})
"""As the routes of holds have it."""

EVERY: Final = dict.fromkeys(("location", "site", "sku", "kind", "least", "until"))
"""Filters that leave nothing out."""

Row = Mapping[str, Any]


def read_stock(tx: Connection, caller: Principal, place: str, kind: str, cursor: str | None) -> dict[str, Any]:
    """What /stock shows of a place and kind ('': of all). Raises InputError (422) for a text that is no cursor."""
    after = seen(LIST, tuple[int, str, str], cursor) or (None, None, None)
    rows = _in_use(tx, caller, {"site": place or None, "kind": kind if kind in PHYSICAL else None}, after)
    shown = [_balance(row) for row in rows[:SHOWN_MAX]]
    last = shown[-1] if len(rows) > SHOWN_MAX else None
    held = _on_hold(tx, caller, place)
    return {
        "balances": shown,
        "held": [_balance(row) for row in held],
        "places": tx.execute(queries.PLACES, caller.scope).fetchall(),
        "place": place,
        "kind": kind,
        "kinds": KINDS,
        "may_hold": caller.role in MOVERS,
        "may_decide": caller.role in CONTROLLERS,
        "more": None
        if last is None
        else encode_cursor(LIST, (KINDS.index(last["kind"]) + 1, last["location_id"], last["sku"])),
    }


def _in_use(
    tx: Connection,
    caller: Principal,
    filters: Mapping[str, object],
    after: tuple[int | None, str | None, str | None],
) -> list[Row]:
    page = {"after_rank": after[0], "after_location": after[1], "after_sku": after[2], "limit": SHOWN_MAX + 1}
    values = {**caller.scope, **EVERY, **filters, **page, "kinds": list(KINDS)}
    return list(tx.execute(stock.BALANCES_IN_USE, values).fetchall())


def _on_hold(tx: Connection, caller: Principal, place: str) -> list[Row]:
    filters = {"site": place or None, "kind": ON_HOLD, "least": 1}
    page = {"after_location": None, "after_sku": None, "limit": SHOWN_MAX}
    return list(tx.execute(stock.BALANCES, {**caller.scope, **EVERY, **filters, **page}).fetchall())


def _balance(row: Row) -> dict[str, Any]:
    return {**row, "place": row["place"] or row["location_id"], "atp": atp_of(row)}
