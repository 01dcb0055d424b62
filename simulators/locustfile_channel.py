"""Locust over the API's channel part: dealers who read their shop and order, and operations who look at the shelves.

    SHELFPULSE_TOKEN=spk_… SHELFPULSE_BUYER_TOKENS="spk_… spk_…" \
        locust -f simulators/locustfile_channel.py --headless -u 100 -r 50 -t 60s --host http://127.0.0.1:8000

About four in five requests read. `shelfpulse bench api` makes a market and runs this on it.
"""

import os
from itertools import count
from random import Random
from typing import Any, Final
from uuid import uuid4

from locust import HttpUser, between, task
from locust.env import Environment

from simulators import settings

OK: Final = (200, 201)
PACKS_MAX: Final = 3
LINES_MAX: Final = 4

_buyers = count()
_lookers = count()


class _Person(HttpUser):
    abstract = True
    wait_time = between(1.0, 3.0)

    def __init__(self, environment: Environment) -> None:
        # --host wins; locust wants an address before it makes the session.
        type(self).host = environment.host or settings.api_url()
        super().__init__(environment)  # type: ignore[no-untyped-call]  # locust's constructor has no types

    def ask(self, path: str, *, name: str | None = None, **parameters: Any) -> Any:
        """The JSON of an answer, None of one that is none."""
        return self._send("GET", path, name or path, params=parameters)

    def tell(self, path: str, body: Any, *, name: str, version: int | None = None) -> Any:
        """Send something new, or a step of what there is in ``version``."""
        headers = {"Idempotency-Key": str(uuid4())} if version is None else {"If-Match": f'"{version}"'}
        return self._send("POST", path, name, json=body, headers=headers)

    def _send(self, method: str, path: str, name: str, **more: Any) -> Any:
        with self.client.request(method, path, name=f"{method} {name}", catch_response=True, **more) as response:
            if response.status_code not in OK:
                response.failure(f"{response.status_code}: {response.text[:200]}")
                return None
            return response.json()


class Buyer(_Person):
    """Of a dealer: reads catalogue, stock and orders; asks for quotes; orders, and cancels so that stock remains."""

    weight = 3

    def on_start(self) -> None:
        """Sign in with one of the keys, and see what there is and where it may go."""
        number = next(_buyers)
        tokens = os.environ["SHELFPULSE_BUYER_TOKENS"].split()
        self.client.headers["Authorization"] = f"Bearer {tokens[number % len(tokens)]}"
        self._rng = Random(number)
        self._catalogue = (self.ask("/v1/catalogue", limit=100) or {"items": []})["items"]
        self._sites = (self.ask("/v1/sites") or {"items": []})["items"]

    @task(5)
    def catalogue(self) -> None:
        """What may be ordered, and for how much."""
        self.ask("/v1/catalogue", limit=20)

    @task(5)
    def orders(self) -> None:
        """The newest orders, and one of them with its lines."""
        listed = self.ask("/v1/orders", limit=10)
        if listed and listed["items"]:
            one = self._rng.choice(listed["items"])
            self.ask(f"/v1/orders/{one['id']}", name="/v1/orders/…")

    @task(3)
    def stock(self) -> None:
        """What is where."""
        self.ask("/v1/stock", limit=50)

    @task(2)
    def receivables(self) -> None:
        """What is owed."""
        self.ask("/v1/credit-accounts")
        self.ask("/v1/receivables", limit=20)

    @task(2)
    def proposals(self) -> None:
        """What a shelf would have."""
        self.ask("/v1/proposals")

    @task(3)
    def quote(self) -> None:
        """What a cart would cost."""
        if self._catalogue and self._sites:
            self.tell("/v1/quotes", self._cart(), name="/v1/quotes")

    @task(2)
    def order(self) -> None:
        """A cart, submitted, and cancelled."""
        if not (self._catalogue and self._sites):
            return
        made = self.tell("/v1/orders", self._cart(), name="/v1/orders")
        for action, body in (("submit", None), ("cancel", {"reason": "a benchmark"})):
            if made is not None:
                path = f"/v1/orders/{made['id']}:{action}"
                made = self.tell(path, body, name=f"/v1/orders/…:{action}", version=made["version"])

    def _cart(self) -> dict[str, Any]:
        chosen = self._rng.sample(self._catalogue, min(len(self._catalogue), self._rng.randint(1, LINES_MAX)))
        lines = [{"sku": one["sku"], "packs": self._rng.randint(1, PACKS_MAX)} for one in chosen]
        return {"ship_to": self._rng.choice(self._sites)["id"], "lines": lines}


class Looker(_Person):
    """Of operations: what the shelves say, most of it live."""

    weight = 1

    def on_start(self) -> None:
        """Sign in with one of the keys."""
        tokens = settings.api_token().split()
        self.client.headers["Authorization"] = f"Bearer {tokens[next(_lookers) % len(tokens)]}"

    @task(4)
    def positions(self) -> None:
        """Stock on the shelves."""
        self.ask("/v1/shelf-positions")

    @task(3)
    def wall(self) -> None:
        """The wall's numbers."""
        self.ask("/v1/live/wall")

    @task(3)
    def events(self) -> None:
        """What sold."""
        self.ask("/v1/events")

    @task(2)
    def anomalies(self) -> None:
        """What is wrong."""
        self.ask("/v1/anomalies")

    @task(1)
    def gateways(self) -> None:
        """What is online."""
        self.ask("/v1/gateways")
