"""``shelfpulse up``: starts the local stack, watches it, and stops it."""

import contextlib
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import psycopg
from rich.console import Console

from contracts import logs
from contracts.errors import UserError
from deploy.demo import market
from deploy.local.closing import Summary, drain, summarise
from deploy.local.figures import read_counts, scrape
from deploy.local.interrupts import Interrupts
from deploy.local.outboxes import written
from deploy.local.panel import Screen, View
from deploy.local.stack import Stack
from deploy.local.state import StateDir

if TYPE_CHECKING:
    from deploy.demo.scene import Demo

TICK_S: Final = 0.2
FIGURES_EVERY_S: Final = 1.0
INTERRUPTED: Final = 130
BROKEN: Final = 1


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command was told. ``run_for_s`` None: until Ctrl-C."""

    state: Path
    demo: bool
    run_for_s: float | None
    json: bool


def run(options: Options) -> int:
    """Run the stack and return the exit code: 0, 1 when an account does not balance, 130 when cut short.

    Raises UserError when it cannot start.
    """
    # With --json the one object stands alone on stdout.
    console = Console(stderr=options.json)
    view = View()
    screen = Screen(console, view)
    with contextlib.closing(_Session(options, screen, view)) as session:
        return session.run()


class _Session:
    """One run of the command."""

    def __init__(self, options: Options, screen: Screen, view: View) -> None:
        self._options = options
        self._screen = screen
        self._view = view
        self._stack = Stack(options.state, screen.say)
        _log_to_file(self._stack.state)
        self._demo: Demo | None = None
        self._tenant = market.TENANT if options.demo else ""
        self._connection: psycopg.Connection | None = None
        self._figures_at = 0.0

    def close(self) -> None:
        self._screen.end()
        if self._connection is not None:
            self._connection.close()

    def run(self) -> int:
        options = self._options
        with self._stack, Interrupts(self._stack.supervisor.kill_all) as interrupts:
            self._start(interrupts.asked)
            end = None if options.run_for_s is None else time.monotonic() + options.run_for_s
            while not interrupts.asked() and (end is None or time.monotonic() < end):
                self._tick()
                interrupts.wait(TICK_S)
            summary = None
            if end is not None and not interrupts.asked():
                summary = self._finish()
            if self._demo:
                self._demo.stop_history()
            self._screen.end()
            self._screen.say("stopping")
        if summary is None:
            # Without a limit Ctrl-C is how the command is meant to end.
            return INTERRUPTED if end is not None else 0
        self._print(summary)
        return 0 if summary.is_ok else BROKEN

    def _start(self, interrupted: Callable[[], bool]) -> None:
        """Start what the first reading on the page needs, in the order that shows it soonest; the rest follows."""
        stack = self._stack
        stack.launch_services()
        stack.start_api()
        demo = self._demo = self._load_demo()
        if demo:
            demo.start_shelves()
        stack.wait_services(interrupted)
        if interrupted():
            return
        stack.start_stream()
        access = demo.register() if demo else None
        stack.write_access()
        if demo:
            demo.start_first_gateway(interrupted)
        stack.supervisor.wait_ready("stream", "api", interrupted=interrupted)
        if interrupted():
            return
        stack.start_worker()
        stack.start_access()
        if access:
            info = stack.publish(tenant=market.TENANT, logins=access.logins, api_key=access.api_key)
        else:
            info = stack.publish()
        self._screen.begin(info)

    def _load_demo(self) -> "Demo | None":
        if not self._options.demo:
            return None
        from deploy.demo.scene import Demo  # noqa: PLC0415 - takes a second to load, while the database starts

        return Demo(self._stack, self._screen.say)

    def _tick(self) -> None:
        supervisor = self._stack.supervisor
        before = supervisor.pids()
        supervisor.tick()
        self._view.pids = supervisor.pids()
        if self._view.pids != before and self._view.info is not None:
            self._view.info = self._stack.publish(
                tenant=self._view.info.tenant, logins=self._view.info.logins, api_key=self._view.info.api_key
            )
        if self._demo:
            self._demo.tick()
        if time.monotonic() >= self._figures_at:
            self._read_figures()
            self._figures_at = time.monotonic() + FIGURES_EVERY_S
            self._screen.refresh()

    def _read_figures(self) -> None:
        sample = scrape(self._stack.metrics["stream"])
        if sample is not None:
            self._view.tally.add(sample)
        try:
            counts = read_counts(self._database(), self._tenant)
        except psycopg.Error:
            # The database is away: the panel shows what it knew.
            self._connection = None
            return
        if self._view.counts is not None:
            self._view.readings_per_s = (counts.committed - self._view.counts.committed) / FIGURES_EVERY_S
        self._view.counts = counts

    def _database(self) -> psycopg.Connection:
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(self._stack.dsn, autocommit=True, connect_timeout=2)
        return self._connection

    def _finish(self) -> Summary:
        """Stop production, wait until all of it is committed, and draw up the account."""
        self._screen.say("stopping the gateways; they hand over what they hold")
        total = None
        if self._demo:
            self._demo.stop_gateways()
            total = written(self._demo.outboxes())
        counts = drain(self._database(), self._tenant, total.readings if total else 0)
        self._read_figures()
        from deploy.verify import verify  # noqa: PLC0415 - takes a second to load, and only the end needs it

        self._screen.say("verifying")
        report = verify(self._stack.dsn, total.accounts if total else ())
        broken = [f"{one.invariant} {one.where}: {one.what}" for one in report.broken]
        return summarise(total, counts, self._view.tally, broken)

    def _print(self, summary: Summary) -> None:
        if self._options.json:
            sys.stdout.write(msgspec.json.encode(summary).decode() + "\n")
            return
        for name, value in msgspec.structs.asdict(summary).items():
            self._screen.say(f"{name} {value}")


def _log_to_file(state: StateDir) -> None:
    """Our own log goes where those of the processes are; the terminal is for people."""
    file = (state.logs / "up.log").open("a")
    with contextlib.redirect_stderr(file):
        logs.configure("up")


def parse_duration(text: str) -> float:
    """Seconds of ``90``, ``90s``, ``2m`` or ``1h``. Raises UserError."""
    units = {"s": 1.0, "m": 60.0, "h": 3600.0}
    unit = units.get(text[-1:], 0.0)
    digits = text[:-1] if unit else text
    try:
        seconds = float(digits) * (unit or 1.0)
    except ValueError as error:
        message = f"{text!r} is no duration"
        raise UserError(message, "write it like 60s, 5m or 1h") from error
    if not 0 < seconds < float("inf"):
        message = f"{text!r} is no duration"
        raise UserError(message, "write it like 60s, 5m or 1h")
    return seconds
