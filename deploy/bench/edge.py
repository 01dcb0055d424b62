"""One gateway at work: simulated Modbus devices, a real agent, a broker, and a platform that commits.

Each is a process of its own, so that what is measured is the agent alone: its processor time and memory by the
kernel's account, its polls by its own counters, what was committed by the platform's.
"""

import os
import platform as platform_
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import psutil

from contracts.errors import UserError
from contracts.topics import GatewayAddress
from deploy.bench.edge_platform import CountingPlatform, counting_platform
from deploy.bench.usage import Usage, describe_machine, rss_peak_bytes
from deploy.local.account import hand_over, service_account
from deploy.local.broker import local_broker
from deploy.local.deadline import wait_until
from deploy.local.ports import free_port
from deploy.local.process import Child
from deploy.local.state import Secrets
from edge_agent.bus.plan import Map, plan
from edge_agent.outbox import account
from edge_agent.settings import Settings, load

HERE: Final = GatewayAddress("bench", "site-01", "gw-01")
WARM_UP_S: Final = 3.0
START_S: Final = 30.0
DRAIN_S: Final = 30.0
"""How long the agent may take, when told to stop, until everything is committed."""
UNITS_MAX: Final = 247
_PREFIX: Final = "shelfpulse_edge_"
_MIB: Final = 1024**2
_MS: Final = 1000


class Plan(NamedTuple):
    """What to run: ``changing`` of the ``registers`` of each device hold another value at each poll."""

    devices: int
    registers: int
    changing: int
    period_s: float
    buses: int
    seconds: float
    frame_readings: int


class EdgeResult(msgspec.Struct, frozen=True, kw_only=True):
    """Outcome of the measured window.

    ``cpu_percent`` and ``cpu_share`` are of one core, of the agent alone. ``requests_per_s`` were sent,
    ``naive_requests_per_s`` is what one request a register would need. ``values_per_s`` were read, of
    ``values_per_s_due`` that the periods ask for; ``polls_missed`` deadlines passed without a poll, the others began
    ``poll_late_ms`` after theirs on average. A cycle is one poll of every device. ``start_s``: from the agent's start
    until its first frame was at the platform. ``readings_written`` and ``readings_committed`` are of the whole run.
    ``cpu_elsewhere_share``: what others took of the processor time used meanwhile; where it is not small, the figures
    say little.
    """

    cpu_percent: float
    cpu_share: float
    rss_mib: float
    rss_peak_mib: float
    start_s: float
    values_per_s: float
    values_per_s_due: float
    polls_per_s: float
    polls_missed: int
    poll_late_ms: float
    requests_per_s: float
    naive_requests_per_s: float
    requests_per_cycle: float
    requests_per_cycle_planned: int
    requests_per_cycle_naive: int
    outbox_frames_per_s: float
    sender_messages_per_s: float
    readings_per_frame: int
    changing_share: float
    readings_written: int
    readings_committed: int
    frames_out_of_order: int
    devices: int
    registers: int
    buses: int
    period_s: float
    seconds: float
    cpu_elsewhere_share: float
    machine: str
    versions: dict[str, str]
    tier: str = "none"
    """No database takes part."""
    seed: int = 0
    """Nothing is drawn: the devices count."""

    @property
    def sound(self) -> bool:
        """Whether all readings that were written were committed, and 99 % of the polls took place."""
        polls = self.polls_per_s * self.seconds
        return (
            self.readings_committed == self.readings_written and self.polls_missed <= (polls + self.polls_missed) / 100
        )


class _Sample(NamedTuple):
    at_s: float
    usage: Usage
    counters: dict[str, float]


class _Run(NamedTuple):
    """What was seen of the agent."""

    start_s: float
    before: _Sample
    after: _Sample
    rss_bytes: int
    peak_bytes: int
    written: int

    def rate(self, counter: str) -> float:
        """How fast a counter of the agent went."""
        return self.growth(counter) / (self.after.at_s - self.before.at_s)

    def growth(self, counter: str) -> float:
        """By how much a counter of the agent grew."""
        return self.after.counters[counter] - self.before.counters[counter]


def run_edge(plan_: Plan, say: Callable[[str], None]) -> EdgeResult:
    """Run it all on a broker of our own and leave nothing behind. Raises UserError when something does not start."""
    per_bus = -(-plan_.devices // plan_.buses)
    if per_bus > UNITS_MAX:
        msg = f"{per_bus} devices on a bus are over {UNITS_MAX}"
        raise UserError(msg, "use more --buses")
    home = Path(tempfile.mkdtemp(prefix="shelfpulse-bench-"))
    home.chmod(0o711)
    try:
        with (
            _broker(home) as broker,
            _slaves(plan_, per_bus) as (slaves, ports),
            counting_platform(broker.url, HERE) as platform,
        ):
            config = home / "edge.toml"
            config.write_text(_configuration(plan_, per_bus, ports, broker.device_url))
            run = _run(plan_, config, slaves.pid, platform, say)
            return _result(plan_, load(config), run, platform)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _run(plan_: Plan, config: Path, slaves_pid: int, platform: CountingPlatform, say: Callable[[str], None]) -> _Run:
    port = free_port()
    log = config.with_name("edge.log")
    window = threading.Event()
    began_s = time.monotonic()
    with _agent(config, port, log) as agent:
        wait_until(lambda: platform.first_s > 0.0 or agent.poll() is not None, START_S)
        if not platform.first_s:
            msg = f"the agent did not start: {(log.read_text().splitlines() or ['it said nothing'])[-1]}"
            raise UserError(msg)
        start_s = platform.first_s - began_s
        say(f"first frame after {start_s:.1f} s; measuring {plan_.seconds:g} s")
        pids = {"agent": agent.pid, "devices": slaves_pid}
        window.wait(WARM_UP_S)
        before = _sample(pids, port)
        window.wait(plan_.seconds)
        after = _sample(pids, port)
        rss_bytes, peak_bytes = psutil.Process(agent.pid).memory_info().rss, rss_peak_bytes(agent.pid)
        say("waiting until everything is committed")
        agent.send_signal(signal.SIGTERM)
        agent.wait(DRAIN_S + START_S)
    written = sum(lane.readings_written for lane in account.read(config.with_name("outbox.db")).lanes)
    return _Run(start_s, before, after, rss_bytes, peak_bytes, written)


def _result(plan_: Plan, settings: Settings, run: _Run, platform: CountingPlatform) -> EdgeResult:
    used = run.after.usage.since(run.before.usage)
    seconds = run.after.at_s - run.before.at_s
    polls = run.growth("polls")
    ranges = sum(len(plan(device.registers, Map())) for device in settings.devices)
    return EdgeResult(
        cpu_percent=round(100 * used.cpu_s["agent"] / seconds, 2),
        cpu_share=round(used.cpu_s["agent"] / seconds, 4),
        rss_mib=round(run.rss_bytes / _MIB, 1),
        rss_peak_mib=round(run.peak_bytes / _MIB, 1),
        start_s=round(run.start_s, 2),
        values_per_s=round(run.rate("values_polled"), 1),
        values_per_s_due=round(plan_.devices * plan_.registers / plan_.period_s, 1),
        polls_per_s=round(run.rate("polls"), 1),
        polls_missed=round(run.growth("polls_missed")),
        poll_late_ms=round(run.growth("polls_late_seconds") / max(1.0, polls) * _MS, 2),
        requests_per_s=round(run.rate("requests"), 1),
        naive_requests_per_s=round(plan_.devices * plan_.registers / plan_.period_s, 1),
        requests_per_cycle=round(run.growth("requests") / max(1.0, polls) * plan_.devices, 1),
        requests_per_cycle_planned=ranges,
        requests_per_cycle_naive=plan_.devices * plan_.registers,
        outbox_frames_per_s=round(run.rate("frames_written"), 1),
        sender_messages_per_s=round(run.rate("frames_published"), 1),
        readings_per_frame=plan_.frame_readings,
        changing_share=round(plan_.changing / plan_.registers, 3),
        readings_written=run.written,
        readings_committed=platform.committed,
        frames_out_of_order=platform.out_of_order,
        devices=plan_.devices,
        registers=plan_.registers,
        buses=plan_.buses,
        period_s=plan_.period_s,
        seconds=round(seconds, 2),
        cpu_elsewhere_share=round(max(0.0, 1 - sum(used.cpu_s.values()) / used.machine_s), 3),
        machine=describe_machine(),
        versions={"python": platform_.python_version(), "pymodbus": version("pymodbus"), "paho": version("paho-mqtt")},
    )


def _sample(pids: dict[str, int], port: int) -> _Sample:
    usage = Usage.take(pids)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    counters: dict[str, float] = {}
    for line in lines:
        if line.startswith(_PREFIX):
            name, _, value = line.removeprefix(_PREFIX).rpartition(" ")
            name = name.partition("{")[0].removesuffix("_total")
            counters[name] = counters.get(name, 0.0) + float(value)
    return _Sample(time.monotonic(), usage, counters)


def _configuration(plan_: Plan, per_bus: int, ports: list[int], broker_url: str) -> str:
    """An edge.toml: a profile of counting registers, and devices of it on all buses."""
    lines = [
        f'tenant = "{HERE.tenant}"\nsite = "{HERE.site}"\ngateway = "{HERE.gateway}"\ndrain_s = {DRAIN_S}',
        f'[broker]\nurl = "{broker_url}"',
        f"[report]\nframe_readings = {plan_.frame_readings}",
        '[[profile]]\nname = "counting"',
    ]
    lines += [
        f'[[profile.register]]\nmetric = "r{k}"\naddress = {k}\nperiod_s = {plan_.period_s}'
        for k in range(plan_.registers)
    ]
    lines += [
        f'[[bus]]\nname = "bus{k}"\nkind = "tcp"\nhost = "127.0.0.1"\nport = {port}' for k, port in enumerate(ports)
    ]
    lines += [
        f'[[device]]\nname = "d{k:03}"\nbus = "bus{k // per_bus}"\nunit = {k % per_bus + 1}\nprofile = "counting"'
        for k in range(plan_.devices)
    ]
    return "\n".join(lines) + "\n"


@contextmanager
def _broker(home: Path) -> Iterator[Any]:
    account_ = service_account()
    data = home / "broker"
    data.mkdir()
    hand_over(data, account_)
    passwords = Secrets(database="", platform="platform", device="device", signing="")
    broker = local_broker(data, free_port(), passwords, data / "broker.log", account_)
    broker.prepare()
    spec = broker.spec()
    child = Child(spec)
    try:
        if not wait_until(lambda: child.poll() is not None or spec.is_ready(), spec.ready_s) or child.poll():
            msg = f"the broker did not start: {spec.log.read_text().strip()}"
            raise UserError(msg)
        yield broker
    finally:
        child.stop()


@contextmanager
def _slaves(plan_: Plan, per_bus: int) -> Iterator[tuple[subprocess.Popen[bytes], list[int]]]:
    words = [
        "--shelves=0", f"--counters={per_bus}", f"--registers={plan_.registers}", f"--changing={plan_.changing}",
        f"--buses={plan_.buses}",
    ]  # fmt: skip
    # Our own command with our own options.
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "deploy.cli", "simulate", "slaves", *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        yield process, msgspec.json.decode(process.stdout.readline(), type=dict[str, Any])["ports"]
    finally:
        process.kill()
        process.communicate()


@contextmanager
def _agent(config: Path, port: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, "SHELFPULSE_METRICS_PORT": str(port)}
    with log.open("wb") as output:
        # Our own command with our own options.
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "deploy.cli", "edge", "run", "--config", str(config)],
            stderr=output,
            env=environment,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()
