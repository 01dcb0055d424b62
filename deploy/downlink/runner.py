"""Goes round: expires commands, publishes what is due, and all configurations again after each new connection."""

import random
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import psycopg
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from contracts.errors import UserError
from deploy.downlink import queries
from deploy.downlink.link import IN_FLIGHT_MAX, Delivery, Link
from deploy.downlink.messages import CurrentConfig, DueCommand, command_message, config_message
from stream import storage
from stream.storage import Connection

LEAD_LOCK: Final = 0x5348_454C_4635
"""Advisory lock of the one worker that publishes."""
EVERY_S: Final = 5.0
STEP_S: Final = 0.5
"""How long a signal to stop may wait."""
AGAIN_S: Final = 1.0
"""Between two pages of configurations: 100 a second, so that 10,000 gateways do not wake at once."""
RETRY_S: Final = 5.0
"""A command that nobody heard is published again so often, until it expires."""
SENT_GRACE_S: Final = 60.0
ACKED_GRACE_S: Final = 3_600.0
RECONNECT_S: Final = (1.0, 30.0)
DATABASE_S: Final = 2.0

log = structlog.get_logger()


class Metrics:
    """What the downlink shows to Prometheus, beside the worker's own."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.published = Counter(
            "shelfpulse_downlink", "Messages to gateways, by outcome", ["kind", "outcome"], registry=registry
        )
        self.expired = Counter(
            "shelfpulse_commands_expired", "Commands that came to nothing in time", registry=registry
        )
        self.connected = Gauge("shelfpulse_downlink_connected", "1 while the broker is there", registry=registry)


class Downlink:
    """Publishes from one thread, which ``start`` starts and ``stop`` ends."""

    def __init__(self, dsn: str, link: Link, metrics: Metrics) -> None:
        self._dsn = dsn
        self._link = link
        self._metrics = metrics
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="downlink", daemon=True)
        self._failures = 0
        self._reconnect_at_s = 0.0
        self._seen_connections = 0
        self._page: tuple[str, str] | None = None

    def start(self) -> None:
        """Begin to publish."""
        self._thread.start()

    def stop(self) -> None:
        """End after the round that is under way."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                try:
                    with storage.connect(self._dsn, application="shelfpulse worker downlink") as connection:
                        self._follow(connection)
                except (psycopg.Error, UserError) as error:
                    log.warning("downlink_database_lost", error=" ".join(str(error).split()))
                    self._stopping.wait(DATABASE_S)
        except Exception:  # outermost loop of the thread
            log.exception("downlink_died")
            raise
        finally:
            self._link.close()

    def _follow(self, connection: Connection) -> None:
        connection.execute(queries.LISTEN)
        # Held by the session: another worker takes over when this one's connection is gone.
        while not _leads(connection):
            if self._stopping.wait(EVERY_S):
                return
        while not self._stopping.is_set():
            self.go_round(connection)
            self._wait(connection)

    def go_round(self, connection: Connection) -> None:
        """One round. Raises psycopg.Error."""
        expired = connection.execute(
            queries.EXPIRE_COMMANDS, {"sent_s": SENT_GRACE_S, "acked_s": ACKED_GRACE_S}
        ).rowcount
        if expired:
            self._metrics.expired.inc(expired)
            log.info("commands_expired", count=expired)
        if not self._connected():
            return
        if self._link.connections != self._seen_connections:
            self._seen_connections = self._link.connections
            self._page = ("", "")
            connection.execute(queries.FORGET_TRIES)
        while self._publish_commands(connection) and not self._stopping.is_set():
            pass
        while self._publish_desired(connection) and not self._stopping.is_set():
            pass
        self._publish_page(connection)

    def _connected(self) -> bool:
        if not self._link.is_connected and time.monotonic() >= self._reconnect_at_s:
            if self._link.connect():
                self._failures = 0
            else:
                shortest_s, longest_s = RECONNECT_S
                pause_s = min(longest_s, shortest_s * 2**self._failures)
                self._failures = min(self._failures + 1, 10)
                self._reconnect_at_s = time.monotonic() + random.uniform(0, pause_s)  # noqa: S311 - jitter, no secret
        self._metrics.connected.set(self._link.is_connected)
        return self._link.is_connected

    def _publish_commands(self, connection: Connection) -> bool:
        """Publish commands that are due; whether there may be more."""
        rows = connection.execute(queries.DUE_COMMANDS, {"retry_s": RETRY_S, "limit": IN_FLIGHT_MAX}).fetchall()
        due = [DueCommand(*row) for row in rows]
        if not due:
            return False
        now = datetime.now(UTC)
        outcomes = self._link.publish([command_message(one, now) for one in due])
        self._count("command", outcomes)
        connection.execute(
            queries.NOTE_COMMANDS,
            {
                "ids": [one.command_id for one in due],
                "sent": [outcome is Delivery.TAKEN for outcome in outcomes],
            },
        )
        return len(due) == IN_FLIGHT_MAX and Delivery.LOST not in outcomes

    def _publish_desired(self, connection: Connection) -> bool:
        """Publish configurations that are new; whether there may be more."""
        rows = connection.execute(queries.DUE_CONFIGS, {"limit": IN_FLIGHT_MAX}).fetchall()
        return self._publish_configs(connection, [CurrentConfig(*row) for row in rows]) == IN_FLIGHT_MAX

    def _publish_page(self, connection: Connection) -> None:
        """Publish the next page of all configurations, when the broker may have lost them."""
        if self._page is None:
            return
        tenant, gateway = self._page
        parameters = {"after_tenant": tenant, "after_gateway": gateway, "limit": IN_FLIGHT_MAX}
        current = [CurrentConfig(*row) for row in connection.execute(queries.CURRENT_CONFIGS, parameters)]
        if self._publish_configs(connection, current) < len(current):
            return
        self._page = (current[-1].tenant, current[-1].gateway) if len(current) == IN_FLIGHT_MAX else None

    def _publish_configs(self, connection: Connection, current: Sequence[CurrentConfig]) -> int:
        """Publish retained configurations; how many the broker has now."""
        if not current:
            return 0
        outcomes = self._link.publish([config_message(one) for one in current])
        self._count("config", outcomes)
        # Retained, so it is there for a gateway that comes later: nobody needs to have heard it.
        sent = [
            one for one, outcome in zip(current, outcomes, strict=True) if outcome in {Delivery.TAKEN, Delivery.UNHEARD}
        ]
        connection.execute(
            queries.NOTE_CONFIGS,
            {
                "tenants": [one.tenant for one in sent],
                "gateways": [one.gateway for one in sent],
                "versions": [one.version for one in sent],
            },
        )
        return len(sent)

    def _count(self, kind: str, outcomes: Sequence[Delivery]) -> None:
        for outcome in outcomes:
            self._metrics.published.labels(kind, outcome.value).inc()

    def _wait(self, connection: Connection) -> None:
        """Until something is due: told by the database, a page that follows, a broker to be found again."""
        wait_s = AGAIN_S if self._page is not None or not self._link.is_connected else EVERY_S
        until_s = time.monotonic() + wait_s
        while not self._stopping.is_set() and time.monotonic() < until_s:
            if any(True for _ in connection.notifies(timeout=STEP_S, stop_after=1)):
                return


def _leads(connection: Connection) -> bool:
    row = connection.execute(queries.TRY_LEAD, {"key": LEAD_LOCK}).fetchone()
    return row == (True,)
