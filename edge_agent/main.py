"""``shelfpulse edge``: run outbox infer; the rest is in ``surveying`` (check scan) and ``setting_up``.

What a command needs is imported when it runs: the running agent keeps in memory only what it uses.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from contracts.errors import UserError
from edge_agent import setting_up, surveying
from edge_agent.display import JsonOption, print_json, show_account

METRICS_PORT: Final = "SHELFPULSE_METRICS_PORT"
LOG_FORMAT: Final = "SHELFPULSE_LOG_FORMAT"
PORT_MAX: Final = 65_535

app = typer.Typer(no_args_is_help=True, help="A gateway: polls devices, infers sales, keeps and sends.")
app.add_typer(surveying.app)
app.add_typer(setting_up.app)
ConfigOption = Annotated[Path, typer.Option("--config", metavar="EDGE.TOML", help="The gateway's configuration.")]


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
    from edge_agent.watchdog import watchdog  # noqa: PLC0415

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
    supervisor = watchdog(
        os.environ, is_ready=lambda: agent.is_running, is_alive=agent.is_alive, status=lambda: agent.status
    )
    if supervisor is not None:
        supervisor.start()
    try:
        agent.run()
    finally:
        if supervisor is not None:
            supervisor.stop()
        if health is not None:
            health.stop()


@app.command()
def outbox(
    *,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="EDGE.TOML", help="Take the file from here …")
    ] = None,
    file: Annotated[Path | None, typer.Option("--file", help="… or this file.")] = None,
    ledger: Annotated[
        Path | None, typer.Option(help="Write the ledger there, for `shelfpulse verify --ledger`; with --config.")
    ] = None,
    decisions: Annotated[
        int,
        typer.Option(min=0, max=2_000, help="Show instead the last N decisions with their grounds, a JSON line each."),
    ] = 0,
    json_: JsonOption = False,
) -> None:
    """What waits, what was ever written, and which gaps were declared; also while the agent runs."""
    from edge_agent.outbox import account, export  # noqa: PLC0415

    if config is None and (file is None or ledger is not None):
        msg = "which outbox?" if file is None else "whose outbox?"
        raise UserError(msg, "give --config edge.toml" if ledger else "give --config edge.toml or --file outbox.db")
    if config is not None:
        from edge_agent.settings import load  # noqa: PLC0415

        settings = load(config)
        file = file or settings.outbox
        if ledger is not None:
            export.write(file, settings.address.tenant, settings.address.gateway, ledger)
    assert file is not None
    if decisions:
        for record in account.read_records(file, decisions):
            sys.stdout.write(record.decode() + "\n")
        return
    read = account.read(file)
    if json_:
        print_json(read.as_json())
    else:
        show_account(read)


@app.command()
def infer(
    *,
    trace: Annotated[Path, typer.Argument(metavar="TRACE.CSV", help="t_ms,slot,weight_g,temp_c")],
    slots: Annotated[Path, typer.Option(help="slot,role(own|neighbour),sku,unit_weight_g,unit_weight_sd_g,capacity")],
    out: Annotated[Path, typer.Option(help="A JSON line an event.")],
    start: Annotated[Path | None, typer.Option(help="Units at the beginning: {slot: units}.")] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="The grams and what was weighed, with each event.")
    ] = False,
    json_: JsonOption = False,
) -> None:
    """Infer sales and restocks from a recorded trace of weights."""
    from collections import Counter  # noqa: PLC0415

    from edge_agent.files import replacing  # noqa: PLC0415
    from edge_agent.shelf import offline  # noqa: PLC0415

    kinds: Counter[str] = Counter()
    try:
        with replacing(out) as lines:
            for decision in offline.infer(trace, slots, start):
                lines.write(json.dumps(offline.as_json(decision, explain=explain)).encode() + b"\n")
                kinds[decision.kind.value] += 1
    except OSError as error:
        msg = f"cannot write {out}: {error.strerror}"
        raise UserError(msg) from error
    if json_:
        print_json({"out": str(out), "events": kinds.total(), "kinds": dict(kinds)})
    else:
        told = ", ".join(f"{n} {kind}" for kind, n in kinds.most_common())
        sys.stdout.write(f"{kinds.total()} events in {out}{': ' if told else ''}{told}\n")


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
