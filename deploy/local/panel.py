"""The live panel of ``shelfpulse up``, and the plain lines where there is no terminal."""

import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table

from deploy.local.discovery import StackInfo
from deploy.local.figures import Counts, Tally

STORY_LINES: Final = 6
PLAIN_EVERY_S: Final = 5.0


@dataclass
class View:
    """What is shown: the newest figures, and what was told last."""

    info: StackInfo | None = None
    counts: Counts | None = None
    readings_per_s: float = 0.0
    tally: Tally = field(default_factory=Tally)
    pids: Mapping[str, int] = field(default_factory=dict)
    told: deque[str] = field(default_factory=lambda: deque(maxlen=STORY_LINES))


def welcome(info: StackInfo) -> RenderableType:
    """Where to go and with what; printed once, so that it stays when the panel is gone."""
    lines = Table.grid(padding=(0, 2))
    lines.add_row("pages", info.api_url)
    lines.add_row("API", f"{info.api_url}/docs")
    lines.add_row("live stream", f"{info.api_url}/v1/live")
    if not info.logins:
        return lines
    logins = Table("log-in", "password", "role", title="demo log-ins", title_justify="left")
    for login in info.logins:
        logins.add_row(login.login, login.password, login.role)
    return Group(lines, logins)


def render(view: View) -> RenderableType:
    """The panel."""
    figures = Table.grid(padding=(0, 3))
    for row in _rows(view):
        figures.add_row(*row)
    title = f"ShelfPulse {view.info.api_url}" if view.info else "ShelfPulse"
    return Panel(Group(figures, "", *(f"[dim]{line}[/]" for line in view.told)), title=title, subtitle="Ctrl-C stops")


def plain(view: View) -> str:
    """The same in one line."""
    return "  ".join(f"{name} {value}" for row in _rows(view) for name, value in zip(row[::2], row[1::2], strict=True))


def _rows(view: View) -> Sequence[tuple[str, ...]]:
    counts = view.counts
    if counts is None:
        return ()
    lag_ms = view.tally.lag_ms(0.99)
    lag = "-" if lag_ms is None else f"{lag_ms:.0f} ms"
    return (
        ("readings/s", f"{view.readings_per_s:.0f}", "committed", f"{counts.committed}", "lag p99", lag),
        (
            "sales",
            f"{counts.sales}",
            "restocks",
            f"{counts.restocks}",
            "duplicates dropped",
            f"{view.tally.duplicates}",
        ),
        ("anomalies", f"{counts.anomalies}", "proposals", f"{counts.proposals}", "processes", f"{len(view.pids)}"),
    )


class Screen:
    """Shows a view: a live panel on a terminal, else a line every few seconds. Use as a context manager."""

    def __init__(self, console: Console, view: View) -> None:
        self._console = console
        self._view = view
        self._live: Live | None = None
        self._next_plain = 0.0

    def say(self, text: str) -> None:
        """Tell people something."""
        stamp = time.strftime("%H:%M:%S")
        if self._live is None:
            self._console.print(f"{stamp} {text}", highlight=False, markup=False, soft_wrap=True)
        else:
            self._view.told.append(f"{stamp} {text}")

    def begin(self, info: StackInfo) -> None:
        """The stack is up: print where it is, and go live."""
        self._view.info = info
        self._console.print(welcome(info))
        if self._console.is_terminal:
            self._live = Live(render(self._view), console=self._console, auto_refresh=False)
            self._live.start()

    def refresh(self) -> None:
        """Show the newest figures."""
        if self._live is not None:
            self._live.update(render(self._view), refresh=True)
        elif time.monotonic() >= self._next_plain and self._view.counts is not None:
            self._next_plain = time.monotonic() + PLAIN_EVERY_S
            self.say(plain(self._view))

    def end(self) -> None:
        """Leave the terminal as it was."""
        if self._live is not None:
            self._live.stop()
            self._live = None
