"""How the command line shows what it found: rich tables for people, JSON for machines."""

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from contracts.metrics import unit_for

if TYPE_CHECKING:
    from edge_agent.bus.survey import Checked, Found
    from edge_agent.outbox.account import OutboxAccount
    from edge_agent.remote.in_force import Shown

JsonOption = Annotated[bool, typer.Option("--json", help="JSON for machines.")]


def print_json(value: Any) -> None:
    """One line of JSON."""
    sys.stdout.write(json.dumps(value) + "\n")


def show_found(found: Sequence["Found"], asked: int) -> None:
    """Who answered a scan."""
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table("unit", "function", "answer")
    for each in found:
        table.add_row(str(each.unit), each.function.name.lower(), each.answer)
    console = Console()
    if found:
        console.print(table)
    console.print(f"{len(found)} of {asked} units answer", highlight=False)


def show_checked(checked: Sequence["Checked"], shown: "Shown") -> None:
    """What the devices said, and by which configuration they were asked."""
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table("device", "unit", "channel", "value", "quality")
    for each in checked:
        where = f"{each.device.bus}/{each.device.unit}"
        if each.error:
            table.add_row(each.device.name, where, "", f"[red]{each.error}[/red]", "")
            continue
        for value in each.values:
            number = f"{value.value:g} {unit_for(value.channel)}"
            table.add_row(each.device.name, where, value.channel, number, value.quality.name.lower())
        for channel in each.absent:
            table.add_row(each.device.name, where, channel, "[red]the device has no such register[/red]", "")
    console = Console()
    told = shown.as_json()
    from_afar = "edge.toml alone" if told["version"] is None else f"version {told['version']}, {told['state']}"
    console.print(f"in force: {from_afar}; broker {told['broker']}", highlight=False, markup=False)
    if shown.misfit:
        console.print(f"the applied configuration does not fit: {shown.misfit}", highlight=False, markup=False)
    console.print(table)


def show_account(account: "OutboxAccount") -> None:
    """What an outbox holds."""
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table("lane", "waiting", "oldest s", "committed", "frames written", "readings written", "readings lost")
    for lane in account.lanes:
        table.add_row(
            lane.lane, str(lane.frames_waiting), f"{lane.oldest_s:g}", str(lane.committed), str(lane.frames_written),
            str(lane.readings_written), str(lane.readings_lost),
        )  # fmt: skip
    console = Console()
    console.print(table)
    for gap in account.gaps:
        console.print(f"gap in {gap.lane}: {gap.first} … {gap.last}, {gap.reason}")
