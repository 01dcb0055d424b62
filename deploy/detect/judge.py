"""What was found against what is true: each truth is found at most once, and what is left over is false. Pure."""

from collections.abc import Iterable, Sequence
from statistics import median
from typing import Final, NamedTuple

import msgspec

from contracts.facts import AnomalyKind
from simulators.site_faults import Truth
from stream.watch.finding import Finding

EARLY_MS: Final = 3_600_000
"""What opens so long before its truth may still be it: a window of an hour begins earlier than the fault."""
LATE_MS: Final = 6 * 3_600_000
"""What is found so long after the end of its truth is still of use."""


class Tally(msgspec.Struct):
    """Counts of one kind: truths, those found, all found, and delays of the found in sampling intervals."""

    true: int = 0
    hit: int = 0
    told: int = 0
    delays: list[float] = []


class KindScore(msgspec.Struct, frozen=True):
    """Shares 0 … 1; ``delay_intervals`` is the median from the start of the truth, None without any found."""

    recall: float
    precision: float
    delay_intervals: float | None
    true: int


class Match(NamedTuple):
    """A truth and the place of what found it among the findings."""

    truth: Truth
    finding: int | None


def match(truths: Sequence[Truth], found: Sequence[Finding]) -> list[Match]:
    """Pair each truth with the first finding of its kind, place and time that is not taken."""
    taken: set[int] = set()
    matches = []
    for truth in truths:
        at = next((n for n, each in enumerate(found) if n not in taken and _fits(truth, each)), None)
        if at is not None:
            taken.add(at)
        matches.append(Match(truth, at))
    return matches


def _fits(truth: Truth, finding: Finding) -> bool:
    detected_ms = finding.detected_us // 1_000
    if finding.kind is not truth.kind or not truth.t_ms - EARLY_MS <= detected_ms <= truth.end_ms + LATE_MS:
        return False
    place = finding.place.name
    return place == truth.place or _device(place) == _device(truth.place)


def _device(place: str) -> str:
    """Device or slot of a place; a gateway is itself."""
    return place.partition(".")[0]


def add(
    tallies: dict[AnomalyKind, Tally], truths: Sequence[Truth], found: Sequence[Finding], interval_ms: float
) -> list[Finding]:
    """Count one site in; returns what is false."""
    for each in found:
        tallies.setdefault(each.kind, Tally()).told += 1
    matches = match(truths, found)
    for truth, at in matches:
        tally = tallies.setdefault(truth.kind, Tally())
        tally.true += 1
        if at is not None:
            tally.hit += 1
            tally.delays.append(max(0.0, (found[at].detected_us / 1_000 - truth.t_ms) / interval_ms))
    taken = {at for _, at in matches}
    return [each for n, each in enumerate(found) if n not in taken]


def join(tallies: dict[AnomalyKind, Tally], more: dict[AnomalyKind, Tally]) -> None:
    """Count the sites of ``more`` in."""
    for kind, tally in more.items():
        tallies[kind] = total((tallies.get(kind, Tally()), tally))


def score(tally: Tally) -> KindScore:
    """Shares of one kind, or of all."""
    return KindScore(
        recall=round(tally.hit / tally.true, 4) if tally.true else 1.0,
        precision=round(tally.hit / tally.told, 4) if tally.told else 1.0,
        delay_intervals=round(median(tally.delays), 1) if tally.delays else None,
        true=tally.true,
    )


def total(tallies: Iterable[Tally]) -> Tally:
    """All kinds together."""
    whole = Tally()
    for each in tallies:
        whole.true += each.true
        whole.hit += each.hit
        whole.told += each.told
        whole.delays += each.delays
    return whole
