"""``shelfpulse stream run``: the process that turns frames into committed facts."""

import os
import select
import signal
import subprocess
import sys
import threading
import time
from datetime import datetime
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Annotated, Final

import psycopg
import structlog
import typer
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.run import cli_main

from contracts import logs
from contracts.errors import UserError
from stream import fence, metrics, storage
from stream.ack_publisher import AckPublisher
from stream.connecting import connect
from stream.control import Control
from stream.control_data import Beginning
from stream.endings import DatabaseAwayError, StoppedError
from stream.flow import Process, build_flow
from stream.live_spikes import LiveSpikes
from stream.rows import FenceLostError
from stream.settings import EPOCH_INTERVAL, StreamSettings, load_settings
from stream.writer import Prepare

log = structlog.get_logger()
app = typer.Typer(help="The dataflow: frames in, facts out.", no_args_is_help=True)

FENCE_LOST: Final = 75
"""Exit code (EX_TEMPFAIL): another process owns these buckets now."""
DATABASE_AWAY: Final = 69
"""Exit code (EX_UNAVAILABLE): the database stayed away; nothing was acknowledged, so a restart loses nothing."""
PREPARED_S: Final = 60.0
"""How long a day is trusted to still have its partition."""
STOP_S: Final = 20.0
PARTITIONS: Final = "shelfpulse-stream-partitions"
"""Name of the connection that makes them."""
PARENT_VARIABLE: Final = "SHELFPULSE_PARENT_FD"
"""Tells the processes of ``run_all`` which of their files ends with it."""


@app.callback()
def stream() -> None:
    """The dataflow: frames in, facts out."""


@app.command()
def run(
    processes: Annotated[int, typer.Option(min=1, max=64, help="Processes that share the 64 buckets.")] = 1,
    process: Annotated[int | None, typer.Option(min=0, help="Run only this one of them (0 is the first).")] = None,
) -> None:
    """Read frames from the broker and commit them, until told to stop.

    Exits with 0 after SIGTERM or SIGINT, 75 when another process took over, 69 when the database stayed away.
    """
    settings = load_settings()
    if processes > 1 and process is None:
        raise typer.Exit(run_all(processes))
    if process is not None and process >= processes:
        msg = f"--process {process}: of {processes} processes the last is {processes - 1}"
        raise UserError(msg)
    _end_with_parent()
    logs.configure("stream", format_="console" if settings.log_format == "console" else "json")
    raise typer.Exit(run_process(settings, processes, process or 0))


def run_process(settings: StreamSettings, processes: int, index: int) -> int:
    """Run one process of the stream to its end; returns the exit code. Raises UserError.

    Processes share nothing but the database and the broker, so that one may end without the others.
    """
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    server = _serve(settings.metrics_port + index if settings.metrics_port else 0, settings.metrics_host)
    span = fence.spans(processes)[index]
    control = Control(settings.dsn, settings.patience_s, stopping, span)
    claim, beginning, prepare = _take_over(settings, span, control)
    acks = AckPublisher(
        settings.broker,
        f"shelfpulse-stream-acks-{span.name}",
        beginning.lanes,
        lambda: fence.standing(settings.dsn, claim),
    )
    acks.start()
    flow = build_flow(Process(settings, span, claim, control, beginning, acks, prepare, stopping, LiveSpikes(control)))
    log.info("stream_started", buckets=span.name, generation=claim.generation)
    try:
        cli_main(  # type: ignore[no-untyped-call] # Bytewax does not annotate it
            flow, epoch_interval=EPOCH_INTERVAL, recovery_config=_recovery(settings.recovery_dir / span.name)
        )
    except Exception as error:  # noqa: BLE001 - the outermost loop: Bytewax wraps ours in a RuntimeError of its own
        return _exit_code(error)
    else:
        log.info("stream_stopped")
        return 0
    finally:
        stopping.set()
        acks.close()
        if server is not None:
            server.shutdown()


def run_all(processes: int) -> int:
    """Run all processes on this machine; when one ends the others are ended too, for a supervisor to start all anew."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    command = [sys.executable, "-m", "stream.main", "run", "--processes", str(processes), "--process"]
    # Nobody writes to it: it ends when we do, however that comes, and with it our processes.
    alive, _held = os.pipe()
    env = {**os.environ, PARENT_VARIABLE: str(alive)}
    children = [
        subprocess.Popen([*command, str(index)], env=env, pass_fds=[alive])  # noqa: S603 - ourselves
        for index in range(processes)
    ]
    while not stopping.wait(0.2) and all(child.poll() is None for child in children):
        pass
    asked = stopping.is_set()
    first = next((child.returncode for child in children if child.returncode), 0)
    for child in children:
        if child.poll() is None:
            child.terminate()
    deadline = time.monotonic() + STOP_S
    for child in children:
        try:
            child.wait(max(deadline - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
    if any(child.returncode == FENCE_LOST for child in children):
        return FENCE_LOST
    if asked:
        return next((child.returncode for child in children if child.returncode), 0)
    # Negative is the number of the signal that killed it.
    return first if first > 0 else 1


def _end_with_parent() -> None:
    """End at once, as by kill -9, when the process that started us is gone: two must not be started beside us."""
    given = os.environ.get(PARENT_VARIABLE)
    if given is None:
        return
    alive = int(given)

    def wait() -> None:
        os.read(alive, 1)
        os.kill(os.getpid(), signal.SIGKILL)

    if select.select([alive], [], [], 0)[0]:
        wait()
    threading.Thread(target=wait, name="parent", daemon=True).start()


def _take_over(settings: StreamSettings, span: fence.Span, control: Control) -> tuple[fence.Fence, Beginning, Prepare]:
    """Take the buckets, then read where they stand: not the other way round, or the last owner may still move them."""
    try:
        prepare = _prepare(settings.dsn)
        claim = fence.take(settings.dsn, span)
        return claim, control.start(), prepare
    except psycopg.Error as error:
        msg = f"cannot start from the database: {str(error).strip()}"
        raise UserError(msg, "is it running and migrated?") from error


def _prepare(dsn: str) -> Prepare:
    """Makes partitions, on a connection of its own; asks the catalogue at most once a minute for a range of days."""
    connection = storage.connect(dsn, application=PARTITIONS)
    tier = storage.probe_tier(connection)
    prepared: dict[tuple[object, object], float] = {}

    def prepare(lo: datetime, hi: datetime) -> None:
        nonlocal connection
        days = (lo.date(), hi.date())
        now = time.monotonic()
        if now - prepared.get(days, -PREPARED_S) < PREPARED_S:
            return
        if connection.closed:
            connection = connect(dsn, PARTITIONS, autocommit=True)
        storage.ensure_partitions(connection, tier, lo, hi)
        prepared.clear()
        prepared[days] = now

    return prepare


def _recovery(directory: Path) -> RecoveryConfig:
    """The recovery store of a span of buckets, made when there is none."""
    directory.mkdir(parents=True, exist_ok=True)
    if not any(directory.iterdir()):
        init_db_dir(directory, 1)  # type: ignore[no-untyped-call] # Bytewax does not annotate it
    return RecoveryConfig(directory)  # type: ignore[no-untyped-call] # nor this


def _serve(port: int, host: str) -> ThreadingHTTPServer | None:
    if not port:
        return None
    try:
        return metrics.serve(port, host)
    except OSError as error:
        msg = f"SHELFPULSE_METRICS_PORT: {error.strerror}"
        raise UserError(msg, "choose a free port") from error


def _exit_code(error: Exception) -> int:
    """What the end of the execution means for who started us."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, FenceLostError):
            log.error("stream_fenced", error=str(cause))
            return FENCE_LOST
        if isinstance(cause, StoppedError):
            log.info("stream_stopped", committed="all but the last epoch: the database is away")
            return 0
        if isinstance(cause, DatabaseAwayError):
            log.error("stream_gave_up", error=str(cause))
            return DATABASE_AWAY
        cause = cause.__cause__
    log.error("stream_failed", exc_info=error)
    return 1


if __name__ == "__main__":
    app()
