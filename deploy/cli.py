"""The command line: ``shelfpulse``.

Each part brings its own commands in its ``main.py``; here they are mounted under one name and imported only when they
are called, so that a gateway with the ``edge`` extra alone needs nothing else.

Exit codes: 0 fine; 1 an account does not balance or a process failed; 2 a mistake that the user can mend, told in one
line; 70 a defect of ours; 75 the stream lost its partitions to another process; 130 interrupted.
"""

import importlib
import importlib.metadata
import os
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

import typer

from contracts.errors import UserError

DEBUG_VARIABLE: Final = "SHELFPULSE_DEBUG"
DEFECT: Final = 70
INTERRUPTED: Final = 130

StateOption = Annotated[
    Path | None,
    typer.Option("--state", envvar="SHELFPULSE_STATE", help="State directory of the stack.", show_default=False),
]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON for machines.")]

app = typer.Typer(
    name="shelfpulse",
    no_args_is_help=True,
    add_completion=False,
    help="Sees what leaves the shelf, and refills it before it is empty.",
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Mount(NamedTuple):
    """Commands of another part. ``device``: on a local stack they get a gateway's access to the broker alone."""

    name: str
    module: str
    help: str
    extra: str
    path: tuple[str, ...] = ()
    device: bool = False


MOUNTS: Final = (
    Mount(
        "import",
        "deploy.local.importing",
        "Import a CSV or XLSX file; --help lists kinds and columns.",
        "all",
    ),
    Mount(
        "edge",
        "edge_agent.main",
        "A gateway: run, check, scan, outbox, infer, claim, config, install.",
        "edge",
        device=True,
    ),
    Mount("stream", "stream.main", "The dataflow: run.", "stream"),
    Mount("backtest", "stream.backtest.main", "What a replenishment policy would have cost on past demand.", "stream"),
    Mount("api", "platform_api.main", "The API and its pages: run, users, keys.", "api"),
    Mount("worker", "deploy.worker", "Background jobs: run.", "all"),
    Mount("simulate", "simulators.main", "Shelves, stores and fleets that behave like real ones.", "sim", device=True),
    Mount(
        "replay",
        "simulators.main",
        "Publish recorded frames until they are committed.",
        "sim",
        ("replay",),
        device=True,
    ),
    Mount("access", "deploy.access.main", "The broker's users and access list: run, write.", "all"),
    Mount("gateways", "deploy.gateways", "Let gateways in and take them out: invite, revoke, reinstate.", "all"),
    Mount("verify", "deploy.verify", "Prove that nothing was lost and nothing is there twice.", "all"),
    Mount("quarantine", "deploy.quarantine", "What was refused and why: list, show, retry, discard.", "all"),
    Mount("doctor", "deploy.doctor", "Find what is commonly wrong, with the remedy.", "all"),
    Mount("release", "deploy.releases.main", "Releases for gateways: build, sign, verify.", "all"),
    Mount("demo", "deploy.demo.channel.main", "Data for the demo: channel.", "all"),
    Mount("detect", "deploy.detect.main", "Anomalies of a CSV file or of a recorded site.", "all"),
    Mount("evaluate", "deploy.detect.evaluate", "Judge the detectors on simulated sites whose truth is known.", "all"),
    Mount("chaos", "deploy.chaos.main", "Break a local stack on purpose, and prove that nothing was lost.", "all"),
    Mount("bench", "deploy.bench.main", "Measure with ratios in one run.", "all"),
)


def main() -> None:
    """Run the command line; the process's entry point."""
    try:
        app()
    except UserError as error:
        _tell(error)
        sys.exit(error.code)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # Whoever read our output has had enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:  # noqa: BLE001 - the outermost frame of every command
        sys.exit(_report_defect(error))


def _tell(error: UserError) -> None:
    sys.stderr.write(f"error: {error.message}\n")
    if error.hint:
        sys.stderr.write(f"hint: {error.hint}\n")


def _report_defect(error: Exception) -> int:
    """One line for people, the traceback in a file for us; with SHELFPULSE_DEBUG the traceback at once."""
    text = "".join(traceback.format_exception(error))
    if os.environ.get(DEBUG_VARIABLE):
        sys.stderr.write(text)
        return DEFECT
    with tempfile.NamedTemporaryFile("w", prefix="shelfpulse-", suffix=".log", delete=False) as file:
        file.write(f"{' '.join(sys.argv)}\n{text}")
    sys.stderr.write(f"error: {type(error).__name__}: {error} (a defect of ours; details in {file.name})\n")
    return DEFECT


def _version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it with the option's value
    if wanted:
        sys.stdout.write(f"shelfpulse {importlib.metadata.version('shelfpulse')}\n")
        raise typer.Exit


@app.callback()
def root(
    *,
    _version_wanted: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Sees what leaves the shelf, and refills it before it is empty."""


@app.command()
def up(
    *,
    demo: Annotated[bool, typer.Option("--demo", help="With a demo tenant, shelves, gateways and a story.")] = False,
    run_for: Annotated[
        str | None, typer.Option("--for", metavar="TIME", help="End by itself after 60s, 5m …: verify, and summarise.")
    ] = None,
    json_: JsonOption = False,
    state: StateOption = None,
) -> None:
    """Run the whole platform on this machine until Ctrl-C.

    With --for the exit code is 0 only when everything that was sent is committed once and verify holds.
    """
    from deploy.local import up as local  # noqa: PLC0415 - mounted lazily
    from deploy.local.state import default_state  # noqa: PLC0415

    run_for_s = None if run_for is None else local.parse_duration(run_for)
    options = local.Options(state=state or default_state(), demo=demo, run_for_s=run_for_s, json=json_)
    raise typer.Exit(local.run(options))


@app.command()
def migrate(
    dsn: Annotated[str, typer.Option(envvar="SHELFPULSE_DSN", help="Database, as libpq reads it.", show_default=False)],
) -> None:
    """Bring the database to this release's schema; nothing happens when it is there already."""
    from deploy.migrations import upgrade  # noqa: PLC0415 - mounted lazily

    upgrade(dsn)


@app.command()
def config(state: StateOption = None) -> None:
    """Print the effective configuration, without secrets."""
    from deploy.local import configuration  # noqa: PLC0415 - mounted lazily

    sys.stdout.write(configuration.effective(state, os.environ))


@app.command()
def tail(
    *,
    site: Annotated[str | None, typer.Option(help="Only this site.")] = None,
    json_: JsonOption = False,
    state: StateOption = None,
) -> None:
    """Follow what is committed, event by event, until Ctrl-C."""
    from deploy.local import ask  # noqa: PLC0415 - mounted lazily

    ask.tail(ask.find_api(state, os.environ), site, as_json=json_)


LimitOption = Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")]


@app.command()
def anomalies(*, limit: LimitOption = 100, json_: JsonOption = False, state: StateOption = None) -> None:
    """What is wrong on the shelves."""
    _show("anomalies", limit, state, as_json=json_)


@app.command()
def events(*, limit: LimitOption = 100, json_: JsonOption = False, state: StateOption = None) -> None:
    """Sales, restocks and counts that the shelves saw."""
    _show("events", limit, state, as_json=json_)


@app.command()
def proposals(*, limit: LimitOption = 100, json_: JsonOption = False, state: StateOption = None) -> None:
    """Replenishment that the platform suggests."""
    _show("proposals", limit, state, as_json=json_)


@app.command()
def orders(*, limit: LimitOption = 100, json_: JsonOption = False, state: StateOption = None) -> None:
    """Orders of dealers and stores."""
    _show("orders", limit, state, as_json=json_)


@app.command()
def forecasts(*, limit: LimitOption = 100, json_: JsonOption = False, state: StateOption = None) -> None:
    """What will be asked for on the days to come, by site, SKU and day."""
    _show("forecasts", limit, state, as_json=json_)


@app.command()
def accuracy(*, limit: LimitOption = 100, json_: JsonOption = False, state: StateOption = None) -> None:
    """How good the forecasts of each method were: RMSSE, bias and pinball loss."""
    _show("forecast-accuracy", limit, state, as_json=json_)


def _show(what: str, limit: int, state: Path | None, *, as_json: bool) -> None:
    from deploy.local import ask  # noqa: PLC0415 - mounted lazily

    ask.show(what, limit, ask.find_api(state, os.environ), as_json=as_json)


def _mount(mount: Mount) -> None:
    def call(context: typer.Context) -> None:
        _join_stack(device=mount.device)
        command: Any = typer.main.get_command(_load(mount))
        name = "shelfpulse" if mount.path else f"shelfpulse {mount.name}"
        command(args=[*mount.path, *context.args], prog_name=name)

    app.command(
        mount.name,
        help=mount.help,
        # Everything behind the name, --help too, is for the mounted command.
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []},
        add_help_option=False,
    )(call)


def _load(mount: Mount) -> typer.Typer:
    try:
        module = importlib.import_module(mount.module)
    except ModuleNotFoundError as error:
        # One of our own that is missing is a defect, not an extra that was left out.
        if error.name is None or error.name.partition(".")[0] == mount.module.partition(".")[0]:
            raise
        message = f"`shelfpulse {mount.name}` needs the package {error.name}, which is not installed"
        raise UserError(message, f"install shelfpulse[{mount.extra}]") from error
    found: typer.Typer = module.app
    return found


def _join_stack(*, device: bool) -> None:
    """Lead a command to the stack that runs on this machine, unless its environment leads it elsewhere."""
    from deploy.local.discovery import environment, find_stack  # noqa: PLC0415 - mounted lazily

    if any(name in os.environ for name in ("SHELFPULSE_DSN", "MQTT_URL", "SHELFPULSE_MQTT_URL")):
        return
    try:
        info = find_stack()
    except UserError:
        # Not every command needs one; those that do say which setting is missing.
        return
    for name, value in environment(info, device=device).items():
        os.environ.setdefault(name, value)


for _one in MOUNTS:
    _mount(_one)

if __name__ == "__main__":
    main()
