"""What the demo's people do at their desks: each act through the service that the API calls, at a time of old."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from deploy.demo import market
from deploy.demo.channel import queries
from deploy.demo.channel.pictures import signature
from platform_api.catalogue.pricing import Wanted
from platform_api.finance import service as finance
from platform_api.flows import confirming, delivering, ordering, returning, shipping
from platform_api.kit.db import Connection
from platform_api.logistics import queries as logistics
from platform_api.logistics.proofs import Proof
from platform_api.orders.return_rules import Fate, ReturnAction
from platform_api.orders.service import Actor, lock_order, read_lines
from platform_api.orders.totals import WHOLE, Discount
from platform_api.stock import moving
from platform_api.stock.ledger import Move, post
from platform_api.stock.rules import MoveKind
from platform_api.stock.valuing import Leg

TENANT: Final = market.TENANT
CURRENCY: Final = "CNY"
HQ: Final = "hq@demo"
OPS: Final = "ops@demo"
SOURCE: Final = "demo"
NO_COSTS: Final[Mapping[str, int]] = {}
SIGNATURE: Final = signature()
BUYERS: Final = {"dealer-east": "dealer.east@demo", "dealer-north": "dealer.north@demo"}


@dataclass(frozen=True, slots=True)
class Desk:
    """A transaction in which the tenant's people act."""

    tx: Connection
    people: Mapping[str, UUID]

    def at(self, when: datetime) -> datetime:
        """Let the books write this time from here on, until the transaction ends."""
        self.tx.execute(queries.TRAVEL, {"at": when.isoformat()})
        return when

    def actor(self, login: str) -> Actor:
        """One of the people."""
        return Actor(TENANT, login, self.people[login])

    def free(self, location: str) -> dict[str, int]:
        """Units by SKU that lie at a place and are promised to nobody."""
        rows = self.tx.execute(queries.FREE, {"tenant_id": TENANT, "location": location})
        return {row["sku"]: row["free"] for row in rows}

    # ------------------------------------------------------------ orders

    def fill(self, org: str, ship_to: str, packs: Mapping[str, int], when: datetime, reference: str = "") -> UUID:
        """A draft of cases by SKU."""
        self.at(when)
        cart = ordering.Cart(
            org=org,
            ship_to=ship_to,
            ship_from=None,
            currency=CURRENCY,
            reference=reference,
            wanted=[Wanted(sku, "case", count) for sku, count in packs.items()],
        )
        return ordering.fill(self.tx, self.actor(BUYERS[org]), cart, None, when)

    def discount(self, order_id: UUID, basis_points: int, reason: str, when: datetime) -> None:
        """Take a share off a draft."""
        given = {WHOLE: Discount(basis_points, reason)}
        ordering.discount(self.tx, self.actor(OPS), order_id, self._version(order_id), given, self.at(when))

    def submit(self, order_id: UUID, login: str, when: datetime) -> str:
        """Order what is in a cart; the state that follows."""
        return ordering.submit(self.tx, self.actor(login), order_id, self._version(order_id), self.at(when))

    def approve(self, order_id: UUID, when: datetime) -> None:
        """Approve an order that waits for it; one beyond the dealer's credit by headquarters."""
        self.at(when)
        state = lock_order(self.tx, self.actor(OPS), order_id)["state"]
        if state == "submitted":
            ordering.approve(self.tx, self.actor(OPS), order_id, self._version(order_id))
        elif state == "credit_hold":
            ordering.override(self.tx, self.actor(HQ), order_id, self._version(order_id), "pays by the end of the week")

    def ship(self, order_id: UUID, tracking: str, when: datetime, units: Mapping[int, int] | None = None) -> UUID:
        """Send what is held, with the own vans, which tell where they are."""
        self.at(when)
        wanted = shipping.Dispatch(units=units, carrier="van", tracking_no=tracking, eta=None)
        return shipping.dispatch(self.tx, self.actor(OPS), order_id, self._version(order_id), wanted, when)

    def held(self, order_id: UUID, lines: int) -> dict[int, int]:
        """Units that are held for the first ``lines`` of an order, by line."""
        rows = read_lines(self.tx, TENANT, order_id)
        return {row["line_no"]: row["reserved_units"] for row in rows[:lines] if row["reserved_units"]}

    def less_some(self, shipment_id: UUID) -> dict[int, int]:
        """What is left of a shipment's first line when some of it was crushed."""
        line = self._shipment(shipment_id)["lines"][0]
        return {line["line"]: line["units"] - 3}

    def sign(self, shipment_id: UUID, signer: tuple[str, str], when: datetime, short: Mapping[int, int]) -> None:
        """Take a shipment at the door, ``signer`` being login and name; of lines in ``short`` no more than told."""
        self.at(when)
        lines = self._shipment(shipment_id)["lines"]
        accepted = {line["line"]: short.get(line["line"], line["units"]) for line in lines}
        note = "破损三件 three units were crushed" if short else ""
        proof = Proof(signer=signer[1], at=when, accepted=accepted, signature=SIGNATURE, note=note)
        delivering.deliver(self.tx, self.actor(signer[0]), shipment_id, proof, when)

    def drive(self, when: datetime) -> None:
        """Let vans tell where they are, and what they delivered be judged."""
        self.at(when)
        confirming.drive_simulated(self.tx, when)
        confirming.confirm_deliveries(self.tx, when)

    def send_back(self, order_id: UUID, units: Mapping[int, int], reason: str, when: datetime) -> UUID:
        """Ask to return units by line."""
        self.at(when)
        org = lock_order(self.tx, self.actor(OPS), order_id)["org_id"]
        return returning.request_return(self.tx, self.actor(BUYERS[org]), order_id, units, reason)

    def take_back(self, return_id: UUID, fates: Mapping[int, Fate], when: datetime) -> None:
        """Approve a return, and receive it."""
        self.at(when)
        returning.decide(self.tx, self.actor(OPS), return_id, 1, ReturnAction.APPROVE, "")
        returning.receive(self.tx, self.actor(OPS), return_id, 2, fates, when)

    # ------------------------------------------------------------ stock and money

    def post(
        self, kind: MoveKind, event: str, legs: Iterable[Leg], when: datetime, costs: Mapping[str, int] = NO_COSTS
    ) -> None:
        """Book a move of the demo, once; ``costs`` by SKU are of what comes from outside."""
        self.at(when)
        move = Move(
            kind=kind,
            happened_at=when,
            legs=list(legs),
            source=SOURCE,
            source_event_id=event,
            reference=f"{SOURCE}:{event}",
            told_minor=costs,
        )
        post(self.tx, TENANT, move, when)

    def transfer(self, source: str, target: str, units: dict[str, int], event: str, when: datetime) -> None:
        """Move units by SKU, first expired first."""
        legs = moving.transfer_legs(self.tx, TENANT, moving.Route(source, target, when.date()), units)
        self.post(MoveKind.TRANSFER, event, legs, when)

    def pay(self, org: str, before: datetime, reference: str, when: datetime) -> None:
        """Pay what was invoiced before a time, as far as it is not paid."""
        self.at(when)
        row = self.tx.execute(queries.OWED, {"tenant_id": TENANT, "org": org, "before": before}).fetchone()
        assert row is not None
        if row["amount_minor"] > 0:
            entry = finance.Entry(
                kind=finance.EntryKind.PAYMENT,
                amount_minor=-row["amount_minor"],
                source=f"bank:{reference}",
                reference=reference,
                user_id=self.people[HQ],
            )
            assert finance.settle(self.tx, finance.Debtor(TENANT, org, CURRENCY), entry), entry

    def _shipment(self, shipment_id: UUID) -> Mapping[str, Any]:
        place = {"tenant_id": TENANT, "orgs": None, "shipment_id": shipment_id}
        (row,) = self.tx.execute(logistics.SHIPMENT, place).fetchall()
        return row

    def _version(self, order_id: UUID) -> int:
        return int(lock_order(self.tx, self.actor(OPS), order_id)["version"])
