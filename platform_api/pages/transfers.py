"""Transfers, read for their pages: what was asked for, how far it is, and what the caller may do about it."""

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from platform_api.kit.auth import Principal, Role
from platform_api.kit.db import Connection
from platform_api.kit.errors import not_found
from platform_api.kit.paging import encode_cursor, seen
from platform_api.pages import queries
from platform_api.stock import transfer_queries as transfers
from platform_api.stock.transfer_models import TransferShown, shown

SHOWN_MAX: Final = 30
LIST: Final = "transfers"
MOVERS: Final = frozenset({Role.HQ, Role.OPS, Role.DEALER, Role.STORE})
"""As the routes of transfers have it."""

Row = Mapping[str, Any]


def read_transfers(tx: Connection, caller: Principal, cursor: str | None) -> dict[str, Any]:
    """A page of what /transfers shows. Raises InputError (422) for a text that is no cursor."""
    (after,) = seen(LIST, tuple[UUID], cursor) or (None,)
    values = {"states": None, "after": after, "limit": SHOWN_MAX + 1}
    query = transfers.TRANSFERS if caller.sites is None else transfers.TRANSFERS_OF_PART
    rows = tx.execute(query, {**caller.scope, **values}).fetchall()
    found = [shown(row) for row in rows[:SHOWN_MAX]]
    ids = [place for one in found for place in (one.from_, one.to)]
    return {
        "transfers": found,
        "names": _place_names(tx, caller, ids),
        "places": tx.execute(queries.PLACES, caller.scope).fetchall(),
        "may_ask": caller.role in MOVERS,
        "more": encode_cursor(LIST, (found[-1].id,)) if len(rows) > SHOWN_MAX else None,
    }


def read_transfer(tx: Connection, caller: Principal, transfer_id: UUID, locale: str) -> dict[str, Any]:
    """What /transfers/{transfer_id} shows. Raises ApiError (404)."""
    row = tx.execute(transfers.TRANSFER, {**caller.scope, "transfer_id": transfer_id}).fetchone()
    if row is None:
        raise not_found("transfer")
    it: TransferShown = shown(row)
    skus = {"tenant_id": caller.tenant_id, "skus": [line.sku for line in it.lines]}
    ends = {**caller.scope, "ids": [it.from_, it.to]}
    sees = {row["id"] for row in tx.execute(queries.LOCATIONS_SEEN, ends)}
    acts = caller.role in MOVERS
    waits = any(line.waiting for line in it.lines)
    return {
        "it": it,
        "names": {
            one["sku"]: (one["name_zh"] if locale == "zh" else one["name_en"]) or one["sku"]
            for one in tx.execute(queries.SKU_NAMES, skus)
        },
        "places": _place_names(tx, caller, [it.from_, it.to]),
        "may_send": acts and waits and it.from_ in sees,
        "may_receive": acts and it.to in sees and any(line.on_the_way for line in it.lines),
        "may_close": acts and waits,
    }


def _place_names(tx: Connection, caller: Principal, ids: list[str]) -> dict[str, str]:
    named = {"tenant_id": caller.tenant_id, "ids": ids}
    return {row["id"]: row["name"] or row["id"] for row in tx.execute(queries.LOCATION_NAMES, named)}
