"""The API under people who read and order, beside an even load of readings: milliseconds, and what the load lost."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

import simulators
from contracts.errors import UserError
from deploy.bench.commits import Commit, CommitWatch
from deploy.bench.faults import TENANT, load, options_of
from deploy.bench.market import Keys, open_market
from deploy.bench.scratch import clean_environment, scratch_database, versions
from deploy.bench.usage import Usage, describe_machine
from deploy.local.stack import Stack
from simulators import queries as fleet_queries
from simulators.fleet import addresses
from stream import storage

LOCUSTFILE: Final = Path(simulators.__file__).parent / "locustfile_channel.py"
SETTLE_S: Final = 4.0
"""Before a window is counted: connections are made, caches filled."""
SPAWN_A_SECOND: Final = 10
GRACE_S: Final = 90.0
INGEST_KEPT_MIN: Final = 0.9


class Plan(NamedTuple):
    """What to run: ``users`` at once for ``seconds``, beside ``rate`` readings a second.

    ``dsn`` names a server to make a database on; empty: a PostgreSQL of our own.
    """

    users: int
    seconds: float
    rate: float
    gateways: int
    seed: int
    dsn: str


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """What locust saw of one kind of request, in milliseconds."""

    requests: int
    p50_ms: float
    p99_ms: float


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """Outcome. Milliseconds are from request to the last byte, in locust, of all requests.

    ``rps`` are requests a second; ``ingest_alone_per_s`` and ``ingest_beside_per_s`` readings committed a second,
    without the users and with them; ``ingest_ratio`` is theirs. ``writes_share`` is of the requests.
    ``cpu_elsewhere_share`` as in ``bench e2e``.
    """

    p50_ms: float
    p99_ms: float
    rps: float
    requests: int
    errors: int
    writes_share: float
    users: int
    slowest: str
    routes: dict[str, Route]
    ingest_alone_per_s: float
    ingest_beside_per_s: float
    ingest_ratio: float
    cpu_s: dict[str, float]
    cpu_elsewhere_share: float
    machine: str
    versions: dict[str, str]
    tier: str
    seed: int
    seconds: float

    @property
    def sound(self) -> bool:
        """Whether every request was answered as it should be, and the readings went on."""
        return not self.errors and self.ingest_ratio >= INGEST_KEPT_MIN


def run_api(plan: Plan, say: Callable[[str], None]) -> Result:
    """Run it on a throw-away stack. Raises UserError when it does not start, or locust fails."""
    began_s = time.monotonic()
    home = Path(tempfile.mkdtemp(prefix="shelfpulse-bench-"))
    # The database's and the broker's unprivileged users have their folders in it.
    home.chmod(0o711)
    try:
        with scratch_database(plan.dsn) as dsn, Stack(home, say, clean_environment(dsn)) as stack:
            result = _measure(plan, stack, home, say)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    return msgspec.structs.replace(result, seconds=round(time.monotonic() - began_s, 1))


def _measure(plan: Plan, stack: Stack, home: Path, say: Callable[[str], None]) -> Result:
    stack.start_services(lambda: False)
    stack.start_api()
    stack.start_process("stream", "stream", "run")
    stack.start_process("worker", "worker", "run")
    loaded_s = 2 * (plan.seconds + SETTLE_S) + plan.users / SPAWN_A_SECOND + SETTLE_S
    options = options_of(round(plan.rate * loaded_s), plan.rate, plan.gateways, plan.seed, loaded_s + GRACE_S)
    fleet_queries.register(stack.dsn, addresses(options))
    stack.supervisor.wait_ready("api", "stream", "worker")
    say("opening the market")
    keys = open_market(stack.dsn, stack.api_url, TENANT)
    with CommitWatch(stack.dsn) as watch, load(options, stack, home):
        say(f"{plan.rate:,.0f} readings/s alone, for {plan.seconds:.0f} s")
        time.sleep(SETTLE_S)
        alone = (time.time(), time.time() + plan.seconds)
        time.sleep(plan.seconds)
        say(f"the same beside {plan.users} users, for {plan.seconds:.0f} s")
        pids = stack.supervisor.pids()
        before = Usage.take(pids)
        stats = _locust(plan, stack, keys, home)
        used = Usage.take(pids).since(before)
        # Users are all there when locust forgets what it saw before; the end is that of its run.
        beside = (time.time() - plan.seconds, time.time())
        commits = watch.commits
    alone_per_s, beside_per_s = _rate(commits, alone), _rate(commits, beside)
    with storage.connect(stack.dsn, application="shelfpulse bench") as connection:
        return msgspec.structs.replace(
            _judge(plan, stats),
            ingest_alone_per_s=round(alone_per_s, 1),
            ingest_beside_per_s=round(beside_per_s, 1),
            ingest_ratio=round(beside_per_s / alone_per_s, 3),
            cpu_s=used.cpu_s,
            cpu_elsewhere_share=round(max(0.0, 1 - sum(used.cpu_s.values()) / used.machine_s), 3),
            versions=versions(connection, str(stack.broker.kind)),
            tier=storage.probe_tier(connection),
        )


def _locust(plan: Plan, stack: Stack, keys: Keys, home: Path) -> list[dict[str, Any]]:
    spawn_s = plan.users / SPAWN_A_SECOND
    told = {
        "SHELFPULSE_TOKEN": " ".join(keys.lookers),
        "SHELFPULSE_BUYER_TOKENS": " ".join(keys.buyers),
        "PYTHONPATH": str(LOCUSTFILE.parent.parent),
    }
    # Our own file with our own options.
    ran = subprocess.run(  # noqa: S603
        [
            *(sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless", "--json", "--skip-log"),
            *("-u", str(plan.users), "-r", str(SPAWN_A_SECOND), "-t", f"{plan.seconds + spawn_s:.0f}s"),
            *("--reset-stats", "-s", "10", "--exit-code-on-error", "0", "--host", stack.api_url),
        ],
        env={**os.environ, **told},
        cwd=home,
        capture_output=True,
        text=True,
        timeout=plan.seconds + spawn_s + GRACE_S,
        check=False,
    )
    try:
        stats: list[dict[str, Any]] = msgspec.json.decode(ran.stdout)
    except msgspec.DecodeError:
        message = f"locust failed: {(ran.stderr.strip().splitlines() or ['no output'])[-1]}"
        raise UserError(message, "is it installed? `pip install shelfpulse[sim]`", code=1) from None
    return stats


def _judge(plan: Plan, stats: list[dict[str, Any]]) -> Result:
    everything: dict[float, int] = {}
    for one in stats:
        for taken_ms, times in one["response_times"].items():
            everything[float(taken_ms)] = everything.get(float(taken_ms), 0) + times
    p50_ms, p99_ms = _quantiles(everything)
    routes: dict[str, Route] = {}
    for one in sorted(stats, key=lambda one: str(one["name"])):
        each = _quantiles({float(taken_ms): times for taken_ms, times in one["response_times"].items()})
        routes[one["name"]] = Route(requests=one["num_requests"], p50_ms=each[0], p99_ms=each[1])
    requests = sum(one["num_requests"] for one in stats)
    writes = sum(one["num_requests"] for one in stats if not one["name"].startswith("GET"))
    return Result(
        p50_ms=p50_ms,
        p99_ms=p99_ms,
        rps=round(requests / plan.seconds, 1),
        requests=requests,
        errors=sum(one["num_failures"] for one in stats),
        writes_share=round(writes / max(1, requests), 3),
        users=plan.users,
        slowest=max(routes, key=lambda name: routes[name].p99_ms, default=""),
        routes=routes,
        ingest_alone_per_s=0.0, ingest_beside_per_s=0.0, ingest_ratio=0.0, cpu_s={}, cpu_elsewhere_share=0.0,
        machine=describe_machine(),
        versions={}, tier="",
        seed=plan.seed,
        seconds=0.0,
    )  # fmt: skip


def _quantiles(times: dict[float, int]) -> tuple[float, float]:
    """p50 and p99 of what locust counted by milliseconds, which it rounds to two digits from 100 on."""
    if not times:
        return 0.0, 0.0
    p50_ms, p99_ms = np.quantile(
        np.repeat(np.array(list(times)), np.array(list(times.values()))), [0.5, 0.99], method="higher"
    ).tolist()
    return p50_ms, p99_ms


def _rate(commits: list[Commit], window: tuple[float, float]) -> float:
    begin_s, end_s = window
    return sum(commit.readings for commit in commits if begin_s <= commit.at_s < end_s) / (end_s - begin_s)
