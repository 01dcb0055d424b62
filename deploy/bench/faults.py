"""A load while stream, broker and database are killed at random points: nothing lost, nothing twice.

Real processes, killed with SIGKILL; the broker loses its state each time. Between two kills lies a share of the
readings that are left, drawn from the seed, so that a slow machine is struck as often as a fast one.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import psutil

from contracts.errors import UserError
from contracts.topics import Lane
from deploy.bench.scratch import clean_environment, scratch_database
from deploy.local.deadline import wait_until
from deploy.local.stack import Stack
from deploy.verify import Report, read_ledger, verify
from simulators import queries as fleet_queries
from simulators.fleet import FleetReport, addresses
from simulators.fleet_group import FleetOptions
from stream import storage

TENANT: Final = "faults"
DEVICES: Final = 20
READINGS_A_FRAME: Final = 50
CONNECTIONS: Final = 4
GAP: Final = (0.1, 1.0)
"""Readings between two kills, as a share of what is left for each."""
AT_ONCE: Final = 0.25
"""Chance that a kill does not wait for the recovery from the one before."""
RECOVERY_MAX_S: Final = 120.0
LOAD_MAX_S: Final = 900.0
COMMITTED: Final = "SELECT coalesce(sum(readings), 0)::bigint FROM ingest_watermark"
_CONNECT_TIMEOUT_S: Final = 2


class Plan(NamedTuple):
    """What to run: ``rate`` readings a second, so that there is a load to be struck.

    The first database that is killed stays dead for ``away_s``. ``dsn`` names a server to make a database on, which is
    then not ours to kill.
    """

    readings: int
    rate: float
    kills: int
    gateways: int
    seed: int
    processes: int
    away_s: float
    dsn: str


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """Outcome. ``recovery_s`` lists by what was killed the seconds until more readings were committed.

    ``missing`` and ``duplicates`` count readings; ``verify_s`` is what the proof of all of them took.
    """

    ok: bool
    readings: int
    committed: int
    missing: int
    duplicates: int
    verified: bool
    verify_s: float
    kills: dict[str, int]
    recovery_s: dict[str, list[float]]
    recovery_worst_s: float
    frames_resent: int
    gateways: int
    processes: int
    tier: str
    seed: int
    load_s: float
    seconds: float
    broken: list[str]


def run_faults(plan: Plan, say: Callable[[str], None]) -> Result:
    """Run it on a throw-away stack. Raises UserError when something does not start, recover or end."""
    began_s = time.monotonic()
    home = Path(tempfile.mkdtemp(prefix="shelfpulse-faults-"))
    # The database's and the broker's unprivileged users have their folders in it.
    home.chmod(0o711)
    try:
        with scratch_database(plan.dsn) as dsn, Stack(home, say, clean_environment(dsn)) as stack:
            stack.start_services(lambda: False)
            stack.start_process("stream", "stream", "run", "--processes", str(plan.processes))
            stack.start_process("worker", "worker", "run")
            options = options_of(plan.readings, plan.rate, plan.gateways, plan.seed, LOAD_MAX_S)
            fleet_queries.register(stack.dsn, addresses(options))
            stack.supervisor.wait_ready("stream", "worker")
            with load(options, stack, home) as fleet:
                faults = _Faults(plan, stack, fleet, say)
                loading_s = time.monotonic()
                faults.strike_all()
                faults.wait_for_the_load(LOAD_MAX_S - (time.monotonic() - loading_s))
                load_s = time.monotonic() - loading_s
            result = _judge(plan, stack, home, faults)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    return msgspec.structs.replace(result, load_s=round(load_s, 1), seconds=round(time.monotonic() - began_s, 1))


@contextmanager
def load(options: FleetOptions, stack: Stack, home: Path) -> "Iterator[subprocess.Popen[bytes]]":
    """``simulate fleet`` as a process of its own, with its report in fleet.json and its ledger in truth.jsonl.

    Whatever happens, no process is left.
    """
    arguments = {
        "gateways": options.gateways, "devices": options.devices, "readings-per-frame": options.readings_per_frame,
        "connections": options.connections, "tenant": options.tenant, "seed": options.seed,
        "readings": options.readings, "rate": options.rate, "deadline": options.deadline_s,
        "truth": home / "truth.jsonl", "lanes": ",".join(options.lanes or (Lane.TEL,)),
    }  # fmt: skip
    with (home / "fleet.json").open("wb") as output, (stack.state.logs / "fleet.log").open("wb") as log:
        # Our own command with our own options.
        fleet = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "deploy.cli", "simulate", "fleet", "--json",
             *(f"--{name}={value}" for name, value in arguments.items())],
            env={**clean_environment(""), "MQTT_URL": stack.broker.device_url}, stdout=output, stderr=log,
        )  # fmt: skip
        try:
            yield fleet
        finally:
            fleet.kill()
            fleet.wait()


def options_of(readings: int, rate: float, gateways: int, seed: int, deadline_s: float) -> FleetOptions:
    """A fleet of ``TENANT`` that writes so many readings at ``rate`` a second."""
    return FleetOptions(
        tenant=TENANT, gateways=gateways, devices=DEVICES, rate=rate, seconds=None, readings=readings, lanes=(),
        readings_per_frame=READINGS_A_FRAME, connections=CONNECTIONS, seed=seed, ep="none", deadline_s=deadline_s,
    )  # fmt: skip


class _Faults:
    """Kills what serves the load, and looks after it."""

    def __init__(self, plan: Plan, stack: Stack, fleet: "subprocess.Popen[bytes]", say: Callable[[str], None]) -> None:
        self._rng = random.Random(plan.seed)  # noqa: S311 - an experiment, to be repeated
        self._plan = plan
        self._stack = stack
        self._fleet = fleet
        self._say = say
        self.kills: Counter[str] = Counter()
        self.recovery_s: dict[str, list[float]] = {}

    def strike_all(self) -> None:
        """Kill as planned while there is a load. Raises UserError when it does not go on afterwards."""
        done = 0
        for number, kind in enumerate(self._kinds()):
            gap = self._rng.uniform(*GAP) * (self._plan.readings - done) / (self._plan.kills - number)
            done = self._await_committed(done + gap)
            if done >= self._plan.readings:
                return
            self._say(f"{done:,} readings committed: killing {kind}")
            self.kills[kind] += 1
            self._strike(kind)
            if kind == "database" and self.kills[kind] == 1:
                self._leave_dead()
            if self._rng.random() >= AT_ONCE:
                self._recover(kind)

    def wait_for_the_load(self, within_s: float) -> None:
        """Until all of it is acknowledged. Raises UserError."""
        ended = self._tick_until(lambda: self._fleet.poll() is not None, within_s)
        if not ended or self._fleet.returncode:
            message = f"the load was not committed within {LOAD_MAX_S:.0f} s: code {self._fleet.poll()}"
            raise UserError(message, "is the machine busy with something else? fewer --readings may do", code=1)

    def _kinds(self) -> list[str]:
        """What is killed in turn, in an order of its own each round, so that each kind has its share."""
        kinds = ["stream", "broker"]
        kinds += ["database"] if self._stack.postgres is not None else []
        kinds += ["member"] if self._plan.processes > 1 else []
        chosen: list[str] = []
        while len(chosen) < self._plan.kills:
            self._rng.shuffle(kinds)
            chosen += kinds
        return chosen[: self._plan.kills]

    def _strike(self, kind: str) -> None:
        supervisor = self._stack.supervisor
        match kind:
            case "broker":
                supervisor.kill("broker")
                self._stack.broker.wipe()
            case "database":
                supervisor.kill("postgres")
            case "member":
                with suppress(psutil.NoSuchProcess, KeyError):
                    members = psutil.Process(supervisor.pids()["stream"]).children()
                    if members:
                        os.kill(self._rng.choice(members).pid, signal.SIGKILL)
            case _:
                supervisor.kill(kind)

    def _leave_dead(self) -> None:
        """Start nothing again for a while: what depends on it has to wait."""
        if self._plan.away_s:
            self._say(f"it stays away for {self._plan.away_s:.0f} s")
            wait_until(lambda: False, self._plan.away_s)

    def _recover(self, kind: str) -> None:
        struck_s = time.monotonic()
        before: int | None = None

        def goes_on() -> bool:
            nonlocal before
            committed = self._committed()
            if committed is None:
                return False
            # What was in flight when it died may still come to light, and is no recovery.
            before = committed if before is None else before
            return committed > before or committed >= self._plan.readings

        if not self._tick_until(goes_on, RECOVERY_MAX_S):
            message = f"nothing was committed for {RECOVERY_MAX_S:.0f} s after {kind} was killed"
            raise UserError(message, f"see the logs of {self._stack.state.logs}", code=1)
        if before != self._plan.readings:
            self.recovery_s.setdefault(kind, []).append(round(time.monotonic() - struck_s, 2))

    def _await_committed(self, readings: float) -> int:
        """Readings that are committed once they are so many. Raises UserError."""
        committed = 0

        def reached() -> bool:
            nonlocal committed
            committed = self._committed() or committed
            return committed >= readings

        if not self._tick_until(reached, LOAD_MAX_S):
            message = f"{readings:,.0f} readings were not committed within {LOAD_MAX_S:.0f} s"
            raise UserError(message, code=1)
        return committed

    def _tick_until(self, condition: Callable[[], bool], within_s: float) -> bool:
        def check() -> bool:
            self._stack.supervisor.tick()
            return condition()

        return wait_until(check, within_s)

    def _committed(self) -> int | None:
        """Readings committed so far, None while the database does not answer."""
        try:
            with storage.connect(self._stack.dsn, application="shelfpulse faults") as connection:
                row = connection.execute(COMMITTED.encode()).fetchone()
        except (UserError, storage.DatabaseError):
            return None
        return None if row is None else int(row[0])


def _judge(plan: Plan, stack: Stack, home: Path, faults: _Faults) -> Result:
    sent = msgspec.json.decode((home / "fleet.json").read_bytes(), type=FleetReport)
    with storage.connect(stack.dsn, application="shelfpulse faults") as connection:
        tier = storage.probe_tier(connection)
        row = connection.execute(b"SELECT count(*) FROM reading").fetchone()
        assert row is not None
        stored = int(row[0])
    report: Report = verify(stack.dsn, read_ledger(home / "truth.jsonl"))
    missing, duplicates = max(0, sent.readings - stored), max(0, stored - sent.readings)
    recoveries = [each for some in faults.recovery_s.values() for each in some]
    return Result(
        ok=report.ok and not missing and not duplicates,
        readings=sent.readings,
        committed=sent.readings_acked,
        missing=missing,
        duplicates=duplicates,
        verified=report.ok,
        verify_s=report.seconds,
        kills=dict(faults.kills),
        recovery_s=faults.recovery_s,
        recovery_worst_s=max(recoveries, default=0.0),
        frames_resent=sent.frames_resent,
        gateways=plan.gateways,
        processes=plan.processes,
        tier=tier,
        seed=plan.seed,
        load_s=0.0,
        seconds=0.0,
        broken=[f"{one.invariant} {one.where} {one.what}" for one in report.broken],
    )
