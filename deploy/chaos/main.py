"""The command ``shelfpulse chaos``."""

from typing import Annotated, Final

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from contracts import logs
from deploy.chaos.run import Options, Result, run
from deploy.chaos.scenes import SCENES

BROKEN: Final = 1

app = typer.Typer()


@app.callback(invoke_without_command=True)
def main(
    *,
    minutes: Annotated[float, typer.Option(min=0.1, max=1440, help="How long; the last scene is played out.")] = 5.0,
    seed: Annotated[int, typer.Option(help="The order of the scenes and what is struck follow from it.")] = 0,
    scene: Annotated[list[str] | None, typer.Option(help="Play only this one, once; repeatable. See --list.")] = None,
    dsn: Annotated[
        str, typer.Option(help="Server on which to make a database for the run; it is not killed then.")
    ] = "",
    list_: Annotated[bool, typer.Option("--list", help="Print the scenes, and do nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
) -> None:
    """Break a local stack on purpose, and prove after each scene that nothing was lost and nothing is there twice.

    A stack of its own with the demo's shelves and gateways: a running one is left alone. Exits with 1 when an
    invariant is broken, or something was not committed in time; then logs and data are kept.
    """
    logs.configure("chaos", level="ERROR", format_="console")
    if list_:
        for each in SCENES:
            Console().print(f"{each.name:20} {each.what}", highlight=False)
        return
    console = Console(stderr=True)
    options = Options(minutes=minutes, seed=seed, scenes=tuple(scene or ()), dsn=dsn)
    result = run(options, lambda text: console.print(text, style="dim", highlight=False))
    if as_json:
        print(msgspec.json.encode(result).decode())  # noqa: T201 - the command's output
    else:
        _print(result)
    if not result.ok:
        raise typer.Exit(BROKEN)


def _print(result: Result) -> None:
    table = Table("scene", "at", "recovered after", "broken", title=f"chaos, seed {result.seed}")
    for each in result.played:
        recovery = "never" if each.recovery_s is None else f"{each.recovery_s} s"
        table.add_row(each.scene, f"{each.at_s} s", recovery, "\n".join(each.broken) or "nothing")
    console = Console()
    console.print(table)
    for name, why in result.left_out.items():
        console.print(f"not played: {name} ({why})", highlight=False)
    console.print(
        f"readings {result.readings_committed} of {result.readings_sent}, gaps {result.gaps}, "
        f"in quarantine {result.quarantined}, verify {result.verify}",
        highlight=False,
    )
