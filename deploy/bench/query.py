"""What a dashboard asks, over HTTP, of a database with a long past: milliseconds by query."""

import itertools
import random
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlencode

import httpx
import msgspec
import numpy as np

from deploy.bench import history
from deploy.bench.history import TENANT, History
from deploy.bench.scratch import clean_environment, scratch_database, versions
from deploy.bench.usage import describe_machine
from deploy.local.stack import Stack
from platform_api.tenancy import service as tenancy
from stream import storage

ASKERS: Final = 40
"""People who ask in turn, so that the limit of requests a person is not what is measured."""
WARM_UP_ASKS: Final = 5
"""Requests of each query that are not counted: a dashboard is not opened on a server that has just started."""
TIMEOUT_S: Final = 30.0


class Plan(NamedTuple):
    """What to run: about ``rows`` readings, ``asks`` requests of each query."""

    rows: int
    asks: int
    seed: int
    dsn: str


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One query: milliseconds from request to the last byte, and the median size of the answer."""

    p50_ms: float
    p99_ms: float
    worst_ms: float
    bytes: int


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """Outcome. ``p99_ms`` is that of the slowest query of a dashboard; ``slowest`` names it."""

    rows: int
    p50_ms: float
    p99_ms: float
    slowest: str
    queries: dict[str, Figure]
    seconds_to_fill: dict[str, float]
    database_mib: float
    errors: int
    machine: str
    versions: dict[str, str]
    tier: str
    seed: int
    seconds: float


class Question(NamedTuple):
    """A query by name; ``path`` draws one request."""

    name: str
    path: Callable[[random.Random, History], str]


def _series(span: timedelta, **more: object) -> Callable[[random.Random, History], str]:
    def draw(chance: random.Random, past: History) -> str:
        end = past.end - chance.random() * max(timedelta(), past.end - past.begin - span)
        return _path("/v1/readings", series_id=chance.choice(past.series), **_range(end, span), **more)

    return draw


def _site(path: str, *, days: float = 0, **more: object) -> Callable[[random.Random, History], str]:
    def draw(chance: random.Random, past: History) -> str:
        bounds = _range(past.end, timedelta(days=days)) if days else {}
        return _path(path, site=f"site-{chance.randint(1, history.SITES)}", **bounds, **more)

    return draw


def _fixed(path: str, *, days: float = 0, **more: object) -> Callable[[random.Random, History], str]:
    return lambda _, past: _path(path, **(_range(past.end, timedelta(days=days)) if days else {}), **more)


DASHBOARD: Final = (
    Question("latest by site", _site("/v1/series", limit=100)),
    Question("live wall", _fixed("/v1/live/wall")),
    Question("a quarter of an hour, raw", _series(timedelta(minutes=15))),
    Question("a day, resolution chosen", _series(timedelta(days=1))),
    Question("all of it, resolution chosen", _series(timedelta(days=30))),
    Question("four days by the hour", _series(timedelta(days=4), resolution="1h")),
    Question("positions by site", _site("/v1/shelf-positions", limit=100)),
    Question("newest events by site", _site("/v1/events", limit=50)),
    Question("sell-through of a site by day", _site("/v1/sell-through", days=4, by="day", limit=500)),
    Question("sell-through of all sites, today by the hour", _fixed("/v1/sell-through", days=1, by="hour", limit=500)),
    Question("availability of a site, a day", _site("/v1/availability", days=1, limit=100)),
    Question("declared gaps", _fixed("/v1/gaps")),
    Question("open anomalies", _fixed("/v1/anomalies", state="open")),
)


def run_query(plan: Plan, say: Callable[[str], None]) -> Result:
    """Fill a throw-away stack and ask. Raises UserError when it does not start."""
    started_s = time.monotonic()
    home = Path(tempfile.mkdtemp(prefix="shelfpulse-bench-"))
    # The database's unprivileged user has its folder in it.
    home.chmod(0o711)
    try:
        with ExitStack() as open_:
            dsn = open_.enter_context(scratch_database(plan.dsn))
            stack = open_.enter_context(Stack(home, say, clean_environment(dsn)))
            stack.start_services(lambda: False)
            stack.start_api()
            past = history.generate(stack.dsn, plan.rows, say, time.monotonic)
            stack.supervisor.wait_ready("api")
            result = _measure(plan, stack, past, say)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    return msgspec.structs.replace(result, seconds=round(time.monotonic() - started_s, 1))


def _measure(plan: Plan, stack: Stack, past: History, say: Callable[[str], None]) -> Result:
    say(f"asking each of {len(DASHBOARD)} queries {plan.asks} times")
    chance = random.Random(plan.seed)  # noqa: S311 - what is asked, no secret
    keys = _askers(stack.dsn)
    figures: dict[str, Figure] = {}
    errors = 0
    with httpx.Client(base_url=stack.api_url, timeout=TIMEOUT_S) as client:
        for question in DASHBOARD:
            taken_ms: list[float] = []
            sizes: list[int] = []
            for number in range(-WARM_UP_ASKS, plan.asks):
                path = question.path(chance, past)
                before_s = time.perf_counter()
                answer = client.get(path, headers={"Authorization": f"Bearer {next(keys)}"})
                if number >= 0:
                    taken_ms.append((time.perf_counter() - before_s) * 1000)
                    sizes.append(len(answer.content))
                if answer.status_code != httpx.codes.OK:
                    errors += 1
                    say(f"{path}: {answer.status_code} {answer.text[:200]}")
            p50_ms, p99_ms = np.quantile(taken_ms, [0.5, 0.99]).tolist()
            figures[question.name] = Figure(
                p50_ms=round(p50_ms, 1),
                p99_ms=round(p99_ms, 1),
                worst_ms=round(max(taken_ms), 1),
                bytes=int(np.median(sizes)),
            )
    slowest = max(figures, key=lambda name: figures[name].p99_ms)
    with storage.connect(stack.dsn, application="shelfpulse bench") as connection:
        row = connection.execute(b"SELECT pg_database_size(current_database())").fetchone()
        assert row is not None
        return Result(
            rows=past.rows,
            p50_ms=figures[slowest].p50_ms,
            p99_ms=figures[slowest].p99_ms,
            slowest=slowest,
            queries=figures,
            seconds_to_fill=past.seconds,
            database_mib=round(row[0] / 1024**2, 1),
            errors=errors,
            machine=describe_machine(),
            versions=versions(connection, str(stack.broker.kind)),
            tier=storage.probe_tier(connection),
            seed=plan.seed,
            seconds=0.0,
        )


def _askers(dsn: str) -> Iterator[str]:
    """API keys of people of the tenant, one after the other without end."""
    keys = []
    with storage.connect(dsn, application="shelfpulse bench") as connection:
        for number in range(ASKERS):
            login = f"asker-{number}@{TENANT}"
            tenancy.create_user(
                connection, tenant_id=TENANT, login=login, password=secrets.token_urlsafe(12), role="ops"
            )
            keys.append(tenancy.create_api_key(connection, login=login, name="bench"))
    return itertools.cycle(keys)


def _range(end: datetime, span: timedelta) -> dict[str, object]:
    return {"from": (end - span).isoformat(), "to": end.isoformat()}


def _path(path: str, **parameters: object) -> str:
    return f"{path}?{urlencode(parameters)}"
