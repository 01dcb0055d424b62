"""Units that have come to a store shall lie on its shelves: the store is told, and its shelves say when they do."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, Final
from uuid import UUID

from psycopg.types.json import Jsonb

from contracts.commands import CommandKind
from platform_api.devices import remote_queries
from platform_api.devices.rules import WAITING_MAX
from platform_api.kit.db import Connection
from platform_api.kit.keys import new_key
from platform_api.replenishment import refill_queries as queries
from platform_api.replenishment.refill_rules import Refill, RefillState, Task, share_refills, state_after

PAGE_MAX: Final = 1_000
COMMAND_LIFE: Final = timedelta(days=1)
"""How long a gateway may hear of a task; the task itself stays for people."""

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """Units of a SKU that are in a store, what brought them (its kind and id), and since when refills count."""

    site: str
    sku: str
    units: int
    source: str
    source_id: UUID
    since: datetime


def ask(tx: Connection, tenant_id: str, arrival: Arrival, now: datetime) -> bool:
    """Ask a store to refill, once, and its gateways what lies there; False where no shelf counts the SKU."""
    place = {"tenant_id": tenant_id, "site": arrival.site, "sku": arrival.sku}
    counting = tx.execute(queries.COUNTING, place).fetchall()
    if not counting:
        return False
    refill_id = new_key()
    values = {"units": arrival.units, "source": arrival.source, "source_id": arrival.source_id, "since": arrival.since}
    if tx.execute(queries.INSERT, {**place, **values, "refill_id": refill_id}).rowcount:
        for row in counting:
            _command(tx, tenant_id, row, refill_id, arrival, now)
    return True


def watch(tx: Connection, now: datetime) -> int:
    """Note what shelves saw of open tasks, and close those that are over; how many closed."""
    closed = 0
    last: dict[str, object] = dict.fromkeys(("tenant_id", "site_id", "sku", "refill_id"))
    while True:
        # A page at a time: tasks that stay open keep nobody else's from being watched.
        with tx.transaction():
            rows = tx.execute(queries.OPEN, {**last, "limit": PAGE_MAX}).fetchall()
            for _, group in groupby(rows, key=lambda row: (row["tenant_id"], row["site_id"], row["sku"])):
                closed += _watch_place(tx, list(group), now)
        if len(rows) < PAGE_MAX:
            return closed
        last = {name: rows[-1][name] for name in last}


def _watch_place(tx: Connection, opened: list[Row], now: datetime) -> int:
    first = opened[0]
    place = {name: first[name] for name in ("tenant_id", "site_id", "sku")}
    bounds = {**place, "first": min(row["since"] for row in opened), "now": now}
    tasks = [Task(row["refill_id"], row["units"], row["since"]) for row in tx.execute(queries.OF_PLACE, bounds)]
    refills = [Refill(row["time"], row["units"]) for row in tx.execute(queries.SEEN, bounds)]
    seen = share_refills(tasks, refills)
    closed = 0
    for row in opened:
        count = seen[row["refill_id"]]
        state = state_after(Task(row["refill_id"], row["units"], row["since"]), count, now)
        if count != row["seen"] or state is not RefillState.OPEN:
            key = {"tenant_id": row["tenant_id"], "refill_id": row["refill_id"]}
            tx.execute(queries.NOTE_SEEN, {**key, "seen": count, "state": state, "now": now})
        closed += state is not RefillState.OPEN
    return closed


def _command(tx: Connection, tenant_id: str, row: Row, refill_id: UUID, arrival: Arrival, now: datetime) -> None:
    place = {"tenant_id": tenant_id, "gateway": row["gateway_id"]}
    waiting = tx.execute(remote_queries.COUNT_WAITING, place).fetchone()
    if waiting is not None and waiting["n"] >= WAITING_MAX:
        return  # a gateway that has been away for long; people see the task
    refill = {"id": str(refill_id), "sku": arrival.sku, "units": arrival.units}
    tx.execute(
        remote_queries.INSERT_COMMAND,
        {
            **place,
            "command_id": str(new_key()),
            "kind": CommandKind.REFILL_CHECK,
            "args": Jsonb({"slots": row["slots"], "refill": refill}),
            "user_id": None,
            "now": now,
            "expires_at": now + COMMAND_LIFE,
        },
    )
