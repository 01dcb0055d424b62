"""``shelfpulse evaluate``: the detectors on simulated sites whose truth is known."""

import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec
import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from contracts.facts import AnomalyKind
from deploy.detect import judge
from deploy.detect.judge import KindScore, Tally
from deploy.detect.site import find
from deploy.detect.site_files import read_site
from simulators.recorded_site import DEVICES, record

app = typer.Typer(add_completion=False)


class Result(msgspec.Struct, frozen=True):
    """What ``--json`` prints. ``constant_false``: false anomalies on series that never change."""

    recall: float
    precision: float
    false_per_100_device_days: float
    by_kind: dict[str, KindScore]
    seeds: list[int]
    device_days: int
    readings: int
    constant_false: int


@app.command()
def evaluate(
    *,
    seeds: Annotated[int, typer.Option(min=1, max=1_000, help="Simulated sites.")] = 10,
    first_seed: Annotated[int, typer.Option(min=0, help="Take seeds that nothing was tuned on.")] = 1_000,
    days: Annotated[int, typer.Option(min=18, max=90, help="Days of each; faults begin on the tenth.")] = 21,
    interval: Annotated[float, typer.Option(min=10, max=600, help="Seconds between readings.")] = 120.0,
    processes: Annotated[int, typer.Option(min=0, max=64, help="Sites at a time; 0: as there are cores.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
) -> None:
    """Recall, precision and delay of every kind of anomaly, and false alarms per 100 device-days."""
    console = Console(stderr=True)
    numbers = list(range(first_seed, first_seed + seeds))
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("sites", total=seeds)
        many = processes or len(os.sched_getaffinity(0))
        result = run(numbers, days, interval, lambda: progress.advance(task), processes=many)
    if as_json:
        print(msgspec.json.encode(result).decode())  # noqa: T201 - the command's output
    else:
        _show(result)


class _Judged(NamedTuple):
    """What one site gave: counts a kind, readings, and what was told of series that never change."""

    tallies: dict[AnomalyKind, Tally]
    readings: int
    constant: int


def run(
    seeds: list[int], days: int, interval_s: float, advance: Callable[[], object] = lambda: None, *, processes: int = 1
) -> Result:  # fmt: skip
    """Record each site, look at it, and compare; ``processes`` sites at a time, with the same result."""
    tallies: dict[AnomalyKind, Tally] = {}
    readings = constant = 0
    for judged in _judged(seeds, days, interval_s, min(processes, len(seeds))):
        judge.join(tallies, judged.tallies)
        readings += judged.readings
        constant += judged.constant
        advance()
    whole = judge.total(tallies.values())
    scored = judge.score(whole)
    device_days = DEVICES * days * len(seeds)
    return Result(
        recall=scored.recall,
        precision=scored.precision,
        false_per_100_device_days=round(100 * (whole.told - whole.hit) / device_days, 3),
        by_kind={str(kind): judge.score(tallies.get(kind, Tally())) for kind in AnomalyKind},
        seeds=seeds,
        device_days=device_days,
        readings=readings,
        constant_false=constant,
    )


def _judged(seeds: list[int], days: int, interval_s: float, processes: int) -> Iterator[_Judged]:
    judge_one = partial(_judge_site, days=days, interval_s=interval_s)
    if processes == 1:
        yield from map(judge_one, seeds)
        return
    # Each begins anew: a fork of a process that draws its progress in a thread may hang.
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        yield from pool.map(judge_one, seeds)


def _judge_site(seed: int, *, days: int, interval_s: float) -> _Judged:
    with tempfile.TemporaryDirectory(prefix="shelfpulse-evaluate-") as folder:
        truths = record(seed, Path(folder), days=days, interval_s=interval_s)
        site = read_site(Path(folder))
    found = find(site)
    tallies: dict[AnomalyKind, Tally] = {}
    left = judge.add(tallies, truths, found, interval_s * 1_000)
    return _Judged(tallies, len(site.columns), sum(each.place.name.endswith(".supply_v") for each in left))


def _show(result: Result) -> None:
    table = Table(title=f"evaluate: {len(result.seeds)} sites, {result.device_days:,} device-days")
    for name in ("kind", "true", "recall", "precision", "delay, intervals"):
        table.add_column(name, justify="left" if name == "kind" else "right")
    for kind, each in result.by_kind.items():
        table.add_row(kind, f"{each.true}", f"{each.recall:.1%}", f"{each.precision:.1%}", f"{each.delay_intervals}")
    table.add_row("all", "", f"{result.recall:.1%}", f"{result.precision:.1%}", "")
    console = Console()
    console.print(table)
    console.print(f"{result.false_per_100_device_days} false anomalies in 100 device-days")
