"""Viewers of the live page, beside shelves that sell: from the sale at the shelf until each viewer was told."""

import asyncio
import secrets
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from contracts.errors import UserError
from contracts.topics import Lane
from deploy.bench.faults import READINGS_A_FRAME, TENANT, load, options_of
from deploy.bench.scratch import clean_environment, scratch_database, versions
from deploy.bench.usage import Usage, describe_machine
from deploy.local.ports import LOOPBACK
from deploy.local.stack import Stack
from platform_api.tenancy import service as tenancy
from simulators import queries as fleet_queries
from simulators.fleet import addresses
from stream import storage

JOIN_A_SECOND: Final = 40
"""Fewer than the API's limit of requests a key."""
SETTLE_S: Final = 3.0
GRACE_S: Final = 60.0
CONNECT_S: Final = 20.0
LINE_MAX_BYTES: Final = 4 * 1024**2


class Plan(NamedTuple):
    """What to run: ``viewers`` for ``seconds``, while ``rate`` units are sold a second.

    ``dsn`` names a server to make a database on; empty: a PostgreSQL of our own.
    """

    viewers: int
    seconds: float
    rate: float
    gateways: int
    seed: int
    dsn: str


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """Outcome. Milliseconds are from the time of a sale to a viewer's receipt of it, over all sales and viewers.

    ``cpu_percent`` is the API's, of one core; ``deltas_per_s`` those of one viewer; ``missed`` counts deltas that a
    viewer did not get although another did. ``cpu_elsewhere_share`` as in ``bench e2e``.
    """

    viewers: int
    p50_ms: float
    p99_ms: float
    cpu_percent: float
    deltas_per_s: float
    sales: int
    missed: int
    cpu_s: dict[str, float]
    cpu_elsewhere_share: float
    machine: str
    versions: dict[str, str]
    tier: str
    seed: int
    seconds: float

    @property
    def sound(self) -> bool:
        """Whether every viewer was told everything."""
        return not self.missed and self.sales > 0


class _Delta(msgspec.Struct):
    """What we read of a delta."""

    class Event(msgspec.Struct):
        """When the shelf saw it, in ms since 1970."""

        at: int

    events: list[Event] = []


@dataclass(slots=True)
class _Seen:
    """What all viewers were told: receipts (viewer, ms) and times of sales by cursor."""

    receipts: dict[int, list[tuple[int, float]]] = field(default_factory=lambda: defaultdict(list))
    sales_ms: dict[int, npt.NDArray[np.float64]] = field(default_factory=dict)

    def take(self, viewer: int, cursor: int, data: bytes) -> None:
        """Note a delta that has just come."""
        self.receipts[cursor].append((viewer, time.time() * 1000))
        if cursor not in self.sales_ms:
            events = msgspec.json.decode(data, type=_Delta).events
            self.sales_ms[cursor] = np.array([event.at for event in events], np.float64)


def run_live(plan: Plan, say: Callable[[str], None]) -> Result:
    """Run it on a throw-away stack. Raises UserError when it does not start, or a viewer is turned away."""
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
    stack.start_stream()
    loaded_s = plan.viewers / JOIN_A_SECOND + plan.seconds + 3 * SETTLE_S
    rate = plan.rate * READINGS_A_FRAME
    options = msgspec.structs.replace(
        options_of(round(rate * loaded_s), rate, plan.gateways, plan.seed, loaded_s + GRACE_S), lanes=(Lane.EVT,)
    )
    fleet_queries.register(stack.dsn, addresses(options))
    key = _key(stack.dsn)
    stack.supervisor.wait_ready("api", "stream")
    with load(options, stack, home):
        say(f"{plan.viewers} viewers join while {plan.rate:.0f} units are sold a second")
        seen, window_ms, used = asyncio.run(_watch(plan, stack, key))
    with storage.connect(stack.dsn, application="shelfpulse bench") as connection:
        return msgspec.structs.replace(
            _judge(plan, seen, window_ms, used),
            versions=versions(connection, str(stack.broker.kind)),
            tier=storage.probe_tier(connection),
        )


async def _watch(plan: Plan, stack: Stack, key: str) -> tuple[_Seen, tuple[float, float], Usage]:
    """All viewers, from when the last has joined; what they saw, when (ms), and what was used meanwhile."""
    seen = _Seen()
    viewers: list[asyncio.Task[None]] = []
    try:
        for number in range(plan.viewers):
            stream = await _join(stack.ports["http"], key)
            viewers.append(asyncio.create_task(_read(stream, number, seen)))
            await asyncio.sleep(1 / JOIN_A_SECOND)
        await asyncio.sleep(SETTLE_S)
        pids = stack.supervisor.pids()
        before, began_ms = Usage.take(pids), time.time() * 1000
        await asyncio.sleep(plan.seconds)
        used, ended_ms = Usage.take(pids).since(before), time.time() * 1000
        # What the last delta of the window still brings to the slowest.
        await asyncio.sleep(SETTLE_S)
        lost = sum(viewer.done() for viewer in viewers)
    finally:
        for viewer in viewers:
            viewer.cancel()
        await asyncio.gather(*viewers, return_exceptions=True)
    if lost:
        message = f"{lost} of {plan.viewers} viewers were cut off"
        raise UserError(message, f"see {stack.state.logs / 'api.log'}", code=1)
    return seen, (began_ms, ended_ms), used


async def _join(port: int, key: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open one stream. Raises UserError when the API turns us away."""
    async with asyncio.timeout(CONNECT_S):
        reader, writer = await asyncio.open_connection(LOOPBACK, port, limit=LINE_MAX_BYTES)
        request = f"GET /v1/live HTTP/1.1\r\nHost: {LOOPBACK}\r\nAuthorization: Bearer {key}\r\n\r\n"
        writer.write(request.encode())
        head = await reader.readuntil(b"\r\n\r\n")
    status = head.split(b" ", 2)[1].decode()
    if status != "200":
        message = f"the API turned a viewer away: {status}"
        raise UserError(message, "fewer --viewers may do", code=1)
    return reader, writer


async def _read(stream: tuple[asyncio.StreamReader, asyncio.StreamWriter], viewer: int, seen: _Seen) -> None:
    """Note every delta until the stream ends; lines of the transfer's chunks are none of ours."""
    reader, writer = stream
    cursor, is_delta = 0, False
    with closing(writer), suppress(asyncio.IncompleteReadError):
        while line := await reader.readline():
            if line.startswith(b"id: "):
                cursor = int(line[4:])
            elif line.startswith(b"event: "):
                is_delta = line[7:].strip() == b"delta"
            elif is_delta and line.startswith(b"data: "):
                seen.take(viewer, cursor, line[6:])


def _judge(plan: Plan, seen: _Seen, window_ms: tuple[float, float], used: Usage) -> Result:
    """Of the deltas that were first told within the window."""
    told = {
        cursor: receipts
        for cursor, receipts in seen.receipts.items()
        if window_ms[0] <= min(at_ms for _, at_ms in receipts) < window_ms[1]
    }
    waits_ms = [
        np.subtract.outer(np.array([at_ms for _, at_ms in receipts]), seen.sales_ms[cursor]).ravel()
        for cursor, receipts in told.items()
    ]
    every_ms = np.concatenate(waits_ms) if waits_ms else np.empty(0)
    p50_ms, p99_ms = np.quantile(every_ms, (0.5, 0.99)).round(1) if len(every_ms) else (0.0, 0.0)
    return Result(
        viewers=plan.viewers,
        p50_ms=float(p50_ms),
        p99_ms=float(p99_ms),
        cpu_percent=round(used.cpu_s["api"] / plan.seconds * 100, 1),
        deltas_per_s=round(len(told) / plan.seconds, 2),
        sales=sum(len(seen.sales_ms[cursor]) for cursor in told),
        missed=sum(plan.viewers - len({viewer for viewer, _ in receipts}) for receipts in told.values()),
        cpu_s=used.cpu_s,
        cpu_elsewhere_share=round(max(0.0, 1 - sum(used.cpu_s.values()) / used.machine_s), 3),
        machine=describe_machine(),
        versions={},
        tier="",
        seed=plan.seed,
        seconds=0.0,
    )


def _key(dsn: str) -> str:
    """An API key of somebody who sees the whole tenant."""
    with storage.connect(dsn, application="shelfpulse bench") as connection:
        tenancy.create_user(
            connection, tenant_id=TENANT, login="viewer", password=secrets.token_urlsafe(12), role="ops"
        )
        return tenancy.create_api_key(connection, login="viewer", name="bench live")
