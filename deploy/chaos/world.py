"""The stack that is broken: the demo's shelves and gateways, which reach their broker through a bad network at will."""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit, urlunsplit

import psutil
import psycopg

from contracts.errors import UserError
from contracts.topics import GatewayAddress
from deploy.demo import market
from deploy.demo.scene import Demo
from deploy.local.deadline import wait_until
from deploy.local.figures import Counts, is_healthy, read_counts
from deploy.local.outboxes import Written, written
from deploy.local.ports import LOOPBACK
from deploy.local.stack import Stack
from deploy.proofs import committed_lanes
from simulators import queries as fleet_queries
from simulators.faults import FaultProxy, running_proxy
from stream.storage import Connection

if TYPE_CHECKING:
    from deploy.demo.people import Access

NOBODY: Final = GatewayAddress("chaos", "nowhere", "gw-poison")
"""A registered gateway of its own tenant, in whose name poison is published."""
SMALL_DISK_BYTES: Final = 16 * 1024**2
SMALL_DISK: Final = market.STORES[-1]
"""The store whose outbox lies on a small file system of its own, where one can be mounted."""
START_S: Final = 180.0
RECOVERY_MAX_S: Final = 300.0
_CONNECT_TIMEOUT_S: Final = 2


class World:
    """What scenes act on. Every wait keeps the supervisor going, and raises KeyboardInterrupt once asked to stop."""

    def __init__(
        self, stack: Stack, demo: Demo, proxy: FaultProxy, rng: Random, interrupted: Callable[[], bool]
    ) -> None:
        self.stack = stack
        self.demo = demo
        self.proxy = proxy
        self.rng = rng
        self.small_disk: Path | None = None
        self._interrupted = interrupted
        self._access: Access | None = None

    def start(self) -> None:
        """Start everything, and wait until every gateway has had readings committed. Raises UserError."""
        stack, demo = self.stack, self.demo
        stack.launch_services()
        stack.start_api()
        demo.start_shelves()
        stack.wait_services(self._interrupted)
        self._check()
        stack.start_stream()
        self._access = demo.register()
        fleet_queries.register(stack.dsn, [NOBODY])
        stack.write_access()
        demo.start_first_gateway(self._interrupted)
        stack.supervisor.wait_ready("stream", "api", interrupted=self._interrupted)
        stack.start_worker()
        stack.start_access()
        stack.publish(tenant=market.TENANT, logins=self._access.logins, api_key=self._access.api_key)
        self._check()
        speaking = "SELECT count(DISTINCT gateway_id) FROM ingest_watermark WHERE tenant_id = %s"
        if not self.tick_until(lambda: self.ask(speaking, market.TENANT) == len(market.STORES), START_S):
            message = f"not every gateway was heard within {START_S:.0f} s"
            raise UserError(message, f"see the logs of {stack.state.logs}", code=1)

    @property
    def api_key(self) -> str:
        """Key of the demo's operations."""
        assert self._access is not None, "the world is started"
        return self._access.api_key

    def tick_until(self, condition: Callable[[], bool], within_s: float) -> bool:
        """Whether it came true in time; what dies meanwhile is started again."""

        def check() -> bool:
            self._check()
            self.stack.supervisor.tick()
            self.demo.tick()
            return condition()

        return wait_until(check, within_s)

    def hold(self, seconds: float) -> None:
        """Let things be as they are for a while; what dies is started again."""
        self.tick_until(lambda: False, seconds)

    def leave_dead(self, seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
        """Wait so long, or until it comes true, and whether it did; what is dead stays dead."""

        def check() -> bool:
            self._check()
            return until()

        return wait_until(check, seconds)

    def kill(self, name: str) -> None:
        """Kill -9 a process; the next wait starts it again."""
        self.stack.supervisor.kill(name)

    def is_serving(self, name: str) -> bool:
        """Whether one of our processes answers its /healthz."""
        return is_healthy(self.stack.metrics[name])

    def rss_mib(self, process: str) -> float:
        """Memory of a process now; 0 while it does not run."""
        with suppress(psutil.NoSuchProcess, KeyError):
            return float(psutil.Process(self.stack.supervisor.pids()[process]).memory_info().rss) / 1024**2
        return 0.0

    def connect(self) -> Connection:
        """A connection to the database, in autocommit. Raises psycopg.Error."""
        return psycopg.connect(self.stack.dsn, autocommit=True, connect_timeout=_CONNECT_TIMEOUT_S)

    def ask(self, query: str, *parameters: object) -> Any:
        """The single value of a query, None while the database does not answer."""
        try:
            with self.connect() as connection:
                row = connection.execute(query.encode(), parameters).fetchone()
        except psycopg.Error:
            return None
        return None if row is None else row[0]

    def written(self) -> Written:
        """What the gateways have written to their outboxes by now."""
        return written(self.demo.outboxes())

    def counts(self) -> Counts | None:
        """Totals of the demo's tenant, None while the database does not answer."""
        try:
            with self.connect() as connection:
                return read_counts(connection, market.TENANT)
        except psycopg.Error:
            return None

    def recover(self) -> float | None:
        """Seconds until all that each gateway wrote by now is committed; None when it takes more than RECOVERY_MAX_S.

        The longest part of it may be a gateway's own pause before it connects again, of 120 s at most.
        """
        began_s = time.monotonic()
        owed = self.written().accounts

        def is_committed() -> bool:
            try:
                with self.connect() as connection:
                    lanes = committed_lanes(connection)
            except psycopg.Error:
                return False
            return all(
                (lane := lanes.get((each.tenant, each.gateway, each.lane, each.ep))) is not None
                and lane.seq >= each.seq
                for each in owed
            )

        in_time = self.tick_until(is_committed, RECOVERY_MAX_S)
        return round(time.monotonic() - began_s, 1) if in_time else None

    def _check(self) -> None:
        if self._interrupted():
            raise KeyboardInterrupt


@contextmanager
def opened_world(
    root: Path, say: Callable[[str], None], environ: dict[str, str], rng: Random, interrupted: Callable[[], bool]
) -> Iterator[World]:
    """A world of its own in a state directory that is not started yet; afterwards nothing of it runs."""
    disk = _mounted(root / "edges" / SMALL_DISK.gateway)
    try:
        with Stack(root, say, environ) as stack, running_proxy(LOOPBACK, stack.ports["broker"]) as proxy:

            def through_the_proxy(user: str, secret: str) -> str:
                parts = urlsplit(stack.broker.gateway_url(user, secret))
                users, _, _ = parts.netloc.rpartition("@")
                return urlunsplit(parts._replace(netloc=f"{users}@{LOOPBACK}:{proxy.port}"))

            demo = Demo(stack, say, has_story=False, gateway_url=through_the_proxy)
            world = World(stack, demo, proxy, rng, interrupted)
            world.small_disk = disk
            yield world
    finally:
        if disk is not None:
            subprocess.run(["umount", "--lazy", disk], check=False, capture_output=True)  # noqa: S603, S607 - from PATH


def _mounted(folder: Path) -> Path | None:
    """The folder as a small file system of its own; None where nothing may be mounted."""
    folder.mkdir(parents=True, exist_ok=True)
    options = ["-t", "tmpfs", "-o", f"size={SMALL_DISK_BYTES}", "tmpfs"]
    try:
        done = subprocess.run(["mount", *options, folder], check=False, capture_output=True)  # noqa: S603, S607 - from PATH
    except FileNotFoundError:
        return None
    return folder if done.returncode == 0 else None
