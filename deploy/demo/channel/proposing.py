"""Proposals of the demo: what the stream would have proposed, decided by people and fulfilled by the platform."""

from datetime import datetime, timedelta
from uuid import UUID, uuid5

from psycopg.types.json import Jsonb

from contracts.facts import ProposalState
from deploy.demo import market
from deploy.demo.channel import queries
from deploy.demo.channel.assortment import BY_SKU, ON_SHELVES, WAREHOUSES, listed
from deploy.demo.channel.desk import BUYERS, TENANT, Desk
from deploy.demo.channel.turns import Script
from deploy.planning import PLANNER
from platform_api.flows import replenishing
from platform_api.replenishment import queries as replenishment
from stream.queries import PROPOSAL

NAMESPACE = UUID("6f3a0c52-5b0e-5d6e-9c2f-0f6a1d8b7e11")


def propose(desk: Desk, place: int, sku: str, units: int, when: datetime) -> UUID:
    """A proposal for a store, as the stream writes it, and its id. ``units`` lack at its target."""
    site, week = market.STORES[place].site, week_of(sku)
    desk.at(when)
    row = desk.tx.execute(queries.CYCLE, {"tenant_id": TENANT, "site": site, "sku": sku}).fetchone()
    assert row is not None
    on_hand = min(week // 2, desk.free(site).get(sku, 0))
    evidence = {"on_hand": on_hand, "on_order": 0, "reorder_point": week // 2, "target": on_hand + units}
    proposal_id = uuid5(NAMESPACE, f"{site}/{sku}/{row['cycle']}")
    desk.tx.execute(PROPOSAL, (proposal_id, TENANT, site, sku, row["cycle"], units, Jsonb(evidence), when))
    return proposal_id


def week_of(sku: str) -> int:
    """Units that a store sells in a week, about."""
    return max(4, round(7 * BY_SKU[sku].popularity))


def decide(desk: Desk, proposal_id: UUID, state: ProposalState, when: datetime) -> None:
    """Approve or reject an open proposal."""
    desk.at(when)
    key = {"tenant_id": TENANT, "proposal_id": proposal_id, "version": 1, "state": state}
    desk.tx.execute(replenishment.DECIDE, key)


def candidates(desk: Desk, org: str, stores: list[int]) -> list[tuple[int, int, str]]:
    """Articles that no shelf counts, as (units free at the dealer's, store, SKU), the scarcest first."""
    free = desk.free(WAREHOUSES[org])
    found = []
    for place in stores:
        key = {"tenant_id": TENANT, "site": market.STORES[place].site}
        live = {row["sku"] for row in desk.tx.execute(queries.LIVE_PROPOSALS, key)}
        found += [
            (free.get(one.sku, 0), place, one.sku)
            for one in listed(place)
            if one.sku not in ON_SHELVES and one.sku not in live
        ]
    return sorted(found)


def turn_down(desk: Desk, org: str, stores: list[int], when: datetime) -> Script:
    """A proposal that the dealer does not want."""
    yield when
    _, place, sku = candidates(desk, org, stores)[0]
    proposal_id = propose(desk, place, sku, 2 * week_of(sku), when)
    yield when + timedelta(hours=1)
    decide(desk, proposal_id, ProposalState.REJECTED, when + timedelta(hours=1))


def order_and_receive(desk: Desk, org: str, stores: list[int], tracking: str, when: datetime) -> Script:
    """A proposal for a promotion, of more than the dealer has anywhere: it becomes an order, and is delivered."""
    yield when
    _, place, sku = candidates(desk, org, stores)[0]
    places = [WAREHOUSES[org], *(market.STORES[one].site for one in stores)]
    spare = sum(desk.free(one).get(sku, 0) for one in places)
    proposal_id = propose(desk, place, sku, spare + BY_SKU[sku].pack_units, when)
    yield when + timedelta(hours=1)
    decide(desk, proposal_id, ProposalState.APPROVED, when + timedelta(hours=1))
    yield when + timedelta(hours=2)
    replenishing.fulfil_proposals(desk.tx, desk.at(when + timedelta(hours=2)), PLANNER)
    flow = desk.tx.execute(queries.ORDER_OF_PROPOSAL, {"tenant_id": TENANT, "proposal_id": proposal_id}).fetchone()
    if flow is None or flow["order_id"] is None:
        return  # nobody sells it, or there is no credit: it waits
    yield when + timedelta(hours=3)
    desk.approve(flow["order_id"], when + timedelta(hours=3))
    if desk.held(flow["order_id"], 1):
        yield when + timedelta(hours=20)
        shipment = desk.ship(flow["order_id"], tracking, when + timedelta(hours=20))
        yield when + timedelta(hours=22)
        desk.drive(when + timedelta(hours=22))
        yield when + timedelta(hours=30)
        desk.sign(shipment, (BUYERS[org], "店员 shop staff"), when + timedelta(hours=30), {})
