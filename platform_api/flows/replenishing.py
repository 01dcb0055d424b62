"""From a proposal to units on the shelf: what the store has, then what the dealer has, then an order; once, ever.

Each proposal is worked on in a transaction of its own, held by its row; ``sales_order.proposal_id`` is unique, so that
a replay, a crash or a second worker never makes a second order.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from psycopg.types.json import Jsonb

from contracts.facts import LiveNotice, ProposalState
from platform_api.catalogue import service as catalogue
from platform_api.catalogue.pricing import Buyer
from platform_api.flows import ordering, refilling
from platform_api.flows.pricing import choose_warehouse, price_lines
from platform_api.flows.sourcing import BlockedError, cheapest, find_ways, packs_to_order, unit_price
from platform_api.kit.db import Connection
from platform_api.kit.errors import ApiError, InputError
from platform_api.kit.keys import new_key
from platform_api.kit.notices import notify_live
from platform_api.orders import queries as order_queries
from platform_api.orders.service import Actor, write_lines
from platform_api.replenishment import flow_queries as queries
from platform_api.replenishment.planning import Planner
from platform_api.replenishment.refill_rules import RefillState
from platform_api.stock import reserving, transferring
from platform_api.stock.ledger import hold

AGAIN_AFTER: Final = timedelta(minutes=15)
"""A proposal that cannot be fulfilled is tried again after this time: prices, assortments and credit change."""
ROUNDS_MAX: Final = 500
CURRENCY: Final = "CNY"

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Way:
    """How a proposal is fulfilled."""

    outcome: str
    note: str
    units: int
    source: str = ""
    order_id: UUID | None = None
    considered: list[dict[str, Any]] = field(default_factory=list)


def fulfil_proposals(tx: Connection, now: datetime, planner: Planner) -> int:
    """Fulfil what was approved, and what policies order by themselves; how many proposals were looked at."""
    looked_at = 0
    while looked_at < ROUNDS_MAX:
        with tx.transaction():
            row = tx.execute(queries.TAKE, {"now": now}).fetchone()
            if row is None:
                break
            _fulfil(tx, row, now, planner)
            looked_at += 1
    return looked_at


def close_proposals(tx: Connection, now: datetime) -> int:
    """End cycles whose refill is over, or is nobody's to see, and those whose order was cancelled; how many ended."""
    ended = 0
    with tx.transaction():
        for row in tx.execute(queries.WAITING).fetchall():
            _set_state(tx, row, _ended(row), now)
            ended += 1
    return ended


def take_in_transfers(tx: Connection, now: datetime) -> int:
    """Let stores put on their shelves what transfers brought for proposals, and end those that got nothing.

    A transfer that waits for a proposal that is over is given up, so that its units are free. Returns how many
    proposals and transfers were settled.
    """
    settled = 0
    with tx.transaction():
        for row in tx.execute(queries.BROUGHT).fetchall():
            if not row["units"]:
                # Nobody said no to the need, and the shelf is still low: another cycle may find another way.
                _set_state(tx, row, ProposalState.EXPIRED, now)
            elif not _ask_refill(tx, row, row["units"], row["since"], now):
                _set_state(tx, row, ProposalState.RECEIVED, now)
            settled += 1
    for row in tx.execute(queries.FORSAKEN).fetchall():
        with tx.transaction():
            reason = f"its proposal is {row['state']}"
            settled += transferring.give_up(tx, row["tenant_id"], row["transfer_id"], reason)
    return settled


def _ended(row: Row) -> ProposalState:
    if row["order_state"] == "cancelled" or row["refill_state"] == RefillState.CANCELLED:
        return ProposalState.REJECTED
    unseen = row["refill_state"] is None  # received by the move that brought it
    return ProposalState.RECEIVED if unseen or row["refill_state"] == RefillState.DONE else ProposalState.EXPIRED


def settle_order(tx: Connection, tenant_id: str, order_id: UUID, state: ProposalState, now: datetime) -> None:
    """The shelf has spoken about an order: so ends the cycle of the proposal that it came from, if there was one."""
    for row in tx.execute(queries.OF_ORDER, {"tenant_id": tenant_id, "order_id": order_id}).fetchall():
        _set_state(tx, {"tenant_id": tenant_id, **row}, state, now)


def _fulfil(tx: Connection, row: Row, now: datetime, planner: Planner) -> None:
    try:
        with tx.transaction():
            way = _find_way(tx, row, now, planner)
    except BlockedError as error:
        _keep(tx, row, Way("blocked", str(error), 0), now, now + AGAIN_AFTER)
        return
    _keep(tx, row, way, now, None)
    _set_state(tx, row, ProposalState.ORDERED, now)
    if way.outcome == "backroom":
        _ask_refill(tx, row, way.units, now, now)


def _ask_refill(tx: Connection, row: Row, units: int, since: datetime, now: datetime) -> bool:
    """Ask the store to put on its shelves what has come for a proposal; False where no shelf counts the SKU."""
    arrival = refilling.Arrival(
        site=row["site_id"],
        sku=row["sku"],
        units=units,
        source="proposal",
        source_id=row["proposal_id"],
        since=since,
    )
    return refilling.ask(tx, row["tenant_id"], arrival, now)


def _find_way(tx: Connection, row: Row, now: datetime, planner: Planner) -> Way:
    if row["state"] == ProposalState.OPEN:
        _require_leave(tx, row, now)
    backroom = tx.execute(queries.BACKROOM, row).fetchone()
    free = 0 if backroom is None else int(backroom["free"])
    considered = [{"source": row["site_id"], "units": free, "cost_minor": 0}]
    if free >= row["units"]:
        note = f"the store has {free} units in its back room"
        return Way("backroom", note, row["units"], row["site_id"], considered=considered)
    dealer = tx.execute(queries.DEALER, row).fetchone()
    if dealer is None:
        msg = "no organisation runs the site"
        raise BlockedError(msg)
    spare = tx.execute(queries.SPARE, {**row, "orgs": dealer["orgs"]}).fetchall()
    lacking = tx.execute(queries.LACKING, {**row, "orgs": dealer["orgs"]}).fetchall() if spare else []
    ways = find_ways(tx, row["tenant_id"], spare, [row, *lacking], CURRENCY)
    considered += [
        {
            "source": one["site_id"],
            "units": one["units"],
            "cost_minor": ways.shown_minor(one["site_id"], row["site_id"]),
        }
        for one in spare
    ]
    buyer = catalogue.buyer_of(tx, row["tenant_id"], dealer["org_id"], CURRENCY)
    if spare:
        sources = cheapest(row, spare, lacking, ways, unit_price(tx, row, buyer, now), planner)
        if sum(sources.values()) >= row["units"]:
            return _transfer(tx, row, sources, considered)
    return _order(tx, row, buyer, considered, now, planner)


def _require_leave(tx: Connection, row: Row, now: datetime) -> None:
    """Raise BlockedError where a policy may not order by itself: it cools down, or people said no the last time."""
    last = tx.execute(queries.LAST_ORDERED, row).fetchone()
    assert last is not None
    if last["at"] is not None and now < last["at"] + timedelta(seconds=row["cooldown_s"]):
        msg = f"cools down: the last one was at {last['at']:%Y-%m-%d %H:%M} UTC"
        raise BlockedError(msg)
    if last["state_before"] == ProposalState.REJECTED:
        msg = "the last one was turned down or its order cancelled: approve this one to order again"
        raise BlockedError(msg)


def _transfer(tx: Connection, row: Row, sources: Mapping[str, int], considered: list[dict[str, Any]]) -> Way:
    """Ask the places that have the units to send them; they are held there until they leave."""
    tenant_id, site, sku = row["tenant_id"], row["site_id"], row["sku"]
    # All at once and in order: another worker may be asking the same places for another store.
    hold(tx, tenant_id, [(place, sku) for place in sources])
    for source, units in sorted(sources.items()):
        if reserving.promisable(tx, tenant_id, source, [sku])[sku] < units:
            msg = f"{source} has no longer {units} units of {sku} that are promised to nobody"
            raise BlockedError(msg)
        wish = transferring.Wish(
            origin=source,
            destination=site,
            units={sku: units},
            reference=f"proposal of cycle {row['cycle']}",
            proposal_id=row["proposal_id"],
        )
        if transferring.ask(tx, transferring.Hand(tenant_id), wish) is None:
            msg = "there is a transfer for this proposal already"
            raise BlockedError(msg)
    names = " and ".join(sorted(sources))
    verb = "has" if len(sources) == 1 else "have"
    return Way("transfer", f"{names} {verb} the units", row["units"], ",".join(sorted(sources)), considered=considered)


def _order(
    tx: Connection, row: Row, buyer: Buyer, considered: list[dict[str, Any]], now: datetime, planner: Planner
) -> Way:
    tenant_id, org_id = row["tenant_id"], buyer.orgs[0]
    wanted, price_minor, beyond = packs_to_order(tx, row, buyer, now, planner)
    try:
        warehouse = choose_warehouse(tx, tenant_id, buyer, None)
        priced = price_lines(tx, tenant_id, buyer, [wanted], now)
    except InputError as error:
        raise BlockedError(f"{row['sku']} {error}") from error
    order_id = new_key()
    values = {
        "tenant_id": tenant_id,
        "order_id": order_id,
        "org_id": org_id,
        "ship_from": warehouse,
        "ship_to": row["site_id"],
        "currency": CURRENCY,
        "reference": f"proposal of cycle {row['cycle']}",
        "proposal_id": row["proposal_id"],
        "user_id": None,
    }
    if tx.execute(order_queries.INSERT_ORDER, values).fetchone() is None:
        msg = "there is an order for this proposal already"
        raise BlockedError(msg)
    write_lines(tx, tenant_id, order_id, priced.lines, priced.totals)
    try:
        state = ordering.submit(tx, Actor(tenant_id, "platform"), order_id, 1, now)
    except (ApiError, InputError) as error:
        raise BlockedError(str(error)) from error
    units = wanted.packs * priced.lines[0].factor
    weighed = [*considered, {"source": warehouse, "units": units, "cost_minor": price_minor}]
    note = f"{wanted.packs} {wanted.uom} for {org_id}: {state}{beyond}"
    return Way("order", note, units, warehouse, order_id, weighed)


def _keep(tx: Connection, row: Row, way: Way, now: datetime, retry_at: datetime | None) -> None:
    tx.execute(
        queries.KEEP_FLOW,
        {
            "tenant_id": row["tenant_id"],
            "proposal_id": row["proposal_id"],
            "outcome": way.outcome,
            "note": way.note,
            "units": way.units,
            "order_id": way.order_id,
            "source": way.source,
            "now": now,
            "retry_at": retry_at,
            "considered": Jsonb(way.considered),
        },
    )


def _set_state(tx: Connection, row: Row, state: ProposalState, now: datetime) -> None:
    key = {"tenant_id": row["tenant_id"], "proposal_id": row["proposal_id"], "state": state, "now": now}
    if tx.execute(queries.SET_STATE, key).rowcount:
        notify_live(tx, LiveNotice(row["tenant_id"], [row["site_id"]], proposals=1))
