"""Reads readings from wherever answers best: raw, thinned, or a rollup."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from platform_api.kit.db import Connection
from platform_api.telemetry import queries
from platform_api.telemetry.rules import WIDTH_S, Choice, Resolution, choose

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


def find_by_name(tx: Connection, scope: Scope, conditions: Mapping[str, object], *, limit: int) -> list[Row]:
    """Series that the scope may see, by gateway and channel.

    ``conditions``: ``series`` (ids), ``site``, ``gateway``, ``channel``; None leaves one out.
    """
    return list(tx.execute(queries.SERIES_BY_NAME, {**scope, **conditions, "limit": limit}).fetchall())


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
