"""Reads what the wall and the chart show."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from platform_api.kit.auth import Principal
from platform_api.kit.db import Connection
from platform_api.live import queries
from platform_api.live.models import Totals, Wall

DEVICE_ONLINE_S: Final = 60.0
"""A device is online while any of its channels has a reading no older than this."""

Row = Mapping[str, Any]
Scope = Mapping[str, object]


def read_totals(tx: Connection, scope: Scope, *, readings_per_s: float) -> Totals:
    """The numbers at the top of the wall."""
    row = tx.execute(queries.TOTALS, {**scope, "online_s": DEVICE_ONLINE_S}).fetchone()
    assert row is not None
    return Totals(readings_per_s=readings_per_s, **row)


def read_wall(tx: Connection, caller: Principal, *, readings_per_s: float) -> Wall:
    """The wall's whole state."""
    row = tx.execute(queries.WALL, caller.scope).fetchone()
    assert row is not None
    totals = read_totals(tx, caller.scope, readings_per_s=readings_per_s)
    return Wall(totals=totals, **{**row, "cursor": str(row["cursor"])})


def find_slot(tx: Connection, scope: Scope, gateway: str, slot: str) -> Row | None:
    """One slot with its SKU, policy, newest count and series."""
    return tx.execute(queries.SLOT, {**scope, "gateway": gateway, "slot": slot}).fetchone()


def first_slot(tx: Connection, scope: Scope) -> Row | None:
    """The slot whose chart opens first, None without any."""
    found = tx.execute(queries.BUSIEST_SLOT, scope).fetchone() or tx.execute(queries.FIRST_SLOT, scope).fetchone()
    return None if found is None else find_slot(tx, scope, found["gateway_id"], found["slot_id"])


def slot_events(tx: Connection, scope: Scope, slot: Row, since: datetime) -> list[Row]:
    """What happened at a slot since then, newest first."""
    place = {"gateway": slot["gateway_id"], "slot": slot["slot_id"], "since": since}
    return list(tx.execute(queries.SLOT_EVENTS, {**scope, **place}).fetchall())


def visible_series(tx: Connection, scope: Scope, series: Sequence[int]) -> set[int]:
    """Those of the series that the scope may see."""
    rows = tx.execute(queries.VISIBLE_SERIES, {**scope, "series": list(series)}).fetchall()
    return {row["series_id"] for row in rows}
