"""What happens to shipments by themselves: simulated carriers drive, and shelves confirm or dispute deliveries."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from psycopg.types.json import Jsonb

from contracts.facts import ProposalState
from platform_api.flows.ordering import bump
from platform_api.flows.replenishing import settle_order
from platform_api.kit.db import Connection
from platform_api.logistics import queries
from platform_api.logistics.models import CarrierEvent
from platform_api.logistics.rules import ShelfVerdict, ShipmentState, judge_refill
from platform_api.logistics.service import note
from platform_api.orders.rules import Action, State
from platform_api.orders.service import Actor, lock_if_there, move

Row = Mapping[str, Any]

PAGE_MAX: Final = 500
SIMULATED: Final = (
    (timedelta(seconds=20), ShipmentState.IN_TRANSIT, "on the road"),
    (timedelta(seconds=60), ShipmentState.OUT_FOR_DELIVERY, "at the door"),
)
"""When a simulated carrier tells what, after dispatch."""


def drive_simulated(tx: Connection, now: datetime) -> int:
    """Let simulated carriers tell what is due by now; how many shipments they have under way."""
    with tx.transaction():
        rows = tx.execute(queries.SIMULATED).fetchall()
        for row in rows:
            state = row["state"]
            for number, (after, told, place) in enumerate(SIMULATED, start=1):
                at = row["dispatched_at"] + after
                if at <= now:
                    event = CarrierEvent(
                        event_id=f"simulated-{number}", tracking_no=row["tracking_no"], state=told, place=place, at=at
                    )
                    note(tx, row["tenant_id"], {"shipment_id": row["shipment_id"], "state": state}, event)
                    state = told
    return len(rows)


def confirm_deliveries(tx: Connection, now: datetime) -> int:
    """Ask shelves about delivered shipments: what they saw confirms or disputes; how many verdicts were reached."""
    reached = 0
    for candidate in _to_judge(tx):
        with tx.transaction():
            actor = Actor(candidate["tenant_id"], "platform")
            order = lock_if_there(tx, actor, candidate["order_id"])
            reached += order is not None and _judge(tx, actor, order, candidate, now)
    return reached


def _to_judge(tx: Connection) -> Iterator[Row]:
    """Shipments that wait for a verdict, a page at a time: those that go on waiting keep nobody else from theirs."""
    last: Row = {"tenant_id": None, "shipment_id": None}
    while True:
        key = {"after_tenant": last["tenant_id"], "after": last["shipment_id"], "limit": PAGE_MAX}
        rows = tx.execute(queries.TO_JUDGE, key).fetchall()
        yield from rows
        if len(rows) < PAGE_MAX:
            return
        last = rows[-1]


def _judge(tx: Connection, actor: Actor, order: Row, shipment: Row, now: datetime) -> bool:
    place = {"tenant_id": actor.tenant_id, "shipment_id": shipment["shipment_id"]}
    rows = tx.execute(queries.REFILLS, place).fetchall()
    accepted = {row["sku"]: row["accepted"] or 0 for row in rows}
    seen = {row["sku"]: row["seen"] for row in rows}
    verdict = judge_refill(accepted, seen, shipment["dispatched_at"], now)
    tx.execute(queries.SET_VERDICT, {**place, "verdict": verdict, "seen": Jsonb(seen)})
    if verdict is ShelfVerdict.WAITING:
        return False
    if verdict is ShelfVerdict.DISPUTED:
        settle_order(tx, actor.tenant_id, order["order_id"], ProposalState.DISPUTED, now)
    elif State(order["state"]) is State.DELIVERED and not _unconfirmed(tx, actor, order):
        settle_order(tx, actor.tenant_id, order["order_id"], ProposalState.RECEIVED, now)
        move(tx, actor, order, Action.CLOSE, f"the shelf says: {verdict}")
        bump(tx, actor, order["order_id"])
    return True


def _unconfirmed(tx: Connection, actor: Actor, order: Row) -> int:
    row = tx.execute(queries.UNCONFIRMED, {"tenant_id": actor.tenant_id, "order_id": order["order_id"]}).fetchone()
    assert row is not None
    return int(row["n"])
