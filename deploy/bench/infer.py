"""``bench infer``: the inference at the shelf, on simulated days of which the truth is known."""

import itertools
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from contracts.frames import EventKind
from edge_agent.shelf.decision import Decision
from edge_agent.shelf.slot import Article, SlotMemory, SlotPlan
from edge_agent.shelf.tracker import SlotTracker
from simulators.shelf_day import NEIGHBOUR, OWN, SCENES, Day, Happened, simulate_day

HOURS: Final = 2.0
NEAR_MS: Final = 3_000
"""How far the event of a decision may be from the truth."""
COUNTED: Final = frozenset({EventKind.SALE, EventKind.RESTOCK})
CHANGES: Final = COUNTED | {EventKind.PUT_BACK, EventKind.REMOVE}
CONF_EDGES: Final = (0.0, 0.5, 0.8, 0.9, 0.95, 0.99, 0.999)


class Tally(NamedTuple):
    """What became of one day: lists are of single events."""

    true: int
    exact: int
    missed: int
    told: int
    spurious: int
    delays_ms: list[int]
    confs: list[tuple[float, bool]]
    """Confidence of each change told, and whether it was right."""
    samples: int
    cpu_s: float


class Score(msgspec.Struct, frozen=True):
    """Shares are of the true sales and restocks; delays are from the hand's leaving to the decision."""

    scene: str
    true: int
    exact: float
    missed: float
    spurious: float
    delay_p50_ms: int
    delay_p95_ms: int
    in_2_s: float
    us_per_sample: float


class Reliability(msgspec.Struct, frozen=True):
    """Of the changes told with a confidence from … to: how sure they were on average, and how often right."""

    from_: float = msgspec.field(name="from")
    to: float
    told: int
    conf: float
    right: float


class Result(msgspec.Struct, frozen=True):
    """What ``--json`` prints."""

    seeds: int
    first_seed: int
    hours: float
    scenes: list[Score]
    all: Score
    reliability: list[Reliability]


def run_infer(
    seeds: int, first_seed: int, scenes: Iterable[str] = SCENES, hours: float = HOURS,
    say: Callable[[str], None] = lambda _: None,
) -> Result:  # fmt: skip
    """Every scene on every seed."""
    tallies: dict[str, list[Tally]] = {}
    for name in scenes:
        say(name)
        tallies[name] = [
            tally_day(simulate_day(SCENES[name], seed, hours)) for seed in range(first_seed, first_seed + seeds)
        ]
    everything = [tally for each in tallies.values() for tally in each]
    return Result(
        seeds, first_seed, hours,
        [score(name, each) for name, each in tallies.items()],
        score("all", everything),
        reliability([pair for tally in everything for pair in tally.confs]),
    )  # fmt: skip


def tally_day(day: Day) -> Tally:
    """Follow one day and compare."""
    scene = day.scene
    plan = SlotPlan(
        "bay", Article(OWN, scene.unit_g, scene.unit_sd_g), scene.capacity,
        (Article(NEIGHBOUR, scene.neighbour_g, 3.0),),
    )  # fmt: skip
    numbers = itertools.count(1)
    tracker = SlotTracker(plan, lambda: str(next(numbers)), SlotMemory(day.opening))
    decisions: list[Decision] = []
    began_s = time.process_time()
    for sample in day.samples:
        decisions += tracker.step(*sample)
    return compare(day.truth, decisions)._replace(samples=len(day.samples), cpu_s=time.process_time() - began_s)


def compare(truth: Sequence[Happened], decisions: Sequence[Decision]) -> Tally:
    """Match what was told with what happened, each at most once, the nearest of the same kind first."""
    told = [each for each in decisions if each.kind in CHANGES]
    pairs = sorted(
        (abs(decision.t_ms - happened.t_ms) + (0 if decision.kind is happened.kind else NEAR_MS)
         + (0 if decision.units == happened.units else NEAR_MS // 2), d, h)
        for h, happened in enumerate(truth)
        for d, decision in enumerate(told)
        if abs(decision.t_ms - happened.t_ms) <= NEAR_MS and happened.kind in CHANGES
    )  # fmt: skip
    found: dict[int, Decision] = {}
    used: set[int] = set()
    for _, d, h in pairs:
        if d not in used and h not in found:
            used.add(d)
            found[h] = told[d]
    exact = {h for h, each in found.items() if (each.kind, each.units) == truth[h][1:]}
    right = {id(found[h]) for h in exact}
    counted = [h for h, each in enumerate(truth) if each.kind in COUNTED]
    return Tally(
        true=len(counted),
        exact=sum(h in exact for h in counted),
        missed=sum(h not in found for h in counted),
        told=len(told),
        spurious=len(told) - len(used),
        delays_ms=[found[h].decided_ms - truth[h].t_ms for h in counted if h in found],
        confs=[(each.conf, id(each) in right) for each in told],
        samples=0,
        cpu_s=0.0,
    )


def score(name: str, tallies: Sequence[Tally]) -> Score:
    """Sum up days."""
    true = sum(each.true for each in tallies)
    delays = sorted(delay for each in tallies for delay in each.delays_ms) or [0]
    samples = sum(each.samples for each in tallies) or 1
    return Score(
        scene=name,
        true=true,
        exact=round(sum(each.exact for each in tallies) / true, 5),
        missed=round(sum(each.missed for each in tallies) / true, 5),
        spurious=round(sum(each.spurious for each in tallies) / true, 5),
        delay_p50_ms=delays[len(delays) // 2],
        delay_p95_ms=delays[int(len(delays) * 0.95)],
        in_2_s=round(sum(delay <= 2_000 for delay in delays) / len(delays), 4),  # noqa: PLR2004 - the limit of the goal
        us_per_sample=round(sum(each.cpu_s for each in tallies) / samples * 1e6, 2),
    )


def reliability(confs: Sequence[tuple[float, bool]]) -> list[Reliability]:
    """Changes by confidence."""
    return [
        Reliability(
            low, high, len(inside),
            round(sum(conf for conf, _ in inside) / len(inside), 4),
            round(sum(right for _, right in inside) / len(inside), 4),
        )
        for low, high in itertools.pairwise((*CONF_EDGES, 1.001))
        if (inside := [(conf, right) for conf, right in confs if low <= conf < high])
    ]  # fmt: skip
