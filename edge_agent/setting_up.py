"""``shelfpulse edge claim | config | install``: what is done once to a gateway, and looked up later."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from edge_agent.display import JsonOption, print_json

if TYPE_CHECKING:
    from edge_agent.remote.in_force import Shown

CONFIG: Final = Path("edge.toml")
INSTALLED_CONFIG: Final = Path("/etc/shelfpulse/edge.toml")

app = typer.Typer()
config_app = typer.Typer(no_args_is_help=True)
app.add_typer(config_app, name="config", help="What is in force on this gateway: show.")


@app.command()
def claim(
    *,
    code: Annotated[str, typer.Argument(metavar="CODE", help="Four groups of five, from whoever invited the gateway.")],
    api: Annotated[str, typer.Option(metavar="https://…", help="The platform's API.")],
    config: Annotated[Path, typer.Option("--config", metavar="EDGE.TOML", help="Written, or its [broker].")] = CONFIG,
    ca: Annotated[Path | None, typer.Option("--ca", metavar="FILE", help="Authority of the API's certificate.")] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Replace the [broker] of an existing file without asking.")
    ] = False,
    json_: JsonOption = False,
) -> None:
    """Redeem a claim code: this machine becomes the gateway that was invited.

    Writes edge.toml, and beside it the gateway's secret (mode 0600). The secret is never shown.
    """
    import importlib.metadata  # noqa: PLC0415 - a running agent does without

    from edge_agent.remote import claim as claiming  # noqa: PLC0415

    def confirm(question: str) -> bool:
        return yes or (sys.stdin.isatty() and typer.confirm(question))

    version = importlib.metadata.version("shelfpulse")
    claimed = claiming.claim(code, api=api, config=config, ca_file=ca, agent=version, confirm=confirm)
    if json_:
        print_json(claimed.as_json())
        return
    sys.stdout.write(f"this is gateway {claimed.gateway} of {claimed.tenant}, site {claimed.site}\n")
    for file in claimed.files:
        sys.stdout.write(f"wrote {file}\n")
    sys.stdout.write(f"next: shelfpulse edge check --config {config}\n")


@config_app.command()
def show(
    *,
    config: Annotated[Path, typer.Option("--config", metavar="EDGE.TOML", help="The gateway's file.")],
    json_: JsonOption = False,
) -> None:
    """What is in force: edge.toml, or a configuration from afar over it; without secrets."""
    from edge_agent.remote.in_force import in_force  # noqa: PLC0415
    from edge_agent.settings import load  # noqa: PLC0415

    shown = in_force(load(config))
    if json_:
        print_json(shown.as_json())
    else:
        _show(shown)


@app.command()
def install(
    *,
    config: Annotated[
        Path, typer.Option("--config", metavar="EDGE.TOML", help="Where the configuration is, or will be.")
    ] = INSTALLED_CONFIG,
    program: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The command that the unit runs; this one unless given.")
    ] = None,
    user: Annotated[str, typer.Option(help="The system user that the agent runs as.")] = "shelfpulse",
    root: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write below DIR, and start nothing: for packages and images.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done.")] = False,
    json_: JsonOption = False,
) -> None:
    """Install the agent as a systemd service: user, folders, unit; then start it."""
    from edge_agent.install import steps  # noqa: PLC0415

    plan = steps.plan(config=config, program=program or steps.this_program(), user=user, root=root)
    if not dry_run:
        steps.carry_out(plan)
    if json_:
        print_json({"done": not dry_run, "steps": [step.as_json() for step in plan]})
        return
    for step in plan:
        sys.stdout.write(f"{'would ' if dry_run else ''}{step.say(dry_run=dry_run)}\n")


def _show(shown: "Shown") -> None:
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    told, console = shown.as_json(), Console()
    what = {"local": "edge.toml alone", "applied": "version {version}", "trying": "version {version}, on trial"}
    console.print(f"{told['tenant']}/{told['site']}/{told['gateway']} -> {told['broker']}", highlight=False)
    console.print(f"in force: {what[told['state']].format(**told)} ({told['source']})", highlight=False)
    if told["misfit"]:
        console.print(f"[red]the applied configuration does not fit: {told['misfit']}[/red]", highlight=False)
    table = Table("device", "unit", "profile", "channels")
    for device in told["device"]:
        table.add_row(
            device["name"], f"{device['bus']}/{device['unit']}", device["profile"], str(len(device["channels"]))
        )
    console.print(table)
    console.print(f"{len(told['slots'])} slots, heartbeat {told['report']['heartbeat_s']:g} s", highlight=False)
    for refused in told["refused"]:
        console.print(f"refused: version {refused['version']}: {refused['error']}", highlight=False, markup=False)
