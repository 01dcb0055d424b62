"""Follows the database: reads who may come, writes it down when it changed, and has the broker read it."""

import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import psycopg
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from contracts.errors import UserError
from contracts.topics import GatewayAddress
from deploy.access.entries import Gateway, Spelling, StaticUser
from deploy.access.files import AccessFolder
from platform_api.devices.secrets import Hashes
from stream import storage
from stream.storage import Connection

CHANNEL: Final = "shelfpulse_access"
EVERY_S: Final = 30.0
"""The list is made again so often even when nobody said that it changed."""
GATHER_S: Final = 0.2
"""A change waits so long for others: an import of a thousand gateways is one reload."""
STEP_S: Final = 0.5
"""How long a signal to stop, or a reload that is owed, may wait."""
RECONNECT_S: Final = (0.5, 1.0, 2.0, 5.0, 10.0)
"""Waits before trying again while the database is away; the last repeats. The files stay as they are meanwhile."""
HEALTHY_S: Final = 90.0

LISTEN: Final = f"LISTEN {CHANNEL}"
GATEWAYS: Final = """
SELECT g.tenant_id, g.site_id, g.gateway_id, c.pbkdf2, c.bcrypt
FROM credential c JOIN gateway g USING (tenant_id, gateway_id)
WHERE c.revoked_at IS NULL AND g.revoked_at IS NULL
ORDER BY g.tenant_id, g.gateway_id
"""

log = structlog.get_logger()


class Metrics:
    """What the keeper shows to Prometheus, and whether it is well."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.gateways = Gauge("shelfpulse_access_gateways", "Gateways in the access list", registry=self.registry)
        self.writes = Counter("shelfpulse_access_writes", "Times that the files changed", registry=self.registry)
        self.reloads = Counter("shelfpulse_access_reloads", "Times that the broker read them", registry=self.registry)
        self.seconds = Histogram("shelfpulse_access_seconds", "Time to read and write the list", registry=self.registry)
        self.success = Gauge(
            "shelfpulse_access_last_success_timestamp_seconds",
            "When broker and database were last known to agree",
            registry=self.registry,
        )
        self._agreed_s = time.monotonic()

    def agreed(self) -> None:
        """The broker was told all that the database says."""
        self.success.set_to_current_time()
        self._agreed_s = time.monotonic()

    def trouble(self) -> str:
        """What is wrong, '' when broker and database agreed lately."""
        age_s = time.monotonic() - self._agreed_s
        return "" if age_s < HEALTHY_S else f"the access list may be {age_s:.0f} s old"


def read_gateways(connection: Connection) -> list[Gateway]:
    """Gateways that may come, by tenant and name."""
    return [
        Gateway(GatewayAddress(tenant, site, gateway), Hashes(pbkdf2, bcrypt))
        for tenant, site, gateway, pbkdf2, bcrypt in connection.execute(GATEWAYS)
    ]


class Keeper:
    """Keeps one broker's files. ``users`` are those beside the gateways. Nothing happens before ``run`` or ``sync``."""

    def __init__(self, spelling: Spelling, folder: AccessFolder, users: Sequence[StaticUser], metrics: Metrics) -> None:
        self._spelling = spelling
        self._folder = folder
        self._users = users
        self._metrics = metrics
        # A keeper that died between writing and telling has left files that the broker does not know.
        self._owes_reload = True

    def sync(self, connection: Connection) -> bool:
        """Write what changed and tell the broker; whether it knows everything now. Raises UserError, psycopg.Error."""
        started_s = time.monotonic()
        gateways = read_gateways(connection)
        if self._folder.write(self._spelling.files(self._users, gateways)):
            self._owes_reload = True
            self._metrics.writes.inc()
            log.info("access_written", gateways=len(gateways), seconds=round(time.monotonic() - started_s, 3))
        self._metrics.gateways.set(len(gateways))
        self._metrics.seconds.observe(time.monotonic() - started_s)
        return self._tell()

    def run(self, dsn: str, stopping: threading.Event) -> None:
        """Follow the database until told to stop, and over any absence of it."""
        failures = 0
        while not stopping.is_set():
            try:
                with storage.connect(dsn, application="shelfpulse access") as connection:
                    connection.execute(LISTEN)
                    while not stopping.is_set():
                        self.sync(connection)
                        failures = 0
                        self._wait(connection, stopping)
            except (psycopg.Error, UserError) as error:
                wait_s = RECONNECT_S[min(failures, len(RECONNECT_S) - 1)]
                failures += 1
                log.warning("access_not_kept", error=" ".join(str(error).split()), wait_s=wait_s)
                stopping.wait(wait_s)

    def _tell(self) -> bool:
        if self._owes_reload and self._folder.reload():
            self._owes_reload = False
            self._metrics.reloads.inc()
            log.info("broker_reloaded")
        if not self._owes_reload:
            self._metrics.agreed()
        return not self._owes_reload

    def _wait(self, connection: Connection, stopping: threading.Event) -> None:
        """Until the database says that something changed, or it is time anyhow."""
        until_s = time.monotonic() + EVERY_S
        while not stopping.is_set() and time.monotonic() < until_s:
            if any(True for _ in connection.notifies(timeout=STEP_S, stop_after=1)):
                for _ in connection.notifies(timeout=GATHER_S):
                    pass
                return
            if self._owes_reload:
                self._tell()


def sync_once(keeper: Keeper, dsn: str, *, patience_s: float) -> bool:
    """Bring the files up to date and tell the broker, once it has started; whether it knows. Raises UserError."""
    try:
        with storage.connect(dsn, application="shelfpulse access") as connection:
            until_s = time.monotonic() + patience_s
            while not (told := keeper.sync(connection)) and time.monotonic() < until_s:
                with suppress(StopIteration):
                    next(connection.notifies(timeout=GATHER_S, stop_after=1))
    except psycopg.Error as error:
        message = f"cannot read the gateways: {' '.join(str(error).split())}"
        raise UserError(message, "is the schema there? `shelfpulse migrate` makes it") from error
    return told
