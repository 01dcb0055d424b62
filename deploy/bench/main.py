"""Commands of ``shelfpulse bench``."""

import time
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from contracts import logs
from deploy.bench.e2e import Plan, run_e2e
from deploy.bench.scratch import package_versions
from deploy.bench.usage import describe_machine

if TYPE_CHECKING:
    from deploy.bench.api import Result as ApiResult
    from deploy.bench.infer import Result as InferResult
    from deploy.bench.query import Result as QueryResult

INCOMPLETE_EXIT: Final = 1

JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
DsnOption = Annotated[
    str, typer.Option(help="Server on which to make a database for the run, instead of a PostgreSQL of our own.")
]
GatewaysOption = Annotated[int, typer.Option(min=1, max=10_000, help="Gateways that send them.")]

_BEGAN_S: Final = time.monotonic()

app = typer.Typer(help="Measure with ratios in one run.", no_args_is_help=True)


@app.callback()
def bench() -> None:
    """Measure with ratios in one run."""
    logs.configure("bench", level="WARNING", format_="console")


@app.command()
def e2e(  # noqa: PLR0913 - a command's options
    *,
    readings: Annotated[int, typer.Option(min=10_000, help="Readings of the loaded part, at most.")] = 2_000_000,
    readings_per_frame: Annotated[int, typer.Option(min=1, max=1000, help="Readings in a frame.")] = 50,
    gateways: GatewaysOption = 200,
    plain: Annotated[bool, typer.Option("--raw", help="Plain devices: one reading a message.")] = False,
    processes: Annotated[int, typer.Option(min=1, max=64, help="Processes of the stream.")] = 1,
    seed: Annotated[int, typer.Option(help="Values follow from it.")] = 0,
    dsn: DsnOption = "",
    as_json: JsonOption = False,
) -> None:
    """Readings a second from the first publish until all rows are visible, and the raw COPY rate of the same rows.

    Starts its own stack in a temporary directory and leaves nothing behind. Exits with 1 when a reading is missing or
    there twice.
    """
    plan = Plan(
        readings=readings, readings_per_frame=readings_per_frame, gateways=gateways, seed=seed, dsn=dsn, plain=plain,
        processes=processes,
    )  # fmt: skip
    result = run_e2e(plan, say=_say)
    _tell(result, _table("bench e2e", result), as_json=as_json)
    if not result.sound:
        raise typer.Exit(INCOMPLETE_EXIT)


@app.command()
def query(
    *,
    rows: Annotated[int, typer.Option(min=100_000, help="Readings to generate, about.")] = 10_000_000,
    asks: Annotated[int, typer.Option(min=10, help="Requests of each query.")] = 200,
    seed: Annotated[int, typer.Option(help="What is asked follows from it.")] = 0,
    dsn: DsnOption = "",
    as_json: JsonOption = False,
) -> None:
    """What a dashboard asks of a database with a long past, over HTTP: p50 and p99 by query.

    Generates the past in a throw-away stack: a hundred million readings take some minutes and 10 GiB of disk. Exits
    with 1 when a request failed.
    """
    from deploy.bench import query as queries  # noqa: PLC0415 - the other benchmarks need none of the API

    plan = queries.Plan(rows=rows, asks=asks, seed=seed, dsn=dsn)
    result = queries.run_query(plan, say=_say)
    _tell(result, _queries(result), as_json=as_json)
    if result.errors:
        raise typer.Exit(INCOMPLETE_EXIT)


@app.command()
def api(  # noqa: PLR0913 - a command's options
    *,
    users: Annotated[int, typer.Option(min=1, max=1_000, help="People at once: three in four buy, one looks.")] = 100,
    seconds: Annotated[float, typer.Option(min=5, help="Length of each of the two windows.")] = 30.0,
    rate: Annotated[float, typer.Option(min=100, help="Readings a second beside them.")] = 10_000,
    gateways: GatewaysOption = 200,
    seed: Annotated[int, typer.Option(help="Values follow from it.")] = 0,
    dsn: DsnOption = "",
    as_json: JsonOption = False,
) -> None:
    """People who read and order, by locust, beside an even load of readings: p50 and p99, and what the load lost.

    Exits with 1 when a request failed, or over a tenth of the readings a second was lost.
    """
    from deploy.bench import api as apis  # noqa: PLC0415 - the other benchmarks need none of the API

    plan = apis.Plan(users=users, seconds=seconds, rate=rate, gateways=gateways, seed=seed, dsn=dsn)
    result = apis.run_api(plan, say=_say)
    _tell(result, _routes(result), as_json=as_json)
    if not result.sound:
        raise typer.Exit(INCOMPLETE_EXIT)


@app.command()
def live(  # noqa: PLR0913 - a command's options
    *,
    viewers: Annotated[int, typer.Option(min=1, max=2_000, help="People who have the live page open.")] = 500,
    seconds: Annotated[float, typer.Option(min=2, max=3_600, help="Length of the counted part.")] = 20.0,
    rate: Annotated[float, typer.Option(min=0.1, max=1_000, help="Units sold a second.")] = 20.0,
    gateways: GatewaysOption = 20,
    seed: Annotated[int, typer.Option(help="What is sold follows from it.")] = 0,
    dsn: DsnOption = "",
    as_json: JsonOption = False,
) -> None:
    """Viewers of the live page: ms from a sale to each of them, and the API's share of a core.

    Exits with 1 when a viewer was not told something.
    """
    from deploy.bench.live import Plan as LivePlan  # noqa: PLC0415 - the other benchmarks need none of it
    from deploy.bench.live import run_live  # noqa: PLC0415

    plan = LivePlan(viewers=viewers, seconds=seconds, rate=rate, gateways=gateways, seed=seed, dsn=dsn)
    result = run_live(plan, say=_say)
    _tell(result, _table("bench live", result), as_json=as_json)
    if not result.sound:
        raise typer.Exit(INCOMPLETE_EXIT)


@app.command()
def edge(  # noqa: PLR0913 - a command's options
    *,
    devices: Annotated[int, typer.Option(min=1, max=1_000, help="Modbus devices.")] = 100,
    registers: Annotated[int, typer.Option(min=1, max=125, help="Registers of each.")] = 20,
    changing: Annotated[
        int | None, typer.Option(min=0, help="How many of them change at each poll; all (the hard case) unless given.")
    ] = None,
    period: Annotated[float, typer.Option(min=0.01, max=60, help="Seconds between polls of a device.")] = 1.0,
    buses: Annotated[int, typer.Option(min=1, max=64, help="TCP buses that the devices share.")] = 4,
    seconds: Annotated[float, typer.Option(min=1, help="Length of the measured window.")] = 20.0,
    readings_per_frame: Annotated[int, typer.Option(min=1, max=1000, help="Readings in a frame, at most.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """One gateway that polls simulated Modbus devices: its share of a core, memory, polls kept and missed.

    Exits with 1 when a reading that was written was not committed, or over 1 % of the polls were missed.
    """
    from deploy.bench import edge as edges  # noqa: PLC0415 - the other benchmarks need none of the edge

    plan = edges.Plan(
        devices=devices,
        registers=registers,
        changing=registers if changing is None else min(changing, registers),
        period_s=period,
        buses=buses,
        seconds=seconds,
        frame_readings=readings_per_frame,
    )
    result = edges.run_edge(plan, say=_say)
    _tell(result, _table("bench edge", result), as_json=as_json)
    if not result.sound:
        raise typer.Exit(INCOMPLETE_EXIT)


@app.command()
def uplink(
    *,
    frames: Annotated[int, typer.Option(min=100, max=1_000_000, help="Frames of each part.")] = 50_000,
    readings_per_frame: Annotated[int, typer.Option(min=1, max=1000, help="Readings in a frame.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """Frames a second of a gateway's sender and of its outbox, on a broker of our own."""
    from deploy.bench.uplink import run_uplink  # noqa: PLC0415 - the other benchmarks need none of the edge

    result = run_uplink(frames, readings_per_frame)
    _tell(result, _table("bench uplink", result), as_json=as_json)


@app.command()
def day(
    *,
    hours: Annotated[float, typer.Option(min=0.5, max=24, help="Length of the simulated day.")] = 24.0,
    speed: Annotated[float, typer.Option(min=1, max=10_000, help="How many times faster it passes.")] = 1_000.0,
    poll_s: Annotated[float, typer.Option(min=1, max=600, help="Seconds of the day between polls of a shelf.")] = 10.0,
    seed: Annotated[int, typer.Option(help="The outages follow from it.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """A day of one gateway with 40 shelves, while power, network, broker and stream fail at random.

    Exits with 1 when a reading was lost, is there twice, or waits in the outbox at the end.
    """
    from deploy.bench import day as days  # noqa: PLC0415 - the other benchmarks need none of the edge

    plan = days.Plan(hours=hours, speed=speed, poll_s=poll_s, seed=seed)
    result = days.run_day(plan, say=_say)
    _tell(result, _table("bench day", result), as_json=as_json)
    if not result.ok:
        raise typer.Exit(INCOMPLETE_EXIT)


@app.command()
def infer(
    *,
    seeds: Annotated[int, typer.Option(min=1, help="Simulated shelves of each scene.")] = 20,
    first_seed: Annotated[int, typer.Option(min=0, help="Take seeds that nothing was tuned on.")] = 1_000,
    hours: Annotated[float, typer.Option(min=0.1, help="Length of each.")] = 2.0,
    as_json: JsonOption = False,
) -> None:
    """Sales and restocks inferred from simulated weights, against what really happened, scene by scene."""
    from deploy.bench.infer import run_infer  # noqa: PLC0415 - the other benchmarks need none of the edge

    result = run_infer(seeds, first_seed, hours=hours, say=_say)
    _tell(result, _scenes(result), as_json=as_json)


@app.command()
def detect(
    *,
    seed: Annotated[int, typer.Option(help="Values follow from it.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Cost of the generic detector: µs a point and bytes a series, and readings a second of its vectorised twin."""
    from deploy.bench.detect import run_detect  # noqa: PLC0415 - the other benchmarks need none of it

    result = run_detect(seed, say=_say)
    _tell(result, _table("bench detect", result), as_json=as_json)


@app.command()
def faults(  # noqa: PLR0913 - a command's options
    *,
    readings: Annotated[int, typer.Option(min=10_000, help="Readings of the load.")] = 2_000_000,
    rate: Annotated[float, typer.Option(min=100, help="Readings a second, at most.")] = 40_000,
    kills: Annotated[int, typer.Option(min=1, max=200, help="Kills in all.")] = 12,
    gateways: GatewaysOption = 200,
    processes: Annotated[int, typer.Option(min=1, max=64, help="Processes of the stream; more: members die too.")] = 1,
    away: Annotated[float, typer.Option(min=0, max=600, help="Seconds that the first killed database is away.")] = 0,
    seed: Annotated[int, typer.Option(help="What is killed when follows from it.")] = 0,
    dsn: Annotated[
        str, typer.Option(help="Server on which to make a database for the run; it is not killed then.")
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """A load while stream, broker (its state wiped) and database are killed with SIGKILL at random points.

    Exits with 1 when a reading is missing or there twice, or an invariant is broken.
    """
    from deploy.bench.faults import Plan as FaultsPlan  # noqa: PLC0415 - the other benchmarks need none of it
    from deploy.bench.faults import run_faults  # noqa: PLC0415

    plan = FaultsPlan(
        readings=readings, rate=rate, kills=kills, gateways=gateways, seed=seed, processes=processes, away_s=away,
        dsn=dsn,
    )  # fmt: skip
    result = run_faults(plan, say=_say)
    _tell(result, _table("bench faults", result), as_json=as_json)
    if not result.ok:
        raise typer.Exit(INCOMPLETE_EXIT)


@app.command()
def soak(
    *,
    minutes: Annotated[float, typer.Option(min=0.5, help="Length of the load.")] = 60.0,
    rate: Annotated[float, typer.Option(min=100, help="Readings a second.")] = 20_000,
    gateways: GatewaysOption = 200,
    seed: Annotated[int, typer.Option(help="Values follow from it.")] = 0,
    dsn: DsnOption = "",
    as_json: JsonOption = False,
) -> None:
    """An even load for a long time: how the memory of the stream grows, and that everything is there once.

    Exits with 1 when a reading is missing or there twice, or an invariant is broken.
    """
    from deploy.bench.soak import Plan as SoakPlan  # noqa: PLC0415 - the other benchmarks need none of it
    from deploy.bench.soak import run_soak  # noqa: PLC0415

    plan = SoakPlan(seconds=minutes * 60, rate=rate, gateways=gateways, seed=seed, dsn=dsn)
    result = run_soak(plan, say=_say)
    _tell(result, _table("bench soak", result), as_json=as_json)
    if not result.ok:
        raise typer.Exit(INCOMPLETE_EXIT)


@app.command()
def compress(
    *,
    dsn: Annotated[str, typer.Option(help="TimescaleDB server on which to make a database for the run.")],
    hours: Annotated[float, typer.Option(min=0.1, max=24, help="Length of the simulated day.")] = 24.0,
    poll_s: Annotated[float, typer.Option(min=1, max=600, help="Seconds between polls of a shelf.")] = 10.0,
    as_json: JsonOption = False,
) -> None:
    """A day of a store with 40 shelves: bytes on disk before and after TimescaleDB's columnstore."""
    from deploy.bench.compress import Plan as CompressPlan  # noqa: PLC0415 - the other benchmarks need none of it
    from deploy.bench.compress import run_compress  # noqa: PLC0415

    plan = CompressPlan(hours=hours, poll_s=poll_s, dsn=dsn)
    result = run_compress(plan, say=_say)
    _tell(result, _table("bench compress", result), as_json=as_json)


def _say(text: str) -> None:
    """Progress, beside the result."""
    Console(stderr=True).print(text, style="dim")


def _tell(result: msgspec.Struct, table: Table, *, as_json: bool) -> None:
    if as_json:
        print(msgspec.json.encode(with_surroundings(result)).decode())  # noqa: T201 - the command's output
    else:
        Console().print(table)


def with_surroundings(result: msgspec.Struct, began_s: float | None = None) -> dict[str, Any]:
    """The result with what every benchmark says: machine, versions, tier ("none" without a database), seed, seconds.

    ``began_s`` on the monotonic clock is when the command began, unless it is the one that runs.
    """
    told: dict[str, Any] = msgspec.to_builtins(result)
    seconds = round(time.monotonic() - (_BEGAN_S if began_s is None else began_s), 1)
    return {
        "machine": describe_machine(), "versions": package_versions(), "tier": "none",
        "seed": told.get("first_seed", 0), "seconds": seconds, **told,
    }  # fmt: skip


def _scenes(result: "InferResult") -> Table:
    table = Table(title=f"bench infer: {result.seeds} shelves of {result.hours} h each")
    for name in ("scene", "true", "exact", "missed", "spurious", "delay p50", "delay p95", "us a sample"):
        table.add_column(name, justify="left" if name == "scene" else "right")
    for each in (*result.scenes, result.all):
        table.add_row(
            each.scene, f"{each.true}", f"{each.exact:.2%}", f"{each.missed:.2%}", f"{each.spurious:.2%}",
            f"{each.delay_p50_ms} ms", f"{each.delay_p95_ms} ms", f"{each.us_per_sample}",
        )  # fmt: skip
    return table


def _routes(result: "ApiResult") -> Table:
    title = (
        f"bench api: {result.users} users, {result.rps} requests/s, p50 {result.p50_ms} ms, "
        f"p99 {result.p99_ms} ms, {result.errors} errors; readings kept {result.ingest_ratio:.1%}"
    )
    table = Table(title=title)
    for name in ("request", "requests", "p50", "p99"):
        table.add_column(name, justify="left" if name == "request" else "right")
    for name, route in result.routes.items():
        table.add_row(name, f"{route.requests:,}", f"{route.p50_ms} ms", f"{route.p99_ms} ms")
    return table


def _queries(result: "QueryResult") -> Table:
    table = Table(title=f"bench query: {result.rows:,} readings ({result.tier}), milliseconds")
    for name in ("query", "p50", "p99", "worst", "bytes"):
        table.add_column(name, justify="left" if name == "query" else "right")
    for name, figure in result.queries.items():
        table.add_row(name, f"{figure.p50_ms}", f"{figure.p99_ms}", f"{figure.worst_ms}", f"{figure.bytes:,}")
    return table


def _table(title: str, result: msgspec.Struct) -> Table:
    table = Table(title=title, show_header=False)
    for name, value in msgspec.to_builtins(result).items():
        table.add_row(
            name, f"{value:,}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
        )
    return table
