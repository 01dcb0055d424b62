"""``shelfpulse simulate …``: stores of Modbus shelves, fleets of gateways, replays."""

import secrets
import sys
import time
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from contracts import logs
from contracts.errors import UserError
from contracts.ids import is_identifier
from contracts.topics import Lane
from simulators import backfill as backfills
from simulators import console, queries, settings, slave_play
from simulators import plan as plans
from simulators.fleet import Fleet, FleetReport, addresses, clock_offset_ms
from simulators.fleet_group import FleetOptions
from simulators.link_command import serve as serve_link
from simulators.links import parse_broker
from simulators.playback import play
from simulators.raw_load import RawReport, run_raw
from simulators.recorded_site import record
from simulators.replay import ReplayReport
from simulators.replay import load as load_recording
from simulators.replay import replay as replay_recording
from simulators.slaves import CountingSlave, ShelfSlave, Slave

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Shelves, stores and fleets that behave like real ones."
)

UNITS_MAX: Final = 247
"""Units that a Modbus bus can have."""
INCOMPLETE: Final = 1
"""Exit code when the deadline came before everything was committed."""


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


@app.command()
def slaves(  # noqa: PLR0913 - each option of a command is a parameter
    *,
    shelves: Annotated[int, typer.Option(min=0, max=247, help="Load-cell shelves on each bus, units 1, 2 …")] = 4,
    bays: Annotated[int, typer.Option(min=1, max=16, help="Bays of a shelf.")] = 4,
    counters: Annotated[
        int, typer.Option(min=0, max=247, help="Plain devices after them, of registers that count.")
    ] = 0,
    registers: Annotated[int, typer.Option(min=1, max=125, help="Input registers of a plain device.")] = 20,
    changing: Annotated[int, typer.Option(min=0, max=125, help="How many of them change at each read.")] = 20,
    buses: Annotated[int, typer.Option(min=1, max=64, help="Buses, each with all these units.")] = 1,
    port: Annotated[int, typer.Option(min=0, max=65_535, help="TCP port of the first bus; 0: free ones.")] = 0,
    rtu: Annotated[bool, typer.Option(help="Modbus RTU on pseudo terminals instead of TCP.")] = False,
) -> None:
    """Serve Modbus slaves that die, get slow or noisy when a line on standard input says so.

    Prints {"event":"listening","ports":[…]} (or "devices":[…]). The lines are in simulators/slave_play.py.
    """
    if not 0 < shelves + counters <= UNITS_MAX:
        msg = f"{shelves + counters} units on a bus: 1 … {UNITS_MAX} can be"
        raise UserError(msg)
    units: list[list[Slave]] = [
        [ShelfSlave(unit, [0.0] * bays) for unit in range(1, shelves + 1)]
        + [CountingSlave(shelves + k, registers, min(changing, registers)) for k in range(1, counters + 1)]
        for _ in range(buses)
    ]
    slave_play.play(units, rtu=rtu, port=port)


@app.command()
def fleet(  # noqa: PLR0913 - each option of a command is a parameter
    *,
    gateways: Annotated[int, typer.Option(min=1, help="Gateways, each with its own lanes.")] = 100,
    devices: Annotated[int, typer.Option(min=1, max=999, help="Devices of a gateway, two channels each.")] = 20,
    rate: Annotated[float, typer.Option(min=0, help="Readings a second in all; 0: as fast as acks allow.")] = 0,
    readings_per_frame: Annotated[int, typer.Option(min=1, max=1000, help="Readings in a frame.")] = 50,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="Write for so long …")] = None,
    readings: Annotated[int | None, typer.Option(min=1, help="… or so many readings, whichever ends first.")] = None,
    lanes: Annotated[str, typer.Option(help="Lanes to write, of tel, bulk and evt, with commas.")] = "tel",
    connections: Annotated[int, typer.Option(min=1, max=64, help="MQTT connections that the gateways share.")] = 4,
    tenant: Annotated[str, typer.Option(help="Tenant of the gateways; the running stack's unless given.")] = "",
    seed: Annotated[int, typer.Option(help="Values follow from it.")] = 0,
    deadline: Annotated[float, typer.Option(min=1, help="Give up after so many seconds.")] = 600,
    register: Annotated[bool, typer.Option(help="Insert sites and gateways into the database first.")] = False,
    raw: Annotated[bool, typer.Option(help="Plain devices: one reading a message, no end-to-end ack.")] = False,
    truth: Annotated[Path | None, typer.Option(help="Write what each lane sent to this file, a line each.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the report as one JSON object.")] = False,
) -> None:
    """Publish as many gateways would, wait until everything is committed, and report.

    Exits with 1 when the deadline comes first.
    """
    options = FleetOptions(
        tenant=_tenant(tenant),
        gateways=gateways,
        devices=devices,
        rate=rate,
        readings_per_frame=1 if raw else readings_per_frame,
        seconds=10.0 if seconds is None and readings is None else seconds,
        readings=readings,
        lanes=_lanes(lanes),
        connections=connections,
        seed=seed,
        ep=_incarnation(),
        deadline_s=deadline,
    )
    broker = parse_broker(settings.mqtt_url())
    if register:
        queries.register(settings.dsn(), addresses(options))
    start_s, clock_ms = time.monotonic(), clock_offset_ms()
    report: FleetReport | RawReport
    if raw:
        report = run_raw(options, addresses(options), broker, start_s=start_s, clock_ms=clock_ms)
    else:
        run = Fleet(options, broker, start_s=start_s, clock_ms=clock_ms)
        with console.progress("frames", quiet=json) as watch:
            report = run.run(watch)
        if truth is not None:
            _write_lines(truth, [msgspec.json.encode(account) for account in run.accounts()])
    console.show(report, as_json=json)
    if not report.complete:
        raise typer.Exit(INCOMPLETE)


@app.command()
def replay(
    frames: Annotated[Path, typer.Argument(help='Lines {"at":ms,"topic":…,"payload":{…}} on topics up, raw or st.')],
    *,
    speed: Annotated[float, typer.Option(min=0, help="1: as recorded; 60: an hour a minute; 0: at once.")] = 0,
    deadline: Annotated[float, typer.Option(min=1, help="Give up after so many seconds.")] = 600,
    backfill: Annotated[
        bool, typer.Option("--backfill", help="Let frames in that are older than retention; needs the database.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the report as one JSON object.")] = False,
) -> None:
    """Publish recorded messages with the ack protocol, and wait until they are committed.

    Exits with 1 when the deadline comes first, or with --backfill when a frame stays in quarantine for its time.
    """
    recorded = load_recording(frames)
    broker = parse_broker(settings.mqtt_url())

    def publish() -> ReplayReport:
        client_id = f"replay-{secrets.token_hex(5)}"
        return replay_recording(recorded, broker, speed=speed, client_id=client_id, deadline_s=deadline)

    report = backfills.lift(settings.dsn(), recorded, publish) if backfill else publish()
    console.show(report, as_json=json)
    if not report.complete or report.held:
        raise typer.Exit(INCOMPLETE)


@app.command()
def site(
    out: Annotated[Path, typer.Option(metavar="DIR", help="slots.csv channels.csv frames.jsonl pos.csv truth.json.")],
    *,
    days: Annotated[int, typer.Option(min=18, max=90, help="Days; faults begin on the tenth.")] = 21,
    interval: Annotated[float, typer.Option(min=10, max=600, help="Seconds between readings.")] = 120.0,
    quiet: Annotated[bool, typer.Option(help="Without any fault.")] = False,
    seed: Annotated[int, typer.Option(help="Everything follows from it.")] = 0,
) -> None:
    """Record weeks of a site with every kind of anomaly, and the truth, for `shelfpulse detect --site`."""
    truths = record(seed, out, days=days, interval_s=interval, quiet=quiet)
    sys.stderr.write(f"{len(truths)} anomalies are in {out}\n")


@app.command()
def link(
    to: Annotated[str, typer.Option(metavar="HOST:PORT", help="Where the bytes go.")],
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Loopback port to listen on; 0: a free one.")] = 0,
) -> None:
    """Stand between two TCP peers as a bad network, until the end of standard input.

    Each line there changes a fault: latency SECONDS | bandwidth BYTES_PER_S | slice BYTES | refuse on|off | cut |
    blackhole up|down|both|none | quit. Answers are JSON lines.
    """
    serve_link(to, port, sys.stdin)


def _tenant(given: str) -> str:
    tenant = given or settings.tenant()
    if not is_identifier(tenant):
        msg = f"--tenant {tenant!r}: names are [a-z0-9][a-z0-9_-]{{0,31}}"
        raise UserError(msg)
    return tenant


def _lanes(text: str) -> tuple[Lane, ...]:
    allowed = {str(lane): lane for lane in (Lane.TEL, Lane.BULK, Lane.EVT)}
    names = [name.strip() for name in text.split(",")]
    unknown = [name for name in names if name not in allowed]
    if unknown:
        msg = f"--lanes: {unknown[0]!r} is none of {', '.join(allowed)}"
        raise UserError(msg)
    return tuple(dict.fromkeys(allowed[name] for name in names))


def _incarnation() -> str:
    """An ep that no run before had: sequence numbers begin at 1 in it."""
    return f"f{secrets.token_hex(5)}"


def _write_lines(path: Path, lines: list[bytes]) -> None:
    try:
        path.write_bytes(b"".join(line + b"\n" for line in lines))
    except OSError as error:
        msg = f"cannot write the truth to {path}: {error.strerror}"
        raise UserError(msg) from error
