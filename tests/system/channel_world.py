"""A channel on a running stack for the story of a low shelf: everybody acts over HTTP, as the people would."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, Final

import httpx
import psycopg

from deploy.local.deadline import wait_until
from platform_api.imports.service import import_csv
from platform_api.kit.nouns import Kind
from platform_api.tenancy import service as tenancy
from tests.services.stacks import RunningStack

TENANT, SITE, GATEWAY, SKU = "demo", "store-01", "gw-01", "cola"
"""Those of the agent under test (tests/integration/edge/agent_process.py)."""
SOON_S: Final = 180.0
KEYS = count()
MASTER_DATA: Final = {
    Kind.ORGS: "tenant,org,parent,kind,name\ndemo,brand,,brand,Brand\ndemo,east,brand,dealer,East\n",
    Kind.SITES: (
        "tenant,site,org,kind,name\ndemo,store-01,east,store,Store\n"
        "demo,wh,brand,warehouse,Warehouse\ndemo,east-wh,east,warehouse,Dealer's own\n"
    ),
    Kind.DEVICES: "tenant,site,gateway,device,profile\ndemo,store-01,gw-01,,\ndemo,store-01,gw-01,s01,loadcell_shelf\n",
}


@dataclass(frozen=True)
class Person:
    """Somebody with an API key."""

    http: httpx.Client

    def get(self, path: str, **params: Any) -> Any:
        """What a GET answers."""
        return self._json(self.http.get(path, params=params))

    def items(self, path: str, **params: Any) -> list[Any]:
        """A list's items."""
        return list(self.get(path, **params)["items"])

    def put(self, path: str, body: Any, version: int | None = None) -> Any:
        """PUT; ``version`` of what is changed."""
        return self._json(self.http.put(path, json=body, headers=_match(version)))

    def post(self, path: str, body: Any = None, version: int | None = None) -> Any:
        """POST with a key of its own; ``version`` of what is acted on."""
        headers = {**_match(version), "Idempotency-Key": f"story-{next(KEYS)}"}
        return self._json(self.http.post(path, json=body, headers=headers))

    @staticmethod
    def _json(answer: httpx.Response) -> Any:
        assert answer.is_success, f"{answer.request.method} {answer.request.url.path}: {answer.text}"
        return answer.json()


@dataclass(frozen=True)
class Channel:
    """Headquarters and a dealer of the tenant."""

    hq: Person
    dealer: Person

    def shelf(self) -> int:
        """Units on all slots of the store, as its shelves see them."""
        return sum(slot["on_shelf"] or 0 for slot in self.hq.items("/v1/shelf-positions", site=SITE))

    def stock(self) -> dict[str, int]:
        """Units by location, as they are booked."""
        return {one["location"]: one["on_hand"] for one in self.hq.items("/v1/stock", limit=200)}

    def account(self) -> dict[str, str]:
        """Money of the dealer."""
        (one,) = self.hq.items("/v1/credit-accounts")
        return {name: one[name]["amount"] for name in ("receivable", "committed", "free")}

    def proposal(self) -> dict[str, Any] | None:
        """The newest proposal for the store."""
        found = self.hq.items("/v1/proposals", site=SITE, limit=1)
        return found[0] if found else None

    def receive(self, place: str, units: int) -> None:
        """Goods from the supplier."""
        line = {"sku": SKU, "units": units, "cost": {"amount": f"{3 * units}.00", "currency": "CNY"}}
        self.hq.post("/v1/receipts", {"to": place, "lines": [line]})


def open_channel(stack: RunningStack, slots: Path) -> Channel:
    """Master data by import, two people by command, everything else over HTTP."""
    with psycopg.connect(stack.info.dsn) as connection:
        tenancy.create_tenant(connection, TENANT, "Demo")
        for kind, text in MASTER_DATA.items():
            load(connection, kind, text)
        keys = {}
        for login, role, org in (("hq@demo", "hq", None), ("dealer@demo", "dealer", "east")):
            tenancy.create_user(
                connection, tenant_id=TENANT, login=login, password="correct horse battery", role=role, org_id=org
            )
            keys[role] = tenancy.create_api_key(connection, login=login, name="story")
    hq, dealer = (
        Person(httpx.Client(base_url=stack.info.api_url, headers={"Authorization": f"Bearer {keys[role]}"}, timeout=60))
        for role in ("hq", "dealer")
    )
    set_up(hq)
    with psycopg.connect(stack.info.dsn) as connection:
        load(connection, Kind.SLOTS, slots.read_text())
    policy = {"mode": "auto", "reorder_point": 8, "target": 28, "cooldown_s": 0}
    dealer.put(f"/v1/policies/{SITE}/{SKU}", policy)
    return Channel(hq, dealer)


def load(connection: psycopg.Connection, kind: Kind, text: str) -> None:
    """Import a file as `shelfpulse import` does."""
    outcome = import_csv(connection, kind, text.encode())
    assert not outcome.faults, outcome.faults


def set_up(hq: Person) -> None:
    """An article in cases of ten at 60.00 with 13 % tax, 100.00 of credit for the dealer, and a carrier."""
    cola = {"name_en": "Cola", "unit_weight_g": 352, "unit_weight_sd_g": 3, "tax_basis_points": 1300}
    hq.post("/v1/skus", {**cola, "sku": SKU, "packs": [{"uom": "case", "factor": 10}]})
    price = {"sku": SKU, "uom": "case", "price": {"amount": "60.00", "currency": "CNY"}}
    hq.post("/v1/price-lists", {"id": "all", "name": "All", "level": "default", "items": [price]})
    hq.post("/v1/price-lists/all:publish", version=1)
    hq.put("/v1/orgs/brand/entitlements", {"skus": {"*": True}})
    hq.put("/v1/orgs/east/credit", {"limit": {"amount": "100.00", "currency": "CNY"}, "auto_approve": True})
    hq.post("/v1/carriers", {"id": "van", "kind": "simulated", "name": "Our van"})


def comes(condition: Callable[[], bool], what: Callable[[], object]) -> None:
    """Wait for a condition; tell what there is when it does not come."""
    assert wait_until(condition, SOON_S), what()


def now() -> str:
    """RFC 3339 UTC."""
    return datetime.now(UTC).isoformat()


def _match(version: int | None) -> dict[str, str]:
    return {} if version is None else {"If-Match": f'"{version}"'}
