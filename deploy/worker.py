"""``shelfpulse worker run``: what can wait, done on a schedule by procrastinate with its queue in our PostgreSQL.

Several workers may run: each occurrence of a schedule is deferred once, and every job may be repeated or cut short.
"""

import asyncio
import logging
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime
from threading import Lock
from typing import Annotated, Final, Literal

import procrastinate
import structlog
import typer
from procrastinate import exceptions

from contracts import logs
from contracts.errors import UserError
from deploy.downlink.link import Link
from deploy.downlink.runner import Downlink
from deploy.downlink.runner import Metrics as DownlinkMetrics
from deploy.planning import PLANNER
from deploy.serving import serve
from deploy.worker_metrics import HEALTHY_S, Metrics, Pace
from deploy.worker_settings import Settings, load
from platform_api import jobs as channel
from stream import jobs, retention, storage
from stream.settings import parse_mqtt_url
from stream.storage import Connection, Tier

CONCURRENCY: Final = 4
STOP_S: Final = 10.0
POOL_S: Final = 5.0
"""A queue that gets no connection for this long takes the database for lost."""
RECONNECT_S: Final = (0.5, 1.0, 2.0, 5.0, 10.0)
"""Waits before trying again while the database is away; the last repeats."""
REFRESH_SHARE: Final = 0.25
"""Most of the time that refreshing rollups may take: ingest shares the cores and the disk."""
HISTORY_H: Final = 72
"""Finished and failed jobs are forgotten after this time."""

app = typer.Typer(help="Background work: rollups, partitions, retention, expiry.", no_args_is_help=True)
log = structlog.get_logger()


@app.callback()
def main() -> None:
    """Background work."""


@app.command()
def run(
    log_format: Annotated[Literal["json", "console"] | None, typer.Option(help="Shape of the log lines.")] = None,
) -> None:
    """Work until SIGTERM or SIGINT."""
    settings = load()
    logs.configure("worker", format_=log_format or settings.log_format)
    # One line a job, every five seconds, says nothing that the metrics do not; failures we log ourselves, once.
    for library in ("procrastinate", "psycopg.pool"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    worker = Worker(settings)
    worker.serve_metrics()
    asyncio.run(worker.run())


class Worker:
    """Runs the schedule on one database. Nothing happens before ``run``."""

    def __init__(self, settings: Settings) -> None:
        self._dsn = settings.dsn.get_secret_value()
        self._settings = settings
        self._address = (settings.metrics_host, settings.metrics_port)
        self._metrics = Metrics()
        self._pace = Pace(share=REFRESH_SHARE)
        self._tier = Tier.PLAIN
        self._busy: set[Connection] = set()
        self._stopping = asyncio.Event()
        self._telling = Lock()
        self._downlink = _downlink(settings, self._metrics)

    def serve_metrics(self) -> None:
        """Serve /metrics and /healthz from a daemon thread. Raises UserError when the port is taken."""
        serve(self._address, self._metrics.registry, self._metrics.trouble)

    async def run(self) -> None:
        """Work until a signal, and over any absence of the database. Raises UserError when it has no schema."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        self._tier = await asyncio.to_thread(self._read_tier)
        # The schedule would come to it within ten minutes, and the first reading comes now.
        await asyncio.to_thread(self._measured, "extend_partitions", self._extend)
        log.info("worker_started", tier=self._tier)
        if self._downlink is None:
            log.warning("downlink_off", hint="set MQTT_URL, or commands and configurations wait")
        else:
            self._downlink.start()
        await self._work_on()
        if self._downlink is not None:
            await asyncio.to_thread(self._downlink.stop)
        log.info("worker_stopped")

    async def _work_on(self) -> None:
        """Work until told to stop, connecting again whenever the database was away."""
        failures = 0
        while not self._stopping.is_set():
            started_s = time.monotonic()
            try:
                # The pool of the queue would wait half a minute for what this finds out at once.
                await asyncio.to_thread(self._read_tier)
                await self._work()
            except (exceptions.ConnectorException, UserError) as error:
                failures = 0 if time.monotonic() - started_s > HEALTHY_S else failures + 1
                wait_s = RECONNECT_S[min(failures, len(RECONNECT_S) - 1)]
                log.warning("database_lost", error=str(error.__cause__ or error), wait_s=wait_s)
                await _wait(self._stopping, wait_s)

    async def _work(self) -> None:
        queue = self._queue()
        async with queue.open_async():
            work = asyncio.create_task(
                queue.run_worker_async(
                    concurrency=CONCURRENCY,
                    delete_jobs="successful",
                    install_signal_handlers=False,
                    shutdown_graceful_timeout=STOP_S,
                )
            )
            stop = asyncio.create_task(self._stopping.wait())
            await asyncio.wait((work, stop), return_when=asyncio.FIRST_COMPLETED)
            stop.cancel()
            if work.done():
                await work
                return
            # A statement that is under way is cancelled; its job is repeated at the next occasion.
            for connection in tuple(self._busy):
                await asyncio.to_thread(connection.cancel_safe)
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)

    def _queue(self) -> procrastinate.App:
        queue = procrastinate.App(
            connector=procrastinate.PsycopgConnector(conninfo=self._dsn, max_size=CONCURRENCY, timeout=POOL_S)
        )
        # Occurrences that lie further back than max_delay are left out: all jobs look at the present.
        queue.periodic_defaults["max_delay"] = HEALTHY_S
        schedule: tuple[tuple[str, str, Callable[[Connection], None]], ...] = (
            ("refresh_rollups", "* * * * * */5", self._refresh),
            ("extend_partitions", "*/10 * * * *", self._extend),
            ("apply_retention", "17 * * * *", self._retain),
            ("merge_ledger", "*/10 * * * *", self._merge),
            ("expire_proposals", "*/5 * * * *", self._expire),
            ("book_stock", "* * * * * */5", self._book_stock),
            ("reconcile_stock", "*/5 * * * *", self._reconcile_stock),
            ("expire_reservations", "* * * * *", self._expire_reservations),
            ("hold_expired", "*/10 * * * *", self._hold_expired),
            ("allocate_back_orders", "* * * * * */15", self._allocate),
            ("fulfil_proposals", "* * * * * */5", self._fulfil),
            ("confirm_refills", "* * * * * */15", self._confirm),
            ("deliver_webhooks", "* * * * * */2", self._deliver_webhooks),
            ("forget_events", "33 * * * *", self._forget_events),
            ("forget_answers", "23 * * * *", self._forget_answers),
            ("forecast_demand", "40 19 * * *", self._forecast),
        )
        for name, cron, job in schedule:
            self._schedule(queue, name, cron, job)

        @queue.periodic(cron="*/10 * * * *")
        @queue.task(name="sweep_jobs", queueing_lock="sweep_jobs")
        async def sweep(timestamp: int) -> None:  # noqa: ARG001 - procrastinate names its argument
            await _sweep(queue)

        return queue

    def _schedule(self, queue: procrastinate.App, name: str, cron: str, job: Callable[[Connection], None]) -> None:
        @queue.periodic(cron=cron)
        @queue.task(name=name, queueing_lock=name)
        def scheduled(timestamp: int) -> None:  # noqa: ARG001 - procrastinate names its argument
            self._measured(name, job)

    def _measured(self, name: str, job: Callable[[Connection], None]) -> None:
        started_s = time.monotonic()
        try:
            with storage.connect(self._dsn, application=f"shelfpulse worker {name}") as connection:
                self._busy.add(connection)
                try:
                    job(connection)
                finally:
                    self._busy.discard(connection)
        except Exception as error:
            self._metrics.done.labels(name, "failed").inc()
            log.warning("job_failed", job=name, error=" ".join(str(error).split()))
            raise
        self._metrics.done.labels(name, "done").inc()
        self._metrics.last_done_s = time.monotonic()
        self._metrics.seconds.labels(name).observe(time.monotonic() - started_s)

    def _refresh(self, connection: Connection) -> None:
        started_s = time.monotonic()
        if not self._pace.is_due(started_s):
            return
        outcome = jobs.refresh_dirty(connection, self._tier, time.monotonic)
        self._pace.note(started_s, time.monotonic())
        self._metrics.left.set(outcome.left)

    def _extend(self, connection: Connection) -> None:
        jobs.extend_partitions(connection, self._tier, _now())

    def _retain(self, connection: Connection) -> None:
        for name in jobs.apply_retention(connection, self._tier, _now(), self._settings.keep_readings):
            log.info("partition_dropped", name=name)
        retention.drop_minutes(connection, self._tier, _now() - self._settings.keep_minutes)
        forgotten = retention.forget_payloads(connection, _now() - self._settings.keep_payloads)
        if forgotten:
            log.info("payloads_forgotten", count=forgotten)

    def _merge(self, connection: Connection) -> None:
        merged = retention.merge_ledger(connection, _now())
        if merged:
            log.info("ledger_merged", half_hours=merged)

    def _expire(self, connection: Connection) -> None:
        expired = jobs.expire_proposals(connection, _now())
        if expired:
            log.info("proposals_expired", count=expired)

    def _book_stock(self, connection: Connection) -> None:
        channel.book_stock(connection, _now())

    def _expire_reservations(self, connection: Connection) -> None:
        channel.expire_reservations(connection, _now())

    def _hold_expired(self, connection: Connection) -> None:
        taken = channel.hold_expired(connection, _now())
        if taken:
            log.info("expired_held", places=taken)

    def _allocate(self, connection: Connection) -> None:
        channel.allocate_back_orders(connection, _now())

    def _fulfil(self, connection: Connection) -> None:
        channel.fulfil_proposals(connection, _now(), PLANNER)

    def _confirm(self, connection: Connection) -> None:
        channel.confirm_refills(connection, _now())

    def _deliver_webhooks(self, connection: Connection) -> None:
        # A round lasts as long as its slowest endpoint: more of them would take the place of the other jobs.
        if self._telling.acquire(blocking=False):
            try:
                channel.deliver_webhooks(connection, _now, self._settings.sending, self._stopping.is_set)
            finally:
                self._telling.release()

    def _forget_events(self, connection: Connection) -> None:
        channel.forget_events(connection, _now())

    def _forget_answers(self, connection: Connection) -> None:
        channel.forget_answers(connection)

    def _reconcile_stock(self, connection: Connection) -> None:
        compared = channel.reconcile_stock(connection, _now())
        if compared.posted or compared.counts:
            log.info("stock_reconciled", shelves=compared.shelves, posted=compared.posted, counts=compared.counts)

    def _forecast(self, connection: Connection) -> None:
        # Two seconds and much memory to import, for a job of once a night.
        from stream.nightly import forecast_demand  # noqa: PLC0415

        done = forecast_demand(connection, _now())
        if done.series:
            log.info("demand_forecast", series=done.series, policies=done.policies)

    def _read_tier(self) -> Tier:
        with storage.connect(self._dsn, application="shelfpulse worker") as connection:
            return storage.probe_tier(connection)


def _downlink(settings: Settings, metrics: Metrics) -> Downlink | None:
    """The publisher of commands and configurations, None without a broker. Raises UserError for a bad address."""
    url = settings.mqtt_url.get_secret_value()
    if not url:
        return None
    return Downlink(settings.dsn.get_secret_value(), Link(parse_mqtt_url(url)), DownlinkMetrics(metrics.registry))


async def _sweep(queue: procrastinate.App) -> None:
    # A worker that was killed leaves its jobs as "doing"; the next occurrence has done their work since.
    for job in await queue.job_manager.get_stalled_jobs():
        await queue.job_manager.finish_job(job, status=procrastinate.jobs.Status.FAILED, delete_job=True)
    await queue.job_manager.delete_old_jobs(nb_hours=HISTORY_H, include_failed=True)


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), timeout_s)
    except TimeoutError:
        return


def _now() -> datetime:
    return datetime.now(UTC)
