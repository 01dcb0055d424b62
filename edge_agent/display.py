"""How the command line shows what it found: rich tables for people, JSON for machines."""

import json
import sys
from collections.abc import Mapping, Sequence
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


def show_found(found: Sequence[tuple[str, "Found"]], asked: int) -> None:
    """Who answered a scan; each with the bus where."""
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table("bus", "unit", "ms", "table", "answer")
    for where, each in found:
        rows = [(function.name.lower(), answer) for function, answer in each.answers.items()]
        if each.is_garbled:
            rows = [("", "[red]noise: a wrong speed or parity, or two units with one number[/red]")]
        for k, (name, answer) in enumerate(rows):
            head = ("", "", "") if k else (where, str(each.unit), f"{each.latency_ms:.1f}")
            table.add_row(*head, name, answer)
    console = Console()
    if found:
        console.print(table)
    console.print(f"{len(found)} of {asked} units answer", highlight=False)


def show_checked(checked: Sequence["Checked"], loads: Mapping[str, float], shown: "Shown") -> None:
    """What the devices said, how busy that makes their buses, and by which configuration they were asked."""
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table("device", "unit", "ms", "channel", "value", "quality")
    for each in checked:
        head = (each.device.name, f"{each.device.bus}/{each.device.unit}", f"{each.latency_ms:.1f}")
        if each.error:
            table.add_row(*head[:2], "", "", f"[red]{each.error}[/red]", "")
            continue
        for value in each.values:
            number = f"{value.value:g} {unit_for(value.channel)}"
            table.add_row(*head, value.channel, number, value.quality.name.lower())
            head = ("", "", "")
        for channel in each.absent:
            table.add_row(*head, channel, "[red]the device has no such register[/red]", "")
            head = ("", "", "")
    console = Console()
    told = shown.as_json()
    from_afar = "edge.toml alone" if told["version"] is None else f"version {told['version']}, {told['state']}"
    console.print(f"in force: {from_afar}; broker {told['broker']}", highlight=False, markup=False)
    if shown.misfit:
        console.print(f"the applied configuration does not fit: {shown.misfit}", highlight=False, markup=False)
    console.print(table)
    for bus, load in loads.items():
        text = f"bus {bus}: {load:.0%} busy when polled as configured"
        console.print(text if load <= 1 else f"[red]{text}: longer periods or more buses are needed[/red]")
    good = sum(each.is_ok for each in checked)
    console.print(f"{good} of {len(checked)} devices answer with all of their registers", highlight=False)


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
