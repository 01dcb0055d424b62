"""Commands that ask the running platform over its API, as any script could: lists, and a live tail."""

import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from contracts.errors import UserError
from deploy.local.discovery import find_stack

URL_VARIABLE: Final = "SHELFPULSE_API_URL"
KEY_VARIABLE: Final = "SHELFPULSE_API_KEY"
PAGE: Final = 500
TIMEOUT_S: Final = 20.0
SEEN_MAX: Final = 10_000
RECONNECT_S: Final = 2.0

COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "anomalies": ("detected", "kind", "site", "place", "severity", "state"),
    "events": ("time", "site", "slot", "sku", "kind", "units", "on_shelf"),
    "proposals": ("created", "site", "sku", "units", "state"),
    "orders": ("number", "created", "org", "ship_to", "total", "state", "reference"),
    "forecasts": ("day", "site", "sku", "method", "mean", "q50", "q80", "q95"),
    "forecast-accuracy": ("site", "sku", "method", "chosen", "days", "rmsse", "bias", "pinball"),
}
TAILED: Final = ("anomalies", "events", "proposals")
"""What ``tail`` follows: the lists whose items happen once, at a site."""
_PLACES: Final = ("series", "slot", "device", "gateway")


@dataclass(frozen=True)
class Access:
    """Where the API is, and the key to it."""

    url: str
    key: str

    def client(self) -> httpx.Client:
        """A client that presents the key."""
        # Nothing but the API itself: a proxy of the environment does not know loopback.
        return httpx.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {self.key}"}, timeout=TIMEOUT_S, trust_env=False
        )


def find_api(state: Path | None, environ: Mapping[str, str]) -> Access:
    """The API that the environment names, else the running stack's. Raises UserError."""
    url, key = environ.get(URL_VARIABLE), environ.get(KEY_VARIABLE)
    if not (url and key):
        info = find_stack(state)
        url, key = url or info.api_url, key or info.api_key
    if not key:
        message = "no API key: the stack was started without a demo"
        raise UserError(message, f"make one with `shelfpulse api keys add`, and set {KEY_VARIABLE}")
    return Access(url, key)


def show(what: str, limit: int, access: Access, *, as_json: bool) -> None:
    """Print a list, the newest first: a JSON array, or a table. Raises UserError."""
    with access.client() as client:
        items = list(_items(client, what, limit))
    if as_json:
        sys.stdout.write(msgspec.json.encode(items).decode() + "\n")
        return
    table = Table(*COLUMNS[what])
    for item in items:
        table.add_row(*(escape(str(_cell(item, column))) for column in COLUMNS[what]))
    Console().print(table)


def tail(access: Access, site: str | None, *, as_json: bool) -> None:
    """Print what is committed from now on, a line each, until interrupted. Raises UserError for a refused key."""
    printed = _Printed(site, as_json=as_json)
    with access.client() as client:
        printed.skip(client)
        while True:
            try:
                for _ in _deltas(client):
                    printed.print_new(client)
            except httpx.TransportError as error:
                sys.stderr.write(f"connection lost ({error}), trying again\n")
            # The API is being restarted: it tells its viewers to come back.
            time.sleep(RECONNECT_S)


class _Printed:
    """What was printed already."""

    def __init__(self, site: str | None, *, as_json: bool) -> None:
        self._site = site
        self._as_json = as_json
        self._seen = {what: deque[str](maxlen=SEEN_MAX) for what in TAILED}

    def skip(self, client: httpx.Client) -> None:
        """What is there already is no news."""
        for what, seen in self._seen.items():
            seen.extend(item["id"] for item in _items(client, what, PAGE, self._site))

    def print_new(self, client: httpx.Client) -> None:
        """Print what was not there, the oldest first."""
        for what, seen in self._seen.items():
            known = set(seen)
            fresh = [item for item in _items(client, what, PAGE, self._site) if item["id"] not in known]
            for item in reversed(fresh):
                seen.append(item["id"])
                sys.stdout.write(self._line(what, item))
        sys.stdout.flush()

    def _line(self, what: str, item: Mapping[str, Any]) -> str:
        if self._as_json:
            return msgspec.json.encode({"what": what.removesuffix("s"), **item}).decode() + "\n"
        return "  ".join([f"{what:9}", *(str(_cell(item, column)) for column in COLUMNS[what])]) + "\n"


def _items(client: httpx.Client, what: str, limit: int, site: str | None = None) -> Iterator[dict[str, Any]]:
    parameters: dict[str, str | int] = {} if site is None else {"site": site}
    left = limit
    while left > 0:
        answer = _get(client, f"/v1/{what}", parameters | {"limit": min(left, PAGE)})
        yield from answer["items"]
        left -= len(answer["items"])
        if answer["next"] is None:
            return
        parameters["cursor"] = answer["next"]


def _get(client: httpx.Client, path: str, parameters: Mapping[str, str | int]) -> dict[str, Any]:
    try:
        response = client.get(path, params=parameters)
    except httpx.TransportError as error:
        message = f"the API at {client.base_url} cannot be reached: {error}"
        raise UserError(message, "is the stack running?", code=1) from error
    if response.is_error:
        detail = response.json().get("detail", "") if "json" in response.headers.get("content-type", "") else ""
        message = f"the API says {response.status_code} {detail or response.reason_phrase}"
        raise UserError(message, code=1)
    answer: dict[str, Any] = response.json()
    return answer


def _deltas(client: httpx.Client) -> Iterator[None]:
    """Yields whenever the live stream says that something changed."""
    timeout = httpx.Timeout(TIMEOUT_S, read=60.0)
    with client.stream("GET", "/v1/live", timeout=timeout) as response:
        if response.is_error:
            message = f"the API says {response.status_code} {response.reason_phrase}"
            raise UserError(message, code=1)
        for line in response.iter_lines():
            if line in {"event: delta", "event: reset"}:
                yield


def _cell(item: Mapping[str, Any], column: str) -> Any:
    if column == "place":
        return next((item[name] for name in _PLACES if name in item), "")
    value = item[column]
    if isinstance(value, dict):
        return f"{value['amount']} {value['currency']}"
    return "" if value is None else value
