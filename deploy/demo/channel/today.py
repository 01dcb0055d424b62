"""What lies on the desks of the demo's people now: carts, orders in each state, returns, proposals, refills, counts."""

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from deploy.demo import market
from deploy.demo.channel import queries
from deploy.demo.channel.assortment import BRAND_WAREHOUSE, BY_SKU, WAREHOUSES
from deploy.demo.channel.desk import BUYERS, OPS, TENANT, Desk
from deploy.demo.channel.history import stores_of
from deploy.demo.channel.proposing import candidates, propose, week_of
from deploy.demo.channel.turns import Script, in_turn
from platform_api.flows import returning
from platform_api.kit.keys import new_key
from platform_api.orders.return_rules import ReturnAction
from platform_api.replenishment import refill_queries
from platform_api.stock import counting_queries

WEEKEND: Final = "周末补货 for the weekend"
EAST, NORTH = BUYERS["dealer-east"], BUYERS["dealer-north"]
HOUR: Final = timedelta(hours=1)
PROPOSALS_EACH: Final = 3
COUNTED: Final = ("crisps-75", "wafers-120", "jelly-200")


def lay_out(desk: Desk, now: datetime) -> None:
    """Put today's work on the desks; nothing where it lies there already."""
    if desk.tx.execute(queries.TODAY, {"tenant_id": TENANT, "reference": WEEKEND}).fetchone():
        return
    parties = (_cart, _scarce, _split, _rolling, _asked, _beyond_credit, _deliver_to_shelves, _counts, _proposals)
    in_turn(party(desk, now) for party in parties)


def _cart(desk: Desk, now: datetime) -> Script:
    yield now - HOUR
    packs = {"cola-330": 12, "crisps-75": 4, "tea-milk-450": 6}
    desk.fill("dealer-east", WAREHOUSES["dealer-east"], packs, now - HOUR, WEEKEND)


def _scarce(desk: Desk, now: datetime) -> Script:
    """More than the brand has: part of it waits."""
    yield now - 20 * HOUR
    scarce = desk.free(BRAND_WAREHOUSE).get("nuts-mixed-150", 0) // BY_SKU["nuts-mixed-150"].pack_units + 5
    packs = {"nuts-mixed-150": scarce, "cola-2000": 8}
    waiting = desk.fill(
        "dealer-east", WAREHOUSES["dealer-east"], packs, now - 20 * HOUR, "坚果促销 nuts promotion"
    )  # fmt: skip
    yield now - 19 * HOUR
    desk.submit(waiting, EAST, now - 19 * HOUR)


def _split(desk: Desk, now: datetime) -> Script:
    """In two shipments, of which the first has come, and something of it shall go back."""
    yield now - 50 * HOUR
    packs = {"milk-1000": 6, "yogurt-200": 8}
    split = desk.fill("dealer-east", WAREHOUSES["dealer-east"], packs, now - 50 * HOUR)
    yield now - 49 * HOUR
    desk.submit(split, EAST, now - 49 * HOUR)
    yield now - 30 * HOUR
    first = desk.ship(split, "E-TODAY-1", now - 30 * HOUR, desk.held(split, 1))
    yield now - 29 * HOUR
    desk.drive(now - 29 * HOUR)
    yield now - 6 * HOUR
    desk.sign(first, (EAST, "李建国 Li Jianguo"), now - 6 * HOUR, {})
    yield now - 5 * HOUR
    desk.send_back(split, {1: 12}, "临期 close to its date", now - 5 * HOUR)


def _rolling(desk: Desk, now: datetime) -> Script:
    yield now - 28 * HOUR
    packs = {"tea-lemon-500": 5, "water-330": 6}
    rolling = desk.fill("dealer-north", WAREHOUSES["dealer-north"], packs, now - 28 * HOUR)
    yield now - 27 * HOUR
    desk.submit(rolling, NORTH, now - 27 * HOUR)
    yield now - 26 * HOUR
    desk.approve(rolling, now - 26 * HOUR)
    yield now - HOUR / 6
    desk.ship(rolling, "N-TODAY-1", now - HOUR / 6)


def _asked(desk: Desk, now: datetime) -> Script:
    yield now - 4 * HOUR
    packs = {"energy-zero-250": 4, "walnut-240": 5}
    asked = desk.fill("dealer-north", WAREHOUSES["dealer-north"], packs, now - 4 * HOUR)
    yield now - 3 * HOUR
    desk.submit(asked, NORTH, now - 3 * HOUR)


def _beyond_credit(desk: Desk, now: datetime) -> Script:
    """Headquarters decides."""
    yield now - 2 * HOUR
    packs = {"coffee-drip-80": 500}
    large = desk.fill(
        "dealer-north", WAREHOUSES["dealer-north"], packs, now - 2 * HOUR, "节前备货 holiday stock"
    )  # fmt: skip
    yield now - HOUR
    state = desk.submit(large, NORTH, now - HOUR)
    assert state == "credit_hold", state


def _deliver_to_shelves(desk: Desk, now: datetime) -> Script:
    """Goods that came to a store this morning and shall lie on its shelves."""
    site = market.STORES[1].site
    yield now - 27 * HOUR
    order_id = desk.fill("dealer-east", site, {"cola-330": 1, "milk-250": 1, "yogurt-200": 1}, now - 27 * HOUR)
    yield now - 26 * HOUR
    desk.submit(order_id, EAST, now - 26 * HOUR)
    yield now - 8 * HOUR
    shipment = desk.ship(order_id, "E-TODAY-2", now - 8 * HOUR)
    yield now - 7 * HOUR
    desk.drive(now - 7 * HOUR)
    yield now - 2 * HOUR
    desk.sign(shipment, ("store.shanghai@demo", "孙丽 Sun Li"), now - 2 * HOUR, {})
    yield now - HOUR
    _cancel_one(desk, shipment, now - HOUR)
    back = desk.send_back(order_id, {1: 6}, "订错 ordered by mistake", now - HOUR)
    yield now - HOUR / 2
    desk.at(now - HOUR / 2)
    returning.decide(desk.tx, desk.actor(OPS), back, 1, ReturnAction.APPROVE, "")


def _proposals(desk: Desk, now: datetime) -> Script:
    yield now - HOUR / 2
    for org in WAREHOUSES:
        for _, place, sku in _spread(candidates(desk, org, stores_of(org)), PROPOSALS_EACH):
            propose(desk, place, sku, 2 * week_of(sku), now - HOUR / 2)


def _cancel_one(desk: Desk, shipment_id: UUID, when: datetime) -> None:
    """One of the refills that the shipment asked for is not to be, where shelves count the articles."""
    desk.at(when)
    place = {"tenant_id": TENANT, "sites": None, "site": None, "states": ["open"], "after": None, "limit": 50}
    rows = desk.tx.execute(refill_queries.REFILLS, place).fetchall()
    for row in rows[:1]:
        assert row["source_id"] == shipment_id
        desk.tx.execute(
            refill_queries.CANCEL, {"tenant_id": TENANT, "refill_id": row["refill_id"], "login": "store.shanghai@demo"}
        )


def _spread(found: list[tuple[int, int, str]], count: int) -> list[tuple[int, int, str]]:
    """Some of the scarcest, of different articles and stores in turn."""
    chosen: list[tuple[int, int, str]] = []
    for one in found:
        if one[2] not in {other[2] for other in chosen} and len(chosen) < count:
            chosen.append(one)
    return chosen


def _counts(desk: Desk, now: datetime) -> Script:
    """A blind count that is asked for, and one that waits to be booked with its difference."""
    yield now - 3 * HOUR
    for place, is_counted in ((3, False), (0, True)):
        site, when = market.STORES[place].site, desk.at(now - 3 * HOUR)
        key = {"tenant_id": TENANT, "count_id": new_key(), "location": site, "user_id": desk.people[OPS]}
        desk.tx.execute(counting_queries.INSERT_COUNT, {**key, "reason": "月度盘点 monthly count"})
        free = desk.free(site)
        for number, sku in enumerate(COUNTED):
            desk.tx.execute(counting_queries.INSERT_LINE, {**key, "sku": sku})
            if is_counted:
                found = {"sku": sku, "counted": max(0, free.get(sku, 0) - number)}
                reason = {"reason": "破损 damaged" if number else ""}
                desk.tx.execute(counting_queries.WRITE_LINE, {**key, **found, **reason})
        if is_counted:
            desk.tx.execute(counting_queries.SUBMIT, {**key, "now": when + HOUR})
