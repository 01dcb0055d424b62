"""What a person has to do and to know today, read for the page of their desk: each list short, the newest first."""

from collections.abc import Mapping
from typing import Any, Final

from platform_api.finance import queries as finance
from platform_api.kit.auth import Principal, Role
from platform_api.kit.db import Connection
from platform_api.kit.money import format_minor
from platform_api.orders import queries as orders
from platform_api.orders import return_queries as returns
from platform_api.pages import queries
from platform_api.replenishment import queries as replenishment
from platform_api.replenishment import refill_queries as refills

SHOWN_MAX: Final = 20
MONEY_READERS: Final = frozenset({Role.HQ, Role.OPS, Role.AUDITOR, Role.DEALER})
"""As /v1/receivables has it."""
DECIDERS: Final = frozenset({Role.HQ, Role.OPS, Role.DEALER, Role.STORE})

Row = Mapping[str, Any]


def read_desk(tx: Connection, caller: Principal) -> dict[str, Any]:
    """Proposals, orders, refills, returns and money that the caller sees."""
    page = {"after": None, "limit": SHOWN_MAX}
    here = {**caller.scope, "site": None, "sku": None, "after_at": None, "after_id": None, "limit": SHOWN_MAX}
    mine = {**caller.org_scope, **page, "org_id": None}
    reads_money = caller.role in MONEY_READERS
    return {
        "proposals": tx.execute(replenishment.PROPOSALS, {**here, "states": ["open"]}).fetchall(),
        "orders": [_order(row) for row in tx.execute(orders.ORDERS, {**mine, "states": None})],
        "refills": tx.execute(refills.REFILLS, {**here, **page, "states": ["open"]}).fetchall(),
        "returns": [_return(row) for row in tx.execute(returns.RETURNS, {**mine, "order_id": None})],
        "accounts": [_account(row) for row in tx.execute(finance.ACCOUNTS, _accounts(caller))] if reads_money else [],
        "entries": [_entry(row) for row in tx.execute(finance.ENTRIES, mine)] if reads_money else [],
        "reads_money": reads_money,
        "decides": caller.role in DECIDERS,
        "sites": _names(tx, queries.SITE_NAMES, caller),
        "orgs": _names(tx, queries.ORG_NAMES, caller),
    }


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
