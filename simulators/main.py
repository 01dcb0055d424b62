"""``shelfpulse simulate …``: stores of Modbus shelves, fleets of gateways, replays."""

from pathlib import Path
from typing import Annotated

import typer

from contracts import logs
from simulators import plan as plans
from simulators.playback import play

app = typer.Typer(no_args_is_help=True, help="Shelves, stores and fleets that behave like real ones.")


@app.callback()
def main() -> None:
    """Shelves, stores and fleets that behave like real ones."""
    logs.configure("simulate")


@app.command()
def store(
    plan: Annotated[Path, typer.Option(help="Plan of stores, shelves and story (simulators/plan.py).")],
    truth: Annotated[Path | None, typer.Option(help="Append what really happened to this file, a line each.")] = None,
) -> None:
    """Serve the shelves of a plan over Modbus TCP until SIGTERM; SIGUSR1 freezes them.

    Prints one JSON line {"event":"listening","ports":{gateway: port},…} when all ports are open.
    """
    play(plans.load(plan), truth)
