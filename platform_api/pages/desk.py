"""What a person has to do and to know today, read for the page of their desk: each list short, the newest first."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from platform_api.finance import queries as finance
from platform_api.kit.auth import Principal, Role
from platform_api.kit.db import Connection
from platform_api.kit.money import format_minor
from platform_api.kit.paging import encode_cursor, seen
from platform_api.orders import queries as orders
from platform_api.orders import return_queries as returns
from platform_api.pages import queries
from platform_api.pages.order import BUYERS
from platform_api.replenishment import queries as replenishment
from platform_api.replenishment import refill_queries as refills

SHOWN_MAX: Final = 20
MONEY_READERS: Final = frozenset({Role.HQ, Role.OPS, Role.AUDITOR, Role.DEALER})
"""As /v1/receivables has it."""
DECIDERS: Final = frozenset({Role.HQ, Role.OPS, Role.DEALER, Role.STORE})

KEYS: Final = {
    "proposals": ("created_at", "proposal_id"),
    "orders": ("order_id",),
    "refills": ("refill_id",),
    "returns": ("return_id",),
    "entries": ("entry_id",),
}
"""What a page of a list goes on after."""

Row = Mapping[str, Any]


def read_desk(tx: Connection, caller: Principal, cursors: Mapping[str, str | None]) -> dict[str, Any]:
    """Proposals, orders, refills, returns and money that the caller sees, each a page from its cursor on.

    ``more`` has the cursor of the page after, by list. Raises InputError (422) for a text that is no cursor.
    """
    lists = {
        name: _page(tx, name, query, {**parameters, **_after(name, cursors[name])})
        for name, (query, parameters) in _queries(caller).items()
    }
    rows = {name: found for name, (found, _) in lists.items()}
    reads_money = caller.role in MONEY_READERS
    buys = caller.role in BUYERS and caller.org_id is not None
    return {
        "proposals": rows["proposals"],
        "orders": [_order(row) for row in rows["orders"]],
        "refills": rows["refills"],
        "returns": [_return(row) for row in rows["returns"]],
        "accounts": [_account(row) for row in tx.execute(finance.ACCOUNTS, _accounts(caller))] if reads_money else [],
        "entries": [_entry(row) for row in rows.get("entries", [])],
        "more": {name: following for name, (_, following) in lists.items()},
        "reads_money": reads_money,
        "decides": caller.role in DECIDERS,
        "buys": buys,
        "places": tx.execute(queries.PLACES, caller.scope).fetchall() if buys else [],
        "sites": _names(tx, queries.SITE_NAMES, caller),
        "orgs": _names(tx, queries.ORG_NAMES, caller),
    }


def _queries(caller: Principal) -> dict[str, tuple[str, dict[str, object]]]:
    here: dict[str, object] = {**caller.scope, "site": None, "sku": None, "states": ["open"]}
    mine: dict[str, object] = {**caller.org_scope, "org_id": None, "order_id": None, "states": None}
    lists = {
        "proposals": (replenishment.PROPOSALS, here),
        "orders": (orders.ORDERS, mine),
        "refills": (refills.REFILLS, here),
        "returns": (returns.RETURNS, mine),
    }
    return {**lists, "entries": (finance.ENTRIES, mine)} if caller.role in MONEY_READERS else lists


def _after(name: str, cursor: str | None) -> dict[str, object]:
    if name == "proposals":
        at, proposal_id = seen(name, tuple[datetime, UUID], cursor) or (None, None)
        return {"after_at": at, "after_id": proposal_id}
    (after,) = seen(name, tuple[UUID], cursor) or (None,)
    return {"after": after}


def _page(tx: Connection, name: str, query: str, parameters: dict[str, object]) -> tuple[list[Row], str | None]:
    rows = tx.execute(query, {**parameters, "limit": SHOWN_MAX + 1}).fetchall()
    shown: list[Row] = list(rows[:SHOWN_MAX])
    if len(rows) <= SHOWN_MAX:
        return shown, None
    return shown, encode_cursor(name, tuple(shown[-1][column] for column in KEYS[name]))


def _accounts(caller: Principal) -> dict[str, object]:
    return {**caller.org_scope, "after_org": None, "after_currency": None, "limit": SHOWN_MAX}


def _names(tx: Connection, query: str, caller: Principal) -> dict[str, str]:
    return {row["id"]: row["name"] or row["id"] for row in tx.execute(query, {"tenant_id": caller.tenant_id})}


def _order(row: Row) -> dict[str, Any]:
    return {**row, "total": format_minor(row["total_minor"], row["currency"])}


def _return(row: Row) -> dict[str, Any]:
    credited = sum(line["credited_minor"] for line in row["lines"])
    return {**row, "credited": format_minor(credited, row["currency"]), "units": sum(x["units"] for x in row["lines"])}


def _account(row: Row) -> dict[str, Any]:
    free = row["limit_minor"] - row["receivable_minor"] - row["committed_minor"] + row["deposit_minor"]
    names = ("limit", "receivable", "committed", "deposit")
    shown = {name: format_minor(row[f"{name}_minor"], row["currency"]) for name in names}
    return {**row, **shown, "free": format_minor(free, row["currency"]), "is_beyond": free < 0}


def _entry(row: Row) -> dict[str, Any]:
    return {**row, "amount": format_minor(row["amount_minor"], row["currency"])}
