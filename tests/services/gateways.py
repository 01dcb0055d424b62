"""A gateway of a running stack, as a process: real slaves, a real agent, its files in a folder of its own."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from contracts.errors import UserError
from contracts.topics import GatewayAddress
from deploy.local.deadline import wait_until
from edge_agent.outbox import account
from simulators import queries
from simulators.faults import FaultProxy, running_proxy
from simulators.slaves import ShelfSlave
from tests.services.stacks import RunningStack, environment, parse

BAYS: Final = 4
PERIOD_S: Final = 0.05
STEP_G: Final = 50.0
DRAINED_S: Final = 90.0


class LivelyShelf(ShelfSlave):
    """A shelf whose bays weigh 1,000 and 1,050 g in turn, so that each poll has something to tell."""

    def __init__(self, unit: int) -> None:
        super().__init__(unit, [1_000.0] * BAYS)

    def refresh(self) -> None:
        self.weights_g = [1_000.0 + STEP_G * (self.requests % 2)] * BAYS
        super().refresh()


@dataclass
class Gateway:
    """One gateway; ``start`` and ``kill`` its agent. ``proxy`` stands between it and the broker."""

    stack: RunningStack
    name: str
    folder: Path
    proxy: FaultProxy
    variables: dict[str, str] = field(default_factory=dict)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def outbox(self) -> Path:
        return self.folder / "outbox" / "outbox.db"

    @property
    def config(self) -> Path:
        return self.folder / "edge.toml"

    def configure(self, bus: str, units: Sequence[int], more: str = "", *, period_s: float = PERIOD_S) -> None:
        """Write edge.toml: shelves with these units on one bus, given as TOML."""
        url = urlsplit(self.stack.info.device_mqtt_url)
        credentials = url.netloc.rpartition("@")[0]
        broker = f"mqtt://{credentials}@127.0.0.1:{self.proxy.port}"
        text = f"""
            tenant = "faults"
            site = "north"
            gateway = "{self.name}"
            drain_s = 30.0
            {more}
            [broker]
            url = "{broker}"
            [outbox]
            path = "{self.outbox}"
            [report]
            heartbeat_s = 1.0
            [[bus]]
            name = "shelves"
            timeout_s = 0.2
            {bus}
            """
        for unit in units:
            text += f"""
            [[device]]
            name = "s{unit:02}"
            bus = "shelves"
            unit = {unit}
            profile = "loadcell_shelf"
            bays = {BAYS}
            period_s = {period_s}
            """
        self.config.write_text(text)

    def start(self) -> None:
        """Start the agent; it runs on its own from here."""
        given = environment(self.stack.state) | {"SHELFPULSE_CLOCK": "trusted"} | self.variables
        with (self.folder / "edge.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "deploy.cli", "edge", "run", "--config", str(self.config)],
                stderr=log,
                env=given,
            )

    def kill(self) -> None:
        """Kill -9, when it runs."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def log(self) -> str:
        return (self.folder / "edge.log").read_text()

    def account(self) -> Mapping[str, Any]:
        """What the outbox says; nothing while there is none."""
        with suppress(UserError):
            return account.read(self.outbox).as_json()
        return {"readings_written": 0, "readings_lost": 0, "frames_waiting": 0}

    def written(self) -> int:
        return int(self.account()["readings_written"])

    def committed(self) -> int:
        """Readings of this gateway that the platform has."""
        query = "SELECT coalesce(sum(readings), 0) FROM ingest_watermark WHERE gateway_id = '{}'"
        return int(self.stack.value(query.format(self.name)) or 0)

    def writes_more(self, readings: int = 50) -> None:
        """Wait until so many more readings are in the outbox."""
        before = self.written()
        assert wait_until(lambda: self.written() >= before + readings, 30), self.log()

    def commits_more(self, readings: int = 50, within_s: float = 60) -> None:
        """Wait until the platform has so many more."""
        before = self.committed()
        assert wait_until(lambda: self.committed() >= before + readings, within_s), self.log()

    def settle(self) -> Mapping[str, Any]:
        """Stop polling and wait until nothing is left; the account at the end."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(DRAINED_S) == 0, self.log()
        self.process = None
        return self.account()

    def settle_and_verify(self) -> Mapping[str, Any]:
        """Settle, export the ledger, and prove that what was written is committed, each frame once."""
        told = self.settle()
        assert told["frames_waiting"] == 0, self.log()
        ledger = self.folder / "ledger.jsonl"
        done = self.stack.command("edge", "outbox", "--config", str(self.config), "--ledger", str(ledger), "--json")
        assert done.returncode == 0, done.stderr
        verified = self.stack.command("verify", "--json", "--ledger", str(ledger))
        assert verified.returncode == 0, verified.stdout + verified.stderr
        assert parse(verified.stdout)["ok"] is True
        return told

    def all_is_committed(self) -> None:
        """Settle and verify, and every reading ever written is in the database."""
        told = self.settle_and_verify()
        assert told["readings_lost"] == 0
        assert told["readings_written"] == self.committed() == self.stored()

    def stored(self) -> int:
        """Rows of its readings."""
        query = "SELECT count(*) FROM reading JOIN series USING (series_id) WHERE gateway_id = '{}'"
        return int(self.stack.value(query.format(self.name)))

    def declared(self, lane: str, reason: str) -> int:
        """Frames of a lane that stand as gaps of a reason."""
        query = (
            "SELECT coalesce(sum(to_seq - from_seq + 1), 0) FROM ingest_gap"
            " WHERE gateway_id = '{}' AND lane = '{}' AND reason = '{}'"
        )
        return int(self.stack.value(query.format(self.name, lane, reason)))

    def settled(self, lane: str) -> int:
        """The highest watermark of a lane in any incarnation."""
        query = "SELECT max(seq) FROM ingest_watermark WHERE gateway_id = '{}' AND lane = '{}'"
        return int(self.stack.value(query.format(self.name, lane)))

    def times_s(self) -> tuple[float, float]:
        """When its first and its last reading were taken, in seconds since 1970 UTC."""
        query = (
            "SELECT array[extract(epoch FROM min(time)), extract(epoch FROM max(time))]"
            " FROM reading JOIN series USING (series_id) WHERE gateway_id = '{}'"
        )
        first, last = self.stack.value(query.format(self.name))
        return float(first), float(last)

    def values(self, channels: str) -> list[float]:
        """All values that channels like this ever had."""
        query = (
            "SELECT array_agg(DISTINCT value ORDER BY value)"
            " FROM reading JOIN series USING (series_id) WHERE gateway_id = '{}' AND channel LIKE '{}'"
        )
        return list(self.stack.value(query.format(self.name, channels)))


@contextmanager
def gateway(stack: RunningStack, name: str, folder: Path) -> Iterator[Gateway]:
    """A registered gateway, not configured and not started; what still runs at the end is killed."""
    queries.register(stack.info.dsn, [GatewayAddress("faults", "north", name)])
    port = urlsplit(stack.info.device_mqtt_url).port
    assert port is not None
    with running_proxy("127.0.0.1", port) as proxy:
        (folder / "outbox").mkdir()
        each = Gateway(stack, name, folder, proxy)
        try:
            yield each
        finally:
            each.kill()


def tcp(port: int) -> str:
    """A Modbus TCP bus for ``configure``."""
    return f'kind = "tcp"\nhost = "127.0.0.1"\nport = {port}'


def rtu(device: str) -> str:
    """A Modbus RTU bus for ``configure``."""
    return f'kind = "rtu"\ndevice = "{device}"\nbaudrate = 115200'


def fill_disk(folder: Path, leave_bytes: int) -> Path:
    """Fill the file system of ``folder`` but for ``leave_bytes``; remove the file to free it."""
    ballast = folder / "ballast"
    free = os.statvfs(folder)
    ballast.write_bytes(bytes(max(0, free.f_bavail * free.f_frsize - leave_bytes)))
    return ballast
