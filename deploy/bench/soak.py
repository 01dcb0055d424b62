"""An even load for as long as asked for, and what the stream's memory does meanwhile."""

import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np
import psutil

from contracts.errors import UserError
from deploy.bench.faults import load, options_of
from deploy.bench.scratch import clean_environment, scratch_database
from deploy.bench.usage import describe_machine
from deploy.local.deadline import wait_until
from deploy.local.stack import Stack
from deploy.verify import read_ledger, verify
from simulators import queries as fleet_queries
from simulators.fleet import FleetReport, addresses
from stream import storage

SAMPLE_S: Final = 2.0
WARM_UP_SHARE: Final = 0.2
"""Of the run that is left out of the slope: buffers and caches grow to their size in it."""
GRACE_S: Final = 120.0
_MIB: Final = 1024**2


class Plan(NamedTuple):
    """What to run: ``rate`` readings a second for ``seconds``. ``dsn`` names a server to make a database on."""

    seconds: float
    rate: float
    gateways: int
    seed: int
    dsn: str


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """Outcome. Memory is resident and of the stream process.

    ``rss_mib`` are ten samples, evenly spaced; the slope is of a straight line through all samples after the warm-up.
    """

    ok: bool
    readings: int
    missing: int
    duplicates: int
    verified: bool
    rss_mib: list[float]
    rss_peak_mib: float
    slope_mib_per_hour: float
    slope_mib_per_million: float
    samples: int
    rate: float
    gateways: int
    tier: str
    machine: str
    seed: int
    load_s: float
    seconds: float


def run_soak(plan: Plan, say: Callable[[str], None]) -> Result:
    """Run it on a throw-away stack. Raises UserError when something does not start, or the load is not committed."""
    began_s = time.monotonic()
    home = Path(tempfile.mkdtemp(prefix="shelfpulse-soak-"))
    # The database's and the broker's unprivileged users have their folders in it.
    home.chmod(0o711)
    readings = round(plan.seconds * plan.rate)
    options = options_of(readings, plan.rate, plan.gateways, plan.seed, plan.seconds + GRACE_S)
    try:
        with scratch_database(plan.dsn) as dsn, Stack(home, say, clean_environment(dsn)) as stack:
            stack.start_services(lambda: False)
            stack.start_process("stream", "stream", "run")
            stack.start_process("worker", "worker", "run")
            fleet_queries.register(stack.dsn, addresses(options))
            stack.supervisor.wait_ready("stream", "worker")
            stream = psutil.Process(stack.supervisor.pids()["stream"])
            samples: list[tuple[float, int]] = []
            loading_s = time.monotonic()
            with load(options, stack, home) as fleet:
                # Asked at a steady pace, whatever the condition says.
                while not wait_until(lambda: fleet.poll() is not None, SAMPLE_S):
                    samples.append((time.monotonic() - loading_s, stream.memory_info().rss))
            if fleet.returncode:
                message = f"the load was not committed {GRACE_S:.0f} s after its end"
                raise UserError(message, "is the machine busy with something else? a lower --rate may do", code=1)
            return _judge(plan, stack, home, samples, began_s)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _judge(plan: Plan, stack: Stack, home: Path, samples: list[tuple[float, int]], began_s: float) -> Result:
    load_s = samples[-1][0]
    sent = msgspec.json.decode((home / "fleet.json").read_bytes(), type=FleetReport)
    with storage.connect(stack.dsn, application="shelfpulse soak") as connection:
        tier = storage.probe_tier(connection)
        row = connection.execute(b"SELECT count(*) FROM reading").fetchone()
        assert row is not None
        stored = int(row[0])
    report = verify(stack.dsn, read_ledger(home / "truth.jsonl"))
    at_s, rss = np.array(samples).T
    settled = at_s >= load_s * WARM_UP_SHARE
    slope = float(np.polyfit(at_s[settled], rss[settled], 1)[0]) / _MIB
    missing, duplicates = max(0, sent.readings - stored), max(0, stored - sent.readings)
    return Result(
        ok=report.ok and not missing and not duplicates,
        readings=sent.readings,
        missing=missing,
        duplicates=duplicates,
        verified=report.ok,
        rss_mib=[round(float(rss[place]) / _MIB, 1) for place in np.linspace(0, len(rss) - 1, 10).astype(int)],
        rss_peak_mib=round(float(np.max(rss)) / _MIB, 1),
        slope_mib_per_hour=round(slope * 3_600, 2),
        slope_mib_per_million=round(slope / (sent.readings / load_s) * 1e6, 3),
        samples=len(samples),
        rate=plan.rate,
        gateways=plan.gateways,
        tier=tier,
        machine=describe_machine(),
        seed=plan.seed,
        load_s=round(load_s, 1),
        seconds=round(time.monotonic() - began_s, 1),
    )
