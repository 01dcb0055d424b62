"""Reads what the wall and the chart show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from platform_api.kit.auth import Principal
from platform_api.kit.db import Connection
from platform_api.live import queries
from platform_api.live.models import Totals, Wall
from platform_api.live.rules import WIDTH_S, Choice, Resolution, choose

DEVICE_ONLINE_S: Final = 60.0
"""A device is online while any of its channels has a reading no older than this."""
CHART_RANGE: Final = timedelta(minutes=15)
CHART_POINTS: Final = 900

Row = Mapping[str, Any]
Scope = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a series: a half-open range in time (aware UTC), and how many points at most."""

    since: datetime
    until: datetime
    points_max: int
    resolution: Resolution | None = None
    """None: whichever fits."""
    with_bad: bool = False
    after: tuple[datetime, float] | None = None


def find_series(tx: Connection, scope: Scope, series: Sequence[int]) -> dict[int, Row]:
    """Those of the series that the scope may see, by id."""
    rows = tx.execute(queries.SERIES, {**scope, "series": list(series)}).fetchall()
    return {row["series_id"]: row for row in rows}


def read_readings(tx: Connection, series: Row, question: Question) -> tuple[Choice, list[Row]]:
    """Where the answer was read from, and its rows: one more than ``points_max`` when there are more.

    ``series`` comes from ``find_series``.
    """
    bounds = {"since": question.since, "until": question.until}
    after_time, after_value = question.after or (None, None)
    choice = _choice(tx, series, question)
    parameters = {
        **bounds,
        "series_id": series["series_id"],
        "bad": question.with_bad,
        "after_time": after_time,
        "after_value": after_value,
        "limit": question.points_max + 1,
    }
    if choice.resolution is not Resolution.RAW:
        return choice, list(tx.execute(queries.ROLLUPS[choice.resolution], parameters).fetchall())
    if choice.thin_s is None:
        return choice, list(tx.execute(queries.RAW, parameters).fetchall())
    return choice, list(tx.execute(queries.THINNED, {**parameters, "thin_s": choice.thin_s}).fetchall())


def step_s(choice: Choice) -> float | None:
    """Spacing of the points of an answer in seconds, None for single readings."""
    return choice.thin_s if choice.resolution is Resolution.RAW else WIDTH_S[choice.resolution]


def read_totals(tx: Connection, scope: Scope, *, readings_per_s: float) -> Totals:
    """The numbers at the top of the wall."""
    row = tx.execute(queries.TOTALS, {**scope, "online_s": DEVICE_ONLINE_S}).fetchone()
    assert row is not None
    return Totals(readings_per_s=readings_per_s, **row)


def read_wall(tx: Connection, caller: Principal, *, readings_per_s: float) -> Wall:
    """The wall's whole state."""
    row = tx.execute(queries.WALL, caller.scope).fetchone()
    assert row is not None
    totals = read_totals(tx, caller.scope, readings_per_s=readings_per_s)
    return Wall(totals=totals, **{**row, "cursor": str(row["cursor"])})


def find_slot(tx: Connection, scope: Scope, gateway: str, slot: str) -> Row | None:
    """One slot with its SKU, policy, newest count and series."""
    return tx.execute(queries.SLOT, {**scope, "gateway": gateway, "slot": slot}).fetchone()


def first_slot(tx: Connection, scope: Scope) -> Row | None:
    """The slot whose chart opens first, None without any."""
    found = tx.execute(queries.BUSIEST_SLOT, scope).fetchone() or tx.execute(queries.FIRST_SLOT, scope).fetchone()
    return None if found is None else find_slot(tx, scope, found["gateway_id"], found["slot_id"])


def read_chart(tx: Connection, scope: Scope, slot: Row, now: datetime) -> dict[str, object]:
    """Weights and events of a slot over CHART_RANGE until ``now``, as the chart takes them: columns, times in ms."""
    since = now - CHART_RANGE
    marks = tx.execute(
        queries.SLOT_EVENTS, {**scope, "gateway": slot["gateway_id"], "slot": slot["slot_id"], "since": since}
    ).fetchall()
    series = find_series(tx, scope, [slot["series_id"]]) if slot["series_id"] is not None else {}
    rows: list[Row] = []
    if series:
        question = Question(since, now, CHART_POINTS)
        _, rows = read_readings(tx, series[slot["series_id"]], question)
    return {
        "slot": f"{slot['gateway_id']}/{slot['slot_id']}",
        "series": slot["series_id"],
        "range_ms": int(CHART_RANGE.total_seconds() * 1_000),
        "at": [round(row["time"].timestamp() * 1_000) for row in rows],
        "value": [round(row["value"], 2) for row in rows],
        "events": marks,
    }


def _choice(tx: Connection, series: Row, question: Question) -> Choice:
    if question.resolution is not None:
        return Choice(question.resolution)
    stale = tx.execute(queries.STALE, {"since": question.since, "until": question.until}).fetchone()
    assert stale is not None
    return choose(
        range_s=(question.until - question.since).total_seconds(),
        interval_s=series["interval_s"],
        points_max=question.points_max,
        stale=stale["stale"],
    )
