"""The command: runs every check on the stack that the environment or the state directory names."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from contracts.errors import UserError
from deploy.doctor import broker, database, machine
from deploy.doctor.finding import Finding, Level, fail
from deploy.local.discovery import StackInfo, find_stack
from deploy.local.state import default_state

SICK_EXIT: Final = 1
_COLOURS: Final = {Level.OK: "green", Level.WARN: "yellow", Level.FAIL: "red", Level.SKIP: "dim"}

app = typer.Typer(help="Find what is commonly wrong, with the remedy.")


@app.callback(invoke_without_command=True)
def main(
    *,
    state: Annotated[
        Path | None, typer.Option(envvar="SHELFPULSE_STATE", help="State directory of the stack.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as one JSON object.")] = False,
) -> None:
    """Look at database, broker, stack and machine. Exits with 1 when something fails."""
    findings = list(examine(state or default_state()))
    is_well = all(finding.level is not Level.FAIL for finding in findings)
    if as_json:
        print(msgspec.json.encode({"ok": is_well, "findings": findings}).decode())  # noqa: T201 - the command's output
    else:
        _show(findings)
    if not is_well:
        raise typer.Exit(SICK_EXIT)


def examine(state: Path) -> Iterator[Finding]:
    """All findings. Addresses come from the environment, else from the stack that runs in ``state``."""
    yield from machine.check(state)
    yield from machine.check_proxies(os.environ.get("FORWARDED_ALLOW_IPS", ""))
    stack: StackInfo | None = None
    dsn = os.environ.get("SHELFPULSE_DSN", "")
    mqtt_url = os.environ.get("MQTT_URL") or os.environ.get("SHELFPULSE_MQTT_URL", "")
    try:
        stack = find_stack(state)
    except UserError as error:
        if not (dsn and mqtt_url):
            yield fail("stack", error.message, error.hint)
    if stack is not None:
        yield from machine.check_processes(stack)
    if dsn := dsn or (stack.dsn if stack else ""):
        yield from database.check(dsn)
    if mqtt_url := mqtt_url or (stack.mqtt_url if stack else ""):
        yield from broker.check(mqtt_url)


def _show(findings: list[Finding]) -> None:
    console = Console()
    table = Table(title="doctor")
    for heading in ("", "check", "found", "remedy"):
        table.add_column(heading)
    for finding in findings:
        colour = _COLOURS[finding.level]
        table.add_row(
            f"[{colour}]{finding.level}[/]", *(escape(text) for text in (finding.check, finding.what, finding.remedy))
        )
    console.print(table)
