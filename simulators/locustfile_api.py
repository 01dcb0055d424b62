"""Locust over the API: people who look at their stores.

    SHELFPULSE_TOKEN=spk_… locust -f simulators/locustfile_api.py --headless -u 20 -r 5 -t 60s --host http://127.0.0.1:8000

Without --host (or SHELFPULSE_API_URL) and SHELFPULSE_TOKEN those of the running stack are used.
"""

from itertools import count
from random import Random
from typing import Any, Final

from locust import HttpUser, between, task
from locust.env import Environment

from simulators import settings

SERIES_MAX: Final = 100
OK: Final = 200

_seeds = count()


class Viewer(HttpUser):
    """Reads what the pages read, most of it live: positions and events, then readings of one series."""

    wait_time = between(0.5, 2.0)

    def __init__(self, environment: Environment) -> None:
        # --host wins; locust wants an address before it makes the session.
        type(self).host = environment.host or settings.api_url()
        super().__init__(environment)  # type: ignore[no-untyped-call]  # locust's constructor has no types

    def on_start(self) -> None:
        """Sign in with a key, and find the series that this user looks at."""
        self.client.headers["Authorization"] = f"Bearer {settings.api_token()}"
        self._rng = Random(next(_seeds))
        self._series = self._items("/v1/series", {"limit": SERIES_MAX})

    @task(6)
    def positions(self) -> None:
        """Stock on the shelves."""
        self._items("/v1/shelf-positions")

    @task(4)
    def events(self) -> None:
        """What sold."""
        self._items("/v1/events")

    @task(3)
    def anomalies(self) -> None:
        """What is wrong."""
        self._items("/v1/anomalies")

    @task(2)
    def proposals(self) -> None:
        """What to order."""
        self._items("/v1/proposals")

    @task(1)
    def sites(self) -> None:
        """Where the gateways are."""
        self._items("/v1/sites")
        self._items("/v1/gateways")

    @task(3)
    def readings(self) -> None:
        """The last hour of one series."""
        if self._series:
            series = self._rng.choice(self._series)
            self._items("/v1/readings", {"series_id": series["id"]}, name="/v1/readings?series_id=…")

    def _items(
        self, path: str, params: dict[str, Any] | None = None, *, name: str | None = None
    ) -> list[dict[str, Any]]:
        with self.client.get(path, params=params, name=name or path, catch_response=True) as response:
            if response.status_code != OK:
                response.failure(f"{response.status_code}: {response.text[:200]}")
                return []
            try:
                items: list[dict[str, Any]] = response.json()["items"]
            except (ValueError, KeyError, TypeError) as error:
                response.failure(f"no items: {error}")
                return []
            return items
