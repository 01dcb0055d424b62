"""The stream's own detectors over a recorded site, in order of event time."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from contracts.errors import UserError
from deploy.detect.site_files import Site
from stream.facts import Columns
from stream.watch.finding import Finding, Place
from stream.watch.ledger import Ledger, Move, Sale
from stream.watch.ledger import SlotKey as Key
from stream.watch.watch import Watch

STEP_US: Final = 300_000_000
"""Event time that one step takes: how soon a silence is noticed."""


def find(site: Site, tell: Callable[[float], None] = lambda _: None) -> list[Finding]:
    """All anomalies of a site, each once, in order of detection; ``tell`` hears the share that is done."""
    watch, ledger = Watch(across=True), Ledger()
    for key, row in site.slots.items():
        place = Place(row.get("tenant", ""), row.get("site", ""), key.gateway, "slot", f"{key.gateway}/{key.slot}")
        ledger.know(key, place, row["sku"], row["channel"] or f"{key.slot}.weight_g")
    ledger.plan(site.promotions)
    found: dict[str, Finding] = {}
    columns = site.columns
    if len(columns) == 0:
        return []
    steps = columns.time_us // STEP_US
    starts = np.flatnonzero(np.r_[True, steps[1:] != steps[:-1]]).tolist()
    sales, moves = sorted(site.sales), site.moves
    next_sale = next_move = 0
    for at, start in enumerate(starts):
        end = starts[at + 1] if at + 1 < len(starts) else len(columns)
        told = watch.step(_part(columns, start, end), site.profiles.__getitem__)
        now_us = int(columns.time_us[end - 1])
        for each in told:
            ledger.pause(each)
        due_moves = [
            Move(jump.t_us, Key(profile.gateway, profile.slot), jump.units, None, jump.on_shelf)
            for profile, jump in watch.jumps
            if profile.slot and jump.units and Key(profile.gateway, profile.slot) not in site.seen
        ]
        first_sale, first_move = next_sale, next_move
        while next_sale < len(sales) and sales[next_sale].t_us <= now_us:
            next_sale += 1
        while next_move < len(moves) and moves[next_move].t_us <= now_us:
            next_move += 1
        due_sales: list[Sale] = sales[first_sale:next_sale]
        told += ledger.step(moves[first_move:next_move] + due_moves, due_sales, now_us)
        for each in told:
            found[str(each.id)] = each
        if at % 500 == 0:
            tell(end / len(columns))
    return sorted(found.values(), key=lambda each: (each.detected_us, each.kind, each.place))


def as_json(finding: Finding) -> dict[str, Any]:
    """One entry of the output; times in ms."""
    return {
        "kind": finding.kind.value,
        finding.place.kind: finding.place.name,
        "start": finding.start_us // 1_000,
        "end": None if finding.end_us is None else finding.end_us // 1_000,
        "detected": finding.detected_us // 1_000,
        "severity": finding.severity,
        "score": finding.score,
        "evidence": finding.evidence,
    }


def write(found: list[Finding], out: Path) -> None:
    """Write the list. Raises UserError."""
    try:
        out.write_bytes(msgspec.json.format(msgspec.json.encode([as_json(each) for each in found]), indent=1) + b"\n")
    except OSError as error:
        msg = f"cannot write {out}: {error.strerror}"
        raise UserError(msg) from error


def _part(columns: Columns, start: int, end: int) -> Columns:
    return columns.take(slice(start, end))
