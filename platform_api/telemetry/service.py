"""Reads readings from wherever answers best: raw, thinned, or a rollup."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, NamedTuple

import msgspec

from platform_api.kit.db import Connection
from platform_api.telemetry import queries
from platform_api.telemetry.rules import WIDTH_S, Choice, Resolution, choose

Row = Mapping[str, Any]
Scope = Mapping[str, object]


class Seen(NamedTuple):
    """The last row of a page, ``equals``: how many that are equal to it were seen, itself among them.

    ``quality`` 0 and ``equals`` 1 of a rollup, whose rows are told apart by their time.
    """

    time: datetime
    value: float
    quality: Annotated[int, msgspec.Meta(ge=0, le=3)]
    equals: Annotated[int, msgspec.Meta(ge=1, le=2**31)]


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a series: a half-open range in time (aware UTC), and how many points at most."""

    since: datetime
    until: datetime
    points_max: int
    resolution: Resolution | None = None
    """None: whichever fits."""
    with_bad: bool = False
    after: Seen | None = None


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
    after_time, after_value, after_quality, equals = question.after or (None, None, None, 0)
    choice = _choice(tx, series, question)
    parameters = {
        **bounds,
        "series_id": series["series_id"],
        "bad": question.with_bad,
        "after_time": after_time,
        "after_value": after_value,
        "after_quality": after_quality,
        "equals": equals,
        "limit": question.points_max + 1,
    }
    if choice.resolution is not Resolution.RAW:
        return choice, list(tx.execute(queries.ROLLUPS[choice.resolution], parameters).fetchall())
    if choice.thin_s is None:
        return choice, list(tx.execute(queries.RAW, parameters).fetchall())
    return choice, list(tx.execute(queries.THINNED, {**parameters, "thin_s": choice.thin_s}).fetchall())


def last_seen(rows: Sequence[Row], before: Seen | None) -> Seen:
    """The last of a page's rows; ``before`` is that of the page before it."""
    key = _key(rows[-1])
    equals = sum(_key(row) == key for row in rows)
    if before is not None and before[:3] == key:
        equals += before.equals
    return Seen(*key, equals)


def step_s(choice: Choice) -> float | None:
    """Spacing of the points of an answer in seconds, None for single readings."""
    return choice.thin_s if choice.resolution is Resolution.RAW else WIDTH_S[choice.resolution]


def _key(row: Row) -> tuple[datetime, float, int]:
    return row["time"], row["value"], row["quality"] or 0


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
