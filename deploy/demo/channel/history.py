"""Thirteen weeks of the channel, one transaction a week: a history that was stopped goes on where it was."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from deploy.demo import market
from deploy.demo.channel import assortment, queries
from deploy.demo.channel.assortment import BRAND_WAREHOUSE, BY_LOT, BY_SKU, ON_SHELVES, WAREHOUSES, listed
from deploy.demo.channel.demand import mean_units, units_sold
from deploy.demo.channel.desk import TENANT, Desk
from deploy.demo.channel.proposing import order_and_receive, turn_down
from deploy.demo.channel.turns import Script, in_turn
from platform_api.orders.return_rules import Fate
from platform_api.sales import queries as sales
from platform_api.stock import moving, till_queries, tills
from platform_api.stock.ledger import keep_lot
from platform_api.stock.rules import ADJUST, CUSTOMER, SUPPLIER, MoveKind
from platform_api.stock.valuing import Leg

WEEKS: Final = 13
RECEIPT: Final = "Z-"
"""Begins the names of the tills' daily receipts."""
DAYS: Final = 7
OPENING_DAYS: Final = 18
"""What lies in the stores when the history begins, in days of demand."""
STORE_DAYS: Final = 16
DEALER_DAYS: Final = 21
BRAND_DAYS: Final = 35
"""Up to what places are filled each week."""
TERMS: Final = {"dealer-east": timedelta(days=21), "dealer-north": timedelta(days=35)}
"""When the dealers pay."""
SIGNERS: Final = {
    "dealer-east": ("dealer.east@demo", "李建国 Li Jianguo"),
    "dealer-north": ("dealer.north@demo", "赵磊 Zhao Lei"),
}
"""Who takes the goods at the dealers' warehouses: login and name."""


@dataclass(frozen=True, slots=True)
class Week:
    """A week of the history: its place from 0 on, and its first day (UTC)."""

    number: int
    monday: date

    def at(self, day: int, hour: int) -> datetime:
        """A time of it; ``hour`` is that of China."""
        return datetime.combine(self.monday + timedelta(days=day), time(), UTC) + timedelta(hours=hour - 8)


def stores_of(org: str) -> list[int]:
    """Places in market.STORES of a dealer's stores."""
    parents = {one.org: one.parent for one in market.ORGS}
    return [place for place, store in enumerate(market.STORES) if parents[store.org] == org]


def open_books(desk: Desk, week: Week) -> None:
    """What lies where before the first week, and whose word on sales counts."""
    when = week.at(0, 0)
    for place, store in enumerate(market.STORES):
        _lay(desk, store.site, _needs([place], OPENING_DAYS), when)
    for org, warehouse in WAREHOUSES.items():
        _lay(desk, warehouse, _needs(stores_of(org), DEALER_DAYS), when)
    _name_sources(desk, week)


def play(desk: Desk, week: Week, seed: int) -> None:
    """A week: goods come, dealers order and are delivered, stores are filled, people buy, invoices are paid."""
    scripts = [_receive(desk, week)]
    for org, terms in TERMS.items():
        scripts += [_order(desk, org, week), _fill_stores(desk, org, week), _pay(desk, org, week, terms)]
        if week.number % 2:
            scripts += [turn_down(desk, org, stores_of(org), week.at(3, 9)), _order_for_a_store(desk, org, week)]
        else:
            tracking = f"P-{org[7:]}-{week.monday:%G%V}"
            scripts.append(order_and_receive(desk, org, stores_of(org), tracking, week.at(3, 9)))
    in_turn(scripts)
    lines = [line for place in range(len(market.STORES)) for line in _sell(desk, place, week, seed)]
    desk.drive(week.at(6, 23))
    # What forecasts learn from. The weeks' totals are booked, so that the lines have nothing to say to the books.
    names = ("site", "sku", "units", "sold_at", "receipt", "line")
    columns = dict(zip(names, (list(column) for column in zip(*lines, strict=True)), strict=True))
    desk.tx.execute(sales.ADD, {"tenant_id": TENANT, **columns})
    while tills.book_sales(desk.tx, week.at(DAYS, 0)):
        pass


def _needs(stores: list[int], days: int) -> dict[str, int]:
    needs: dict[str, float] = {}
    for place in stores:
        for article in listed(place):
            needs[article.sku] = needs.get(article.sku, 0) + days * mean_units(article, place, 0)
    return {sku: max(2, round(units)) for sku, units in needs.items()}


def _lay(desk: Desk, location: str, units: dict[str, int], when: datetime) -> None:
    costs = {sku: count * BY_SKU[sku].price_minor * 7 // 10 for sku, count in units.items()}
    legs = _with_lots(desk, location, units, ADJUST, when)
    desk.post(MoveKind.OPENING, f"opening-{location}", legs, when, costs)


def _with_lots(desk: Desk, location: str, units: dict[str, int], other: str, when: datetime) -> Iterator[Leg]:
    expires = when.date() + timedelta(days=assortment.SHELF_LIFE_DAYS)
    for sku, count in sorted(units.items()):
        lot = keep_lot(desk.tx, TENANT, sku, f"L{when:%y%m%d}", expires) if sku in BY_LOT else None
        yield Leg(location, sku, count, lot)
        yield Leg(other, sku, -count)


def _name_sources(desk: Desk, week: Week) -> None:
    """In the past, totals of the former system are booked; now it is the tills, or the shelves where there are."""
    for place, store in enumerate(market.STORES):
        for article in listed(place):
            now = "telemetry" if article.sku in ON_SHELVES else "pos"
            for source, since in (("orders", week.at(0, 0)), (now, week.at(DAYS * WEEKS, 0))):
                values = {"site": store.site, "sku": article.sku, "source": source, "since": since}
                desk.tx.execute(till_queries.PUT_SOURCE, {"tenant_id": TENANT, "sites": None, **values})


def _missing(desk: Desk, location: str, needs: dict[str, int], least: float = 0.6) -> dict[str, int]:
    """Units by SKU up to what is needed, of what has fallen below a share of it."""
    free = desk.free(location)
    return {sku: need - free.get(sku, 0) for sku, need in needs.items() if free.get(sku, 0) < need * least}


def _pay(desk: Desk, org: str, week: Week, terms: timedelta) -> Script:
    yield week.at(4, 17)
    desk.pay(org, week.at(4, 16) - terms, f"ICBC-{org[7:]}-{week.monday:%G%V}", week.at(4, 17))


def _receive(desk: Desk, week: Week) -> Script:
    yield week.at(0, 7)
    needs = _needs(list(range(len(market.STORES))), BRAND_DAYS)
    cases = {
        sku: (units // BY_SKU[sku].pack_units + 1) * BY_SKU[sku].pack_units
        for sku, units in _missing(desk, BRAND_WAREHOUSE, needs, 0.9).items()
    }
    if cases:
        when = week.at(0, 7)
        costs = {sku: units * assortment.cost_minor(BY_SKU[sku]) for sku, units in cases.items()}
        legs = _with_lots(desk, BRAND_WAREHOUSE, cases, SUPPLIER, when)
        desk.post(MoveKind.RECEIPT, f"receipt-{week.number}", legs, when, costs)


def _order(desk: Desk, org: str, week: Week) -> Script:
    """The dealer's weekly order: some in two shipments, some with a crushed case, some sent back in part."""
    yield week.at(0, 9)
    warehouse, number = WAREHOUSES[org], week.number
    packs = {
        sku: -(-units // BY_SKU[sku].pack_units)
        for sku, units in _missing(desk, warehouse, _needs(stores_of(org), DEALER_DAYS)).items()
    }
    if not packs:
        return
    order_id = desk.fill(org, warehouse, packs, week.at(0, 9), f"{week.monday:%G}-W{week.monday:%V}")
    if number % 4 == 1:
        yield week.at(0, 10)
        desk.discount(order_id, 200, "季度促销 quarterly promotion", week.at(0, 10))
    yield week.at(0, 11)
    desk.submit(order_id, SIGNERS[org][0], week.at(0, 11))
    yield week.at(0, 14)
    desk.approve(order_id, week.at(0, 14))
    tracking = f"{org[7:8].upper()}{week.monday:%g%V}"
    shipments = []
    yield week.at(1, 8)
    if number % 3 == 1 and (first := desk.held(order_id, len(packs) // 2)):
        shipments.append(desk.ship(order_id, f"{tracking}-1", week.at(1, 8), first))
    yield week.at(1, 15)
    shipments.append(desk.ship(order_id, f"{tracking}-2", week.at(1, 15)))
    yield week.at(1, 20)
    desk.drive(week.at(1, 20))
    for place, shipment in enumerate(shipments):
        yield week.at(2, 9 + place)
        short = desk.less_some(shipment) if number % 5 == 2 and place == 0 else {}  # noqa: PLR2004 - some weeks
        desk.sign(shipment, SIGNERS[org], week.at(2, 9 + place), short)
    if number % 4 == 2:  # noqa: PLR2004 - some weeks
        yield week.at(3, 10)
        back = desk.send_back(order_id, {1: 4}, "破损 damaged in transit", week.at(3, 10))
        yield week.at(5, 11)
        desk.take_back(back, {1: Fate(restock=1, write_off=3)}, week.at(5, 11))


def _order_for_a_store(desk: Desk, org: str, week: Week) -> Script:
    """Novelties that go to a store at once, past the dealer's warehouse."""
    yield week.at(3, 10)
    stores = stores_of(org)
    place = stores[week.number // 2 % len(stores)]
    novelties = [one.sku for one in listed(place) if one.sku not in ON_SHELVES][week.number % 5 :: 4]
    reference = f"新品 novelties {week.monday:%G-W%V}"
    order_id = desk.fill(org, market.STORES[place].site, dict.fromkeys(novelties, 1), week.at(3, 10), reference)
    yield week.at(3, 11)
    desk.submit(order_id, SIGNERS[org][0], week.at(3, 11))
    yield week.at(3, 15)
    desk.approve(order_id, week.at(3, 15))
    yield week.at(4, 9)
    shipment = desk.ship(order_id, f"S-{org[7:]}-{week.monday:%G%V}", week.at(4, 9))
    yield week.at(4, 10)
    desk.drive(week.at(4, 10))
    yield week.at(5, 10)
    desk.sign(shipment, (SIGNERS[org][0], "店长 store manager"), week.at(5, 10), {})


def _fill_stores(desk: Desk, org: str, week: Week) -> Script:
    yield week.at(2, 14)
    warehouse = WAREHOUSES[org]
    for place in stores_of(org):
        site = market.STORES[place].site
        free = desk.free(warehouse)
        missing = _missing(desk, site, _needs([place], STORE_DAYS), 0.75)
        units = {sku: min(count, free.get(sku, 0)) for sku, count in missing.items()}
        units = {sku: count for sku, count in units.items() if count > 0}
        if units:
            desk.transfer(warehouse, site, units, f"fill-{week.number}-{site}", week.at(2, 14))


def _sell(desk: Desk, place: int, week: Week, seed: int) -> list[tuple[object, ...]]:
    """Book a week's sales of a store, which had no more than the books say; the lines of its till, a receipt a day."""
    site = market.STORES[place].site
    left = desk.free(site)
    total: dict[str, int] = {}
    lines: list[tuple[object, ...]] = []
    for day in range(DAYS):
        when, date_ = week.at(day, 22), week.monday + timedelta(days=day)
        for line, (sku, wanted) in enumerate(sorted(units_sold(seed, place, week.number, date_).items()), start=1):
            units = min(wanted, left.get(sku, 0))
            if units > 0:
                left[sku] -= units
                total[sku] = total.get(sku, 0) + units
                lines.append((site, sku, units, when + timedelta(seconds=line), f"{RECEIPT}{date_:%Y%m%d}", line))
    by_lot = {sku: units for sku, units in total.items() if sku in BY_LOT}
    legs = moving.transfer_legs(desk.tx, TENANT, moving.Route(site, CUSTOMER, None), by_lot)
    rest = sorted(total.items() - by_lot.items())
    legs += [leg for sku, units in rest for leg in (Leg(site, sku, -units), Leg(CUSTOMER, sku, units))]
    desk.post(MoveKind.SALE, f"sales-{site}-{week.number}", legs, week.at(DAYS - 1, 23))
    return lines


def weeks_before(until: date) -> list[Week]:
    """The WEEKS weeks that end before a day."""
    first = until - timedelta(days=DAYS * WEEKS)
    return [Week(number, first + timedelta(days=DAYS * number)) for number in range(WEEKS)]


def weeks_of(desk: Desk, until: date) -> list[Week]:
    """The weeks that are still to be played: those before ``until``, unless a history has begun already."""
    row = desk.tx.execute(queries.PLAYED, {"tenant_id": TENANT, "receipt": f"{RECEIPT}%"}).fetchone()
    assert row is not None
    if row["first"] is None:
        return weeks_before(until)
    first = datetime.strptime(row["first"], f"{RECEIPT}%Y%m%d").replace(tzinfo=UTC).date()
    return weeks_before(first + timedelta(days=DAYS * WEEKS))[row["days"] // DAYS :]
