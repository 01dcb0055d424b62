"""One run of the whole platform: load, latency at half the load, verification, and the raw COPY of the same rows."""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np

from contracts.errors import UserError
from deploy.bench.commits import CommitWatch, latencies_s
from deploy.bench.raw_copy import copy_rows_per_s, stored_columns
from deploy.bench.scratch import clean_environment, scratch_database, versions
from deploy.bench.usage import Usage, describe_machine, rss_peak_bytes
from deploy.local.stack import Stack
from deploy.proofs import Account
from deploy.verify import Report, read_ledger, verify
from simulators import queries as fleet_queries
from simulators.fleet import FleetReport, addresses
from simulators.fleet_group import FleetOptions
from simulators.raw_load import RawReport
from stream import storage

TENANT: Final = "bench"
WARM_UP_READINGS: Final = 100_000
LOAD_MAX_S: Final = 25.0
"""A slow machine writes fewer readings than asked for, so that a run stays within two minutes."""
LATENCY_S: Final = 10.0
LATENCY_LOAD: Final = 0.5
"""Share of the measured rate at which the latency is taken."""
DEADLINE_S: Final = 60.0
"""A fleet that is not committed by then has failed."""
GRACE_S: Final = 30.0
CONNECTIONS: Final = 4
DEVICES: Final = 20
_MIB: Final = 1024**2


class Plan(NamedTuple):
    """What to run. ``dsn`` names a server to make a database on; empty: a PostgreSQL of our own.

    ``plain``: one reading a message by plain devices, which the broker acknowledges and no gateway.
    ``processes``: of the stream.
    """

    readings: int
    readings_per_frame: int
    gateways: int
    seed: int
    dsn: str
    plain: bool = False
    processes: int = 1


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """Outcome. Rates are of the loaded part; latency runs from a reading's time until its row is visible.

    ``ratio`` is readings_per_s / copy_rows_per_s; ``cpu_s_per_million`` and ``rss_peak_mib`` are the stream
    process's, ``cpu_s`` is of all during the load. ``cpu_elsewhere_share`` is what processes that are not ours took of
    the CPU time used meanwhile: where it is not small, the figures say little.
    """

    readings_per_s: float
    copy_rows_per_s: float
    ratio: float
    messages_per_s: float
    readings_per_message: int
    latency_p50_ms: float
    latency_p99_ms: float
    latency_readings_per_s: float
    cpu_s_per_million: float
    rss_peak_mib: float
    cpu_s: dict[str, float]
    cpu_elsewhere_share: float
    missing: int
    duplicates: int
    verified: bool
    readings: int
    gateways: int
    machine: str
    versions: dict[str, str]
    tier: str
    seed: int
    seconds: float

    @property
    def sound(self) -> bool:
        """Whether every reading is there once."""
        return self.verified and not self.missing and not self.duplicates


class Load(NamedTuple):
    """One fleet's run: its report, and when its first reading was taken and its last row visible."""

    report: FleetReport | RawReport
    first_s: float
    visible_s: float

    @property
    def readings_per_s(self) -> float:
        """From the first publish until all rows were visible."""
        return self.report.readings / (self.visible_s - self.first_s)


def run_e2e(plan: Plan, say: Callable[[str], None]) -> Result:
    """Run it all on a throw-away stack, of which only the logs stay when it fails.

    Raises UserError when the stack does not start or the load is not committed.
    """
    started_s = time.monotonic()
    home = Path(tempfile.mkdtemp(prefix="shelfpulse-bench-"))
    # The database's and the broker's unprivileged users have their folders in it.
    home.chmod(0o711)
    try:
        with scratch_database(plan.dsn) as dsn, Stack(home, say, clean_environment(dsn)) as stack:
            result = _measure(plan, stack, home, say)
    except UserError:
        # The message names a log: keep those, and nothing that is large.
        for part in home.iterdir():
            if part.name != "logs":
                shutil.rmtree(part, ignore_errors=True)
        raise
    except BaseException:
        shutil.rmtree(home, ignore_errors=True)
        raise
    shutil.rmtree(home, ignore_errors=True)
    return msgspec.structs.replace(result, seconds=round(time.monotonic() - started_s, 1))


def _measure(plan: Plan, stack: Stack, home: Path, say: Callable[[str], None]) -> Result:
    stack.start_services(_never)
    stack.start_process("stream", "stream", "run", "--processes", str(plan.processes))
    stack.start_process("worker", "worker", "run")
    fleet = _Fleet(plan, stack, home)
    fleet_queries.register(stack.dsn, fleet.addresses)
    stack.supervisor.wait_ready("stream", "worker")
    with (
        storage.connect(stack.dsn, application="shelfpulse bench") as connection,
        CommitWatch(stack.dsn, plain=plan.plain) as watch,
    ):
        say(f"warming up with {WARM_UP_READINGS:,} readings")
        fleet.run(watch, "warm-up", readings=WARM_UP_READINGS)
        say(f"measuring {plan.readings:,} readings, as fast as they are acknowledged")
        pids = stack.supervisor.pids()
        before, epochs_before = Usage.take(pids), len(watch.commits)
        load = fleet.run(watch, "load", readings=plan.readings, seconds=LOAD_MAX_S)
        used = Usage.take(pids).since(before)
        cpu_s = {**used.cpu_s, "fleet": load.report.cpu_s}
        epoch_rows = [commit.readings for commit in watch.commits[epochs_before:]]
        say(f"{load.readings_per_s:,.0f} readings/s; measuring latency at {LATENCY_LOAD:.0%} of it")
        calm = fleet.run(watch, "latency", rate=load.readings_per_s * LATENCY_LOAD, seconds=LATENCY_S)
        latency_s = latencies_s(connection, watch.commits, calm.first_s)
        memory_bytes = rss_peak_bytes(pids["stream"])
        tier = storage.probe_tier(connection)
        say("verifying")
        report = verify(stack.dsn, fleet.accounts())
        stack.supervisor.stop("stream", "worker")
        say("copying the same rows into the same table")
        columns = stored_columns(connection, load.first_s, calm.first_s)
        copy_rate = copy_rows_per_s(connection, columns, max(1, int(np.mean(epoch_rows))))
        written = fleet.written
        committed = sum(commit.readings for commit in watch.commits)
        p50_s, p99_s = np.quantile(latency_s, [0.5, 0.99]).tolist()
        return Result(
            readings_per_s=round(load.readings_per_s, 1),
            copy_rows_per_s=round(copy_rate, 1),
            ratio=round(load.readings_per_s / copy_rate, 3),
            messages_per_s=round(_messages(load.report) / (load.visible_s - load.first_s), 1),
            readings_per_message=1 if plan.plain else plan.readings_per_frame,
            latency_p50_ms=round(p50_s * 1000, 1),
            latency_p99_ms=round(p99_s * 1000, 1),
            latency_readings_per_s=round(calm.readings_per_s, 1),
            cpu_s_per_million=round(cpu_s["stream"] / load.report.readings * 1e6, 3),
            rss_peak_mib=round(memory_bytes / _MIB, 1),
            cpu_s=cpu_s,
            cpu_elsewhere_share=round(max(0.0, 1 - sum(cpu_s.values()) / used.machine_s), 3),
            missing=max(0, written - committed) + max(0, committed - report.readings),
            duplicates=max(0, committed - written) + max(0, report.readings - committed),
            verified=_verified(report, say),
            readings=load.report.readings,
            gateways=plan.gateways,
            machine=describe_machine(),
            versions=versions(connection, str(stack.broker.kind)),
            tier=tier,
            seed=plan.seed,
            seconds=0.0,
        )


class _Fleet:
    """Runs ``simulate fleet`` as a process of its own, so that its work is not counted as ours or the stream's."""

    def __init__(self, plan: Plan, stack: Stack, home: Path) -> None:
        self._plan = plan
        self._stack = stack
        self._home = home
        self._truths: list[Path] = []
        self.written = 0
        self.addresses = addresses(
            FleetOptions(
                tenant=TENANT, gateways=plan.gateways, devices=DEVICES, rate=0, seconds=None, readings=1, lanes=(),
                readings_per_frame=plan.readings_per_frame, connections=1, seed=plan.seed, ep="none", deadline_s=1,
            )
        )  # fmt: skip

    def run(
        self,
        watch: CommitWatch,
        name: str,
        *,
        readings: int | None = None,
        rate: float = 0,
        seconds: float | None = None,
    ) -> Load:
        """Send until everything is committed and seen. Raises UserError when that takes too long."""
        truth = self._home / f"{name}.jsonl"
        options = {
            "gateways": self._plan.gateways,
            "devices": DEVICES,
            "readings-per-frame": self._plan.readings_per_frame,
            "connections": CONNECTIONS,
            "tenant": TENANT,
            "seed": self._plan.seed,
            "deadline": DEADLINE_S + (seconds or 0),
            "rate": rate,
            "readings": readings,
            "seconds": seconds,
            "truth": None if self._plan.plain else truth,
        }
        arguments = [f"--{key}={value}" for key, value in options.items() if value is not None]
        arguments += ["--raw"] if self._plan.plain else []
        before_s = time.time()
        seen_before = len(watch.commits)
        # Our own command with our own options.
        ran = subprocess.run(  # noqa: S603
            [sys.executable, "-m", "deploy.cli", "simulate", "fleet", "--json", *arguments],
            env={**clean_environment(""), "MQTT_URL": self._stack.broker.device_url},
            capture_output=True,
            text=True,
            timeout=DEADLINE_S + (seconds or 0) + GRACE_S,
            check=False,
        )
        if ran.returncode:
            lines = (ran.stderr or ran.stdout).strip().splitlines() or ["no output"]
            message = f"the {name} was not committed within {DEADLINE_S:.0f} s: {lines[-1]}"
            raise UserError(message, "is the machine busy with something else? fewer --readings may do", code=1)
        report: FleetReport | RawReport
        if self._plan.plain:
            report = msgspec.json.decode(ran.stdout, type=RawReport)
        else:
            report = msgspec.json.decode(ran.stdout, type=FleetReport)
            self._truths.append(truth)
        self.written += report.readings
        if not watch.wait(self.written, GRACE_S):
            message = f"the {name} was acknowledged, and its rows are not there"
            raise UserError(message, "`shelfpulse verify` says which are missing", code=1)
        commits = watch.commits[seen_before:]
        return Load(report, self._first_s(before_s), commits[-1].at_s)

    def accounts(self) -> list[Account]:
        """What all runs wrote, lane by lane."""
        return [account for truth in self._truths for account in read_ledger(truth)]

    def _first_s(self, since_s: float) -> float:
        with storage.connect(self._stack.dsn, application="shelfpulse bench") as connection:
            row = connection.execute(
                "SELECT min(time) FROM reading WHERE time >= to_timestamp(%(since)s)", {"since": since_s}
            ).fetchone()
        assert row is not None
        first_s: float = row[0].timestamp()
        return first_s


def _messages(report: FleetReport | RawReport) -> int:
    return report.frames if isinstance(report, FleetReport) else report.published


def _verified(report: Report, say: Callable[[str], None]) -> bool:
    for broken in report.broken:
        say(f"{broken.invariant} {broken.where}: {broken.what}")
    return report.ok


def _never() -> bool:
    return False
