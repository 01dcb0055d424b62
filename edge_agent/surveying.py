"""``shelfpulse edge check`` and ``edge scan``: for who installs a gateway in a back room.

What a command needs is imported when it runs, as in ``main``.
"""

import sys
from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

import typer

from contracts.errors import UserError
from edge_agent.display import JsonOption, print_json, show_checked, show_found

if TYPE_CHECKING:
    from edge_agent.bus.survey import Found
    from edge_agent.tables import Bus

PORT_MAX: Final = 65_535
UNIT_MAX: Final = 247
FAILED: Final = 1
"""Exit code of ``check`` when a device is silent or lacks a register, and of ``scan`` when nobody answers."""

app = typer.Typer()
T = TypeVar("T")


class Parity(StrEnum):
    """Of a serial line."""

    NONE = "N"
    EVEN = "E"
    ODD = "O"


@app.command()
def check(
    *,
    config: Annotated[Path, typer.Option("--config", metavar="EDGE.TOML", help="The gateway's configuration.")],
    json_: JsonOption = False,
) -> None:
    """Validate the configuration that is in force, ask every device, and show what it says and how fast.

    Exits with 1 when a device is silent or lacks a register.
    """
    _log_errors_only()
    from edge_agent.bus import survey  # noqa: PLC0415
    from edge_agent.remote.in_force import in_force  # noqa: PLC0415
    from edge_agent.settings import load  # noqa: PLC0415

    shown = in_force(load(config))
    settings = shown.settings
    answers = survey.check(settings.devices, settings.buses)
    checked = list(_with_progress(answers, "asking devices", len(settings.devices), quiet=json_))
    loads = survey.bus_loads(checked)
    if json_:
        print_json(
            {
                "config": str(config),
                "in_force": {key: shown.as_json()[key] for key in ("state", "version", "misfit")},
                "broker": None if settings.broker is None else repr(settings.broker),
                "slots": len(settings.slots),
                "buses": [{"bus": bus, "load": round(load_, 4)} for bus, load_ in loads.items()],
                "devices": [each.as_json() for each in checked],
            }
        )
    else:
        show_checked(checked, loads, shown)
    if not all(each.is_ok for each in checked):
        raise typer.Exit(FAILED)


@app.command()
def scan(  # noqa: PLR0913 - each option of a command is a parameter
    *,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="EDGE.TOML", help="Take the bus from here …")
    ] = None,
    bus: Annotated[str | None, typer.Option(help="… by this name (the first unless given).")] = None,
    tcp: Annotated[str | None, typer.Option(metavar="HOST:PORT", help="Or a Modbus TCP server.")] = None,
    rtu: Annotated[str | None, typer.Option(metavar="DEVICE", help="Or a serial port.")] = None,
    baudrate: Annotated[
        list[int] | None, typer.Option(min=300, help="Of the serial port; several are tried in turn. [default: 9600]")
    ] = None,
    parity: Annotated[list[Parity] | None, typer.Option(help="As well. [default: N]")] = None,
    first: Annotated[int, typer.Option(min=1, max=UNIT_MAX, help="First unit to ask.")] = 1,
    last: Annotated[int, typer.Option(min=1, max=UNIT_MAX, help="Last unit to ask.")] = UNIT_MAX,
    timeout: Annotated[float, typer.Option(min=0.01, max=60, help="Seconds to wait for each unit.")] = 0.2,
    json_: JsonOption = False,
) -> None:
    """Find the units on a bus, and which tables each has.

    Exits with 1 when nobody answers.
    """
    _log_errors_only()
    from edge_agent.bus import survey  # noqa: PLC0415
    from edge_agent.bus.modbus import describe  # noqa: PLC0415

    units = range(first, last + 1)
    found: list[tuple[str, Found]] = []
    lines = _buses(config, bus, tcp, rtu, baudrate or [9_600], parity or [Parity.NONE])
    for line in lines:
        answers = survey.scan(line, units, timeout)
        steps = _with_progress(answers, f"asking units at {describe(line)}", len(units), quiet=json_)
        found += [(describe(line), each) for _, each in steps if each is not None]
    if json_:
        print_json([{"where": where, **each.as_json()} for where, each in found])
    else:
        show_found(found, len(units) * len(lines))
    if not found:
        raise typer.Exit(FAILED)


def _log_errors_only() -> None:
    """What the running agent would log is in the table."""
    from contracts import logs  # noqa: PLC0415

    logs.configure("edge", level="ERROR", format_="console")


def _with_progress(steps: Iterable[T], text: str, total: int, *, quiet: bool) -> Iterable[T]:
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import track  # noqa: PLC0415

    return track(
        steps, text, total=total, transient=True, console=Console(stderr=True), disable=quiet or not sys.stderr.isatty()
    )


def _buses(
    config: Path | None,
    name: str | None,
    tcp: str | None,
    rtu: str | None,
    baudrates: Sequence[int],
    parities: Sequence[Parity],
) -> "list[Bus]":
    from edge_agent.settings import load  # noqa: PLC0415
    from edge_agent.tables import RtuBus, TcpBus  # noqa: PLC0415

    if sum(each is not None for each in (config, tcp, rtu)) != 1:
        msg = "which bus?"
        raise UserError(msg, "give --config edge.toml, --tcp HOST:PORT or --rtu DEVICE")
    if tcp is not None:
        host, _, port = tcp.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) <= PORT_MAX:
            msg = f"--tcp {tcp}: not HOST:PORT"
            raise UserError(msg)
        return [TcpBus(kind="tcp", name="scan", host=host, port=int(port))]
    if rtu is not None:
        return [
            RtuBus(kind="rtu", name="scan", device=rtu, baudrate=baudrate, parity=parity.value)
            for baudrate in baudrates
            for parity in parities
        ]
    assert config is not None
    buses = load(config).buses
    wanted = name or next(iter(buses), "")
    if wanted not in buses:
        msg = f"{config}: no bus is named {wanted!r}"
        raise UserError(msg)
    return [buses[wanted]]
