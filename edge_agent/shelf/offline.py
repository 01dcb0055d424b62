"""``edge infer``: the inference over a recorded trace, for people who want to judge it before they install.

trace.csv: t_ms,slot,weight_g,temp_c. slots.csv (shelf.csv): slot,role(own|neighbour),sku,unit_weight_g,
unit_weight_sd_g,capacity. start.json: {slot: units}. Out: a JSON line an event.
"""

import csv
import itertools
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from contracts.errors import UserError
from edge_agent.shelf.decision import Decision, audit
from edge_agent.shelf.slot import Article, SlotMemory, SlotPlan
from edge_agent.shelf.tracker import SlotTracker

TRACE_COLUMNS: Final = ("t_ms", "slot", "weight_g")
PLAN_COLUMNS: Final = ("slot", "role", "sku", "unit_weight_g", "unit_weight_sd_g", "capacity")
TEMPERATURE: Final = "temp_c"
OWN: Final = "own"
NEIGHBOUR: Final = "neighbour"


def infer(trace: Path, slots: Path, start: Path | None) -> Iterator[Decision]:
    """Events of a trace, in the order in which they were decided. Raises UserError with file and line."""
    plans = read_plans(slots)
    counts = {} if start is None else read_start(start)
    unknown = sorted(counts.keys() - plans.keys())
    if unknown:
        msg = f"{start}: slot {', '.join(unknown)} is not in {slots}"
        raise UserError(msg)
    numbers = itertools.count(1)
    trackers = {
        slot: SlotTracker(
            plan, lambda: str(next(numbers)), SlotMemory(counts[slot]) if slot in counts else None
        )
        for slot, plan in plans.items()
    }  # fmt: skip
    for where, row in _rows(trace, TRACE_COLUMNS):
        slot = row["slot"]
        if slot not in trackers:
            msg = f"{where}: slot {slot!r} is not in {slots}"
            raise UserError(msg)
        if not row["weight_g"]:
            continue  # the scale did not answer
        weight_g = _number(where, row, "weight_g")
        temp_c = _number(where, row, TEMPERATURE) if row.get(TEMPERATURE) else None
        yield from trackers[slot].step(round(_number(where, row, "t_ms")), weight_g, temp_c)


def as_json(decision: Decision, *, explain: bool = False) -> dict[str, object]:
    """One line of the output, with its grounds when somebody wants them explained."""
    line: dict[str, object] = {
        "t_ms": decision.t_ms,
        "slot": decision.slot,
        "kind": decision.kind.value,
        "units": decision.units,
        "conf": decision.conf,
        "decided_ms": decision.decided_ms,
    }
    if decision.other:
        line["other"] = dict(decision.other)
    return audit(decision) | line if explain else line


def read_plans(file: Path) -> dict[str, SlotPlan]:
    """Slots with their own article and those of their neighbours. Raises UserError."""
    own: dict[str, tuple[Article, int]] = {}
    beside: dict[str, list[Article]] = {}
    for where, row in _rows(file, PLAN_COLUMNS):
        slot, role = row["slot"], row["role"]
        article = Article(row["sku"], _number(where, row, "unit_weight_g"), _number(where, row, "unit_weight_sd_g"))
        if article.unit_g <= 0 or article.sd_g < 0:
            msg = f"{where}: weights of a unit must be above 0, their deviation not below"
            raise UserError(msg)
        if role == OWN and slot not in own:
            capacity = round(_number(where, row, "capacity"))
            if capacity < 1:
                msg = f"{where}: capacity {row['capacity']} is below 1"
                raise UserError(msg)
            own[slot] = (article, capacity)
        elif role == NEIGHBOUR:
            beside.setdefault(slot, []).append(article)
        else:
            msg = f"{where}: role {role!r} is neither the first own nor a neighbour of slot {slot!r}"
            raise UserError(msg)
    return {
        slot: SlotPlan(slot, article, capacity, tuple(other for other in beside.get(slot, ()) if other != article))
        for slot, (article, capacity) in own.items()
    }


def read_start(file: Path) -> dict[str, int]:
    """Units on each slot at the beginning. Raises UserError."""
    try:
        counts = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        msg = f"cannot read {file}: {error}"
        raise UserError(msg) from error
    if not isinstance(counts, Mapping) or not all(type(units) is int and units >= 0 for units in counts.values()):
        msg = f"{file}: not an object of slot: units"
        raise UserError(msg)
    return dict(counts)


def _rows(file: Path, columns: Iterable[str]) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Rows of a CSV file with where they stand."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines, restval="")
            missing = [column for column in columns if column not in (reader.fieldnames or ())]
            if missing:
                msg = f"{file}, line 1: column {', '.join(missing)} is missing"
                raise UserError(msg)
            for row in reader:
                yield f"{file}, line {reader.line_num}", row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        msg = f"cannot read {file}: {error}"
        raise UserError(msg) from error


def _number(where: str, row: Mapping[str, str], column: str) -> float:
    try:
        number = float(row[column])
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        msg = f"{where}: {column} {row[column]!r} is not a number"
        raise UserError(msg)
    return number
