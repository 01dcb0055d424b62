"""``shelfpulse edge``: run check scan outbox infer.

What a command needs is imported when it runs: the running agent keeps in memory only what it uses.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from contracts.errors import UserError

if TYPE_CHECKING:
    from edge_agent.bus.survey import Checked
    from edge_agent.outbox.account import OutboxAccount
    from edge_agent.tables import Bus

METRICS_PORT: Final = "SHELFPULSE_METRICS_PORT"
LOG_FORMAT: Final = "SHELFPULSE_LOG_FORMAT"
PORT_MAX: Final = 65_535
UNIT_MAX: Final = 247
FAILED: Final = 1
"""Exit code of ``check`` when a device is silent or lacks a register."""

app = typer.Typer(no_args_is_help=True, help="A gateway: polls devices, infers sales, keeps and sends.")
ConfigOption = Annotated[Path, typer.Option("--config", metavar="EDGE.TOML", help="The gateway's configuration.")]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON for machines.")]


@app.command()
def run(config: ConfigOption) -> None:
    """Run the agent until SIGTERM or SIGINT.

    On SIGTERM it stops polling, puts what it has into the outbox and, when the configuration's drain_s is above 0,
    waits at most so long until the platform has committed everything (a second SIGTERM ends the wait).
    On SIGUSR1 it stops polling and goes on sending.
    """
    from contracts import logs  # noqa: PLC0415 - see the module's first lines

    logs.configure("edge", format_=_log_format())  # type: ignore[arg-type]  # checked there
    import importlib.metadata  # noqa: PLC0415

    from edge_agent.agent import Agent, Request  # noqa: PLC0415
    from edge_agent.clock import SystemClock  # noqa: PLC0415
    from edge_agent.settings import load  # noqa: PLC0415

    port = _metrics_port()
    agent = Agent(load(config), SystemClock(), importlib.metadata.version("shelfpulse"))
    health = None
    if port:
        from edge_agent.health import HealthServer  # noqa: PLC0415

        health = HealthServer(agent, port)
        health.start()
    requests = {signal.SIGTERM: Request.STOP, signal.SIGINT: Request.STOP, signal.SIGUSR1: Request.FREEZE}

    def hear(number: int, _frame: object) -> None:
        agent.ask(requests[signal.Signals(number)])

    for number in requests:
        signal.signal(number, hear)
    try:
        agent.run()
    finally:
        if health is not None:
            health.stop()


@app.command()
def check(*, config: ConfigOption, json_: JsonOption = False) -> None:
    """Validate the configuration, ask every device once, and show what it says.

    Exits with 1 when a device is silent or lacks a register.
    """
    from edge_agent.bus import survey  # noqa: PLC0415
    from edge_agent.settings import load  # noqa: PLC0415

    settings = load(config)
    checked = list(survey.check(settings.devices, settings.buses))
    if json_:
        _print_json(
            {
                "config": str(config),
                "broker": None if settings.broker is None else repr(settings.broker),
                "slots": len(settings.slots),
                "devices": [each.as_json() for each in checked],
            }
        )
    else:
        _show_checked(checked)
    if any(each.error or each.absent for each in checked):
        raise typer.Exit(FAILED)


@app.command()
def scan(
    *,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="EDGE.TOML", help="Take the bus from here …")
    ] = None,
    bus: Annotated[str | None, typer.Option(help="… by this name (the first unless given).")] = None,
    tcp: Annotated[str | None, typer.Option(metavar="HOST:PORT", help="Or a Modbus TCP server.")] = None,
    first: Annotated[int, typer.Option(min=1, max=UNIT_MAX, help="First unit to ask.")] = 1,
    last: Annotated[int, typer.Option(min=1, max=UNIT_MAX, help="Last unit to ask.")] = UNIT_MAX,
    json_: JsonOption = False,
) -> None:
    """Find the units on a bus: each is asked for one register."""
    from rich.progress import track  # noqa: PLC0415

    from edge_agent.bus import survey  # noqa: PLC0415

    units = range(first, last + 1)
    answers = survey.scan(_bus(config, bus, tcp), units)
    steps = track(answers, "asking units", total=len(units), transient=True, disable=json_ or not sys.stderr.isatty())
    found = [each for _, each in steps if each is not None]
    if json_:
        _print_json([{"unit": each.unit, "function": int(each.function), "answer": each.answer} for each in found])
        return
    for each in found:
        sys.stdout.write(f"unit {each.unit}: {each.answer} (function {int(each.function)})\n")
    sys.stdout.write(f"{len(found)} of {len(units)} units answer\n")


@app.command()
def outbox(
    *,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="EDGE.TOML", help="Take the file from here …")
    ] = None,
    file: Annotated[Path | None, typer.Option("--file", help="… or this file.")] = None,
    json_: JsonOption = False,
) -> None:
    """What waits, what was ever written, and which gaps were declared; also while the agent runs."""
    from edge_agent.outbox import account  # noqa: PLC0415

    if file is None:
        if config is None:
            msg = "which outbox?"
            raise UserError(msg, "give --config edge.toml or --file outbox.db")
        from edge_agent.settings import load  # noqa: PLC0415

        file = load(config).outbox
    read = account.read(file)
    if json_:
        _print_json(read.as_json())
    else:
        _show_account(read)


@app.command()
def infer(
    *,
    trace: Annotated[Path, typer.Argument(metavar="TRACE.CSV", help="t_ms,slot,weight_g,temp_c")],
    slots: Annotated[Path, typer.Option(help="slot,role(own|neighbour),sku,unit_weight_g,unit_weight_sd_g,capacity")],
    out: Annotated[Path, typer.Option(help="A JSON line an event.")],
    start: Annotated[Path | None, typer.Option(help="Units at the beginning: {slot: units}.")] = None,
) -> None:
    """Infer sales and restocks from a recorded trace of weights."""
    from edge_agent.shelf import offline  # noqa: PLC0415

    try:
        with out.open("w", encoding="utf-8") as lines:
            for decision in offline.infer(trace, slots, start):
                lines.write(json.dumps(offline.as_json(decision)) + "\n")
    except OSError as error:
        msg = f"cannot write {out}: {error.strerror}"
        raise UserError(msg) from error


def _log_format() -> str:
    text = os.environ.get(LOG_FORMAT, "json")
    if text not in {"json", "console"}:
        msg = f"{LOG_FORMAT}: {text!r} is neither json nor console"
        raise UserError(msg)
    return text


def _metrics_port() -> int:
    text = os.environ.get(METRICS_PORT, "0")
    if not text.isdecimal() or int(text) > PORT_MAX:
        msg = f"{METRICS_PORT}: {text!r} is no port"
        raise UserError(msg, "0 turns it off")
    return int(text)


def _bus(config: Path | None, name: str | None, tcp: str | None) -> "Bus":
    from edge_agent.settings import load  # noqa: PLC0415
    from edge_agent.tables import TcpBus  # noqa: PLC0415

    if tcp is not None:
        host, _, port = tcp.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) <= PORT_MAX:
            msg = f"--tcp {tcp}: not HOST:PORT"
            raise UserError(msg)
        return TcpBus(kind="tcp", name="scan", host=host, port=int(port))
    if config is None:
        msg = "which bus?"
        raise UserError(msg, "give --config edge.toml or --tcp HOST:PORT")
    buses = load(config).buses
    wanted = name or next(iter(buses), "")
    if wanted not in buses:
        msg = f"{config}: no bus is named {wanted!r}"
        raise UserError(msg)
    return buses[wanted]


def _print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value) + "\n")


def _show_checked(checked: list["Checked"]) -> None:
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    from contracts.metrics import unit_for  # noqa: PLC0415

    table = Table("device", "unit", "channel", "value", "quality")
    for each in checked:
        where = f"{each.device.bus}/{each.device.unit}"
        if each.error:
            table.add_row(each.device.name, where, "", f"[red]{each.error}[/red]", "")
            continue
        for value in each.values:
            shown = f"{value.value:g} {unit_for(value.channel)}"
            table.add_row(each.device.name, where, value.channel, shown, value.quality.name.lower())
        for channel in each.absent:
            table.add_row(each.device.name, where, channel, "[red]the device has no such register[/red]", "")
    Console().print(table)


def _show_account(account: "OutboxAccount") -> None:
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
