"""A simulated day of one gateway at a thousand times its speed, with outages: nothing lost, nothing twice.

The agent is real but for its shelves and its clock (``simulators.day_gateway``); PostgreSQL, broker and stream are
real too, and all of them get killed. What runs on real time are the waits of the protocol and the restarts: an outage
of two seconds is half an hour of that day.
"""

import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from contracts.errors import UserError
from contracts.topics import GatewayAddress
from deploy import ledger
from deploy.bench.scratch import clean_environment
from deploy.local.deadline import wait_until
from deploy.local.discovery import SAME_CLOCK
from deploy.local.stack import Stack
from deploy.verify import verify
from edge_agent.outbox import account, export
from simulators import day_gateway, queries
from simulators.day_gateway import Day
from simulators.faults import Direction, FaultProxy, running_proxy
from stream import storage

OUTAGES: Final = ("power", "network", "broker", "stream")
OUTAGE_EVERY_S: Final = (1.0, 4.0)
"""Real seconds from the end of an outage to the next."""
NETWORK_GONE_S: Final = (0.5, 3.0)
LATE_S: Final = 300.0
"""Real seconds by which the polls may be behind when the day is over, and the outbox take to drain."""
SETTLE_S: Final = 60.0
HOUR_S: Final = 3_600.0
_TICK_S: Final = 0.1
HERE: Final = GatewayAddress(day_gateway.TENANT, day_gateway.SITE, day_gateway.GATEWAY)


class Plan(msgspec.Struct, frozen=True):
    """``hours`` of a day at ``speed`` times its pace; each shelf is polled every ``poll_s`` seconds of it."""

    hours: float
    speed: float
    poll_s: float
    seed: int


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """How the day went. ``lost`` and ``twice`` count readings; ``waiting`` are frames left in the outbox."""

    ok: bool
    lost: int
    twice: int
    waiting: int
    verified: bool
    readings: int
    bulk_readings: int
    event_frames: int
    frames: int
    outages: dict[str, int]
    hours: float
    speed: float
    late_s: float
    drain_s: float
    tier: str
    seed: int
    seconds: float
    broken: list[str]


def run_day(plan: Plan, say: Callable[[str], None]) -> Result:
    """Live the day on a throw-away stack. Raises UserError when something does not start or end."""
    home = Path(tempfile.mkdtemp(prefix="shelfpulse-day-"))
    # The database's and the broker's unprivileged users have their folders in it.
    home.chmod(0o711)
    try:
        with Stack(home, say, clean_environment("")) as stack:
            stack.start_services(lambda: False)
            stack.start_process("stream", "stream", "run")
            queries.register(stack.dsn, [HERE])
            stack.supervisor.wait_ready("stream")
            return _live(plan, stack, home, say)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _live(plan: Plan, stack: Stack, home: Path, say: Callable[[str], None]) -> Result:
    began_s = time.monotonic()
    url = urlsplit(stack.broker.device_url)
    assert url.port is not None
    with running_proxy("127.0.0.1", url.port) as proxy:
        folder = home / "gateway"
        folder.mkdir()
        credentials = url.netloc.rpartition("@")[0]
        config = day_gateway.configure(folder, f"mqtt://{credentials}@127.0.0.1:{proxy.port}")
        with _Gateway(plan, config).running() as gateway:
            outages = _Outages(plan.seed, stack, proxy, gateway, say)
            outages.go_on_until(gateway.is_over, (plan.hours * HOUR_S / plan.speed) + LATE_S)
            late_s = max(0.0, time.monotonic() - gateway.anchor_s - plan.hours * HOUR_S / plan.speed)
            say("the day is over; draining")
            drain_s = gateway.drain(stack.supervisor.tick)
        return _judge(plan, stack, folder / "outbox.db", outages.counts, (late_s, drain_s, began_s))


class _Gateway:
    """The gateway's process, which dies and is started again on the same day."""

    def __init__(self, plan: Plan, config: Path) -> None:
        self._plan = plan
        self._config = config
        self._lives = 0
        self._over = threading.Event()
        self.anchor_s = time.monotonic()
        # The day ends now at the latest: no reading comes from the future.
        self._start_ms = int((time.time() - plan.hours * HOUR_S) * 1000)
        self._process: subprocess.Popen[str] | None = None

    def is_over(self) -> bool:
        """Whether the shelves were polled to the end of the day."""
        return self._over.is_set()

    @contextmanager
    def running(self) -> Iterator["_Gateway"]:
        """Start it; whatever happens, no process is left."""
        self.start()
        try:
            yield self
        finally:
            self.kill()

    def start(self) -> None:
        """Switch it on: another boot, on the same day."""
        self._lives += 1
        day = Day(
            start_ms=self._start_ms,
            anchor_ns=int(self.anchor_s * 1e9),
            speed=self._plan.speed,
            length_s=self._plan.hours * HOUR_S,
            poll_s=self._plan.poll_s,
            boot=f"boot{self._lives}",
        )
        with (self._config.parent / "gateway.log").open("ab") as log:
            # Our own module with our own arguments.
            process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", "simulators.day_gateway", str(self._config), msgspec.json.encode(day).decode()],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, **SAME_CLOCK},
            )
        self._process = process
        threading.Thread(target=self._listen, args=(process,), name="day-listener", daemon=True).start()

    def _listen(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        for line in process.stdout:
            if "day_over" in line:
                self._over.set()

    def kill(self) -> None:
        """The power goes."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def drain(self, tick: Callable[[], None]) -> float:
        """Ask it to send what is left and to end; seconds that took. Raises UserError."""
        assert self._process is not None
        process, began_s = self._process, time.monotonic()
        process.terminate()

        def has_ended() -> bool:
            tick()
            return process.poll() is not None

        if not wait_until(has_ended, LATE_S) or process.returncode != 0:
            message = f"the gateway did not end: code {process.poll()}"
            raise UserError(message, f"its last words: {_tail(self._config.parent / 'gateway.log')}", code=1)
        return time.monotonic() - began_s


class _Outages:
    """What goes wrong, at random, until the day is over; ``counts`` says how often."""

    def __init__(
        self, seed: int, stack: Stack, proxy: FaultProxy, gateway: _Gateway, say: Callable[[str], None]
    ) -> None:
        self._rng = random.Random(seed)  # noqa: S311 - an experiment, to be repeated
        self._stack = stack
        self._proxy = proxy
        self._gateway = gateway
        self._say = say
        self.counts: Counter[str] = Counter()

    def go_on_until(self, is_over: Callable[[], bool], within_s: float) -> None:
        """Raises UserError when the day does not end in time."""
        deadline_s = time.monotonic() + within_s
        # The first of each comes early, so that a short day has them all.
        waiting = list(OUTAGES)
        self._rng.shuffle(waiting)
        while not is_over():
            if time.monotonic() > deadline_s:
                message = f"the day did not end within {within_s:.0f} s"
                raise UserError(message, "poll less often (--poll-s), or slower (--speed)", code=1)
            if self._pass(self._rng.uniform(*OUTAGE_EVERY_S), is_over):
                return
            kind = waiting.pop() if waiting else self._rng.choice(OUTAGES)
            self.counts[kind] += 1
            self._say(f"outage: {kind}")
            self._strike(kind, is_over)

    def _strike(self, kind: str, is_over: Callable[[], bool]) -> None:
        match kind:
            case "power":
                self._gateway.kill()
                self._gateway.start()
            case "network":
                self._proxy.blackholes = frozenset({self._rng.choice(list(Direction))})
                self._pass(self._rng.uniform(*NETWORK_GONE_S), is_over)
                self._proxy.cut()
                self._proxy.blackholes = frozenset()
            case "broker":
                self._stack.supervisor.kill("broker")
                self._stack.broker.wipe()
            case _:
                self._stack.supervisor.kill(kind)

    def _pass(self, seconds: float, is_over: Callable[[], bool]) -> bool:
        """Let time pass; True when the day is over."""

        def done() -> bool:
            self._stack.supervisor.tick()
            return is_over()

        return wait_until(done, seconds)


def _judge(plan: Plan, stack: Stack, outbox: Path, outages: Counter[str], times: tuple[float, float, float]) -> Result:
    late_s, drain_s, began_s = times
    told = account.read(outbox)
    lanes = {lane.lane: lane for lane in told.lanes}
    exported = outbox.with_name("ledger.jsonl")
    export.write(outbox, HERE.tenant, HERE.gateway, exported)
    with storage.connect(stack.dsn, application="shelfpulse day") as connection:
        (stored,) = connection.execute("SELECT count(*) FROM reading").fetchone() or (0,)
        tier = storage.probe_tier(connection)
    report = verify(stack.dsn, chains=ledger.read(exported).chains)
    written = sum(lane.readings_written for lane in told.lanes)
    waiting = sum(lane.frames_waiting for lane in told.lanes)
    lost, twice = max(0, written - stored), max(0, stored - written)
    return Result(
        ok=report.ok and not lost and not twice and not waiting and not told.gaps,
        lost=lost,
        twice=twice,
        waiting=waiting,
        verified=report.ok,
        readings=written,
        bulk_readings=lanes["bulk"].readings_written,
        event_frames=lanes["evt"].frames_written,
        frames=sum(lane.frames_written for lane in told.lanes),
        outages=dict(outages),
        hours=plan.hours,
        speed=plan.speed,
        late_s=round(late_s, 1),
        drain_s=round(drain_s, 1),
        tier=tier,
        seed=plan.seed,
        seconds=round(time.monotonic() - began_s, 1),
        broken=[f"{one.invariant} {one.where} {one.what}" for one in report.broken],
    )


def _tail(log: Path) -> str:
    lines = log.read_text(encoding="utf-8").splitlines() or ["none"]
    return lines[-1]
