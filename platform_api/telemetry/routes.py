"""GET /v1/readings, /v1/readings:export and /v1/gaps."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query

from contracts.metrics import unit_for
from platform_api.kit.auth import Caller
from platform_api.kit.db import Tx
from platform_api.kit.errors import COMMON_RESPONSES, NOT_FOUND_RESPONSE, not_found, unprocessable
from platform_api.kit.filters import Since, Until
from platform_api.kit.paging import CursorText, encode_cursor, seen
from platform_api.telemetry import service
from platform_api.telemetry.models import Point, Readings
from platform_api.telemetry.rules import RANGE_MAX, RAW_RANGE_MAX, Resolution

router = APIRouter(tags=["telemetry"], responses=COMMON_RESPONSES)

RANGE_DEFAULT: Final = timedelta(hours=1)
POINTS_MAX: Final = 10_000

SeriesId = Annotated[int, Query(ge=1, le=2_147_483_647)]
WithBad = Annotated[bool, Query(description="With readings of bad quality (raw only)")]
PointsMax = Annotated[int, Query(ge=10, le=POINTS_MAX, description="About so many points at most")]


@router.get("/v1/readings", summary="Read a series", responses=NOT_FOUND_RESPONSE)
def read_readings(
    caller: Caller,
    tx: Tx,
    series_id: SeriesId,
    since: Since = None,
    until: Until = None,
    resolution: Annotated[
        Resolution | None, Query(description="Leave out for the finest that max_points allows")
    ] = None,
    max_points: PointsMax = 1_000,
    cursor: CursorText = None,
    include_bad: WithBad = False,
) -> Readings:
    """Readings of one series in a range (default: the last hour), raw or as means with least and greatest."""
    end = until or datetime.now(UTC)
    begin = since or end - RANGE_DEFAULT
    _check_range(begin, end, resolution)
    found = service.find_series(tx, caller.scope, [series_id]).get(series_id)
    if found is None:
        raise not_found("series")
    # A cursor carries the resolution and the end of the first page: neither moves while one pages through.
    last = seen("readings", tuple[datetime, float, Resolution, datetime], cursor)
    if last is not None:
        resolution, end = last[2], last[3]
    question = service.Question(begin, end, max_points, resolution, include_bad, last and last[:2])
    choice, rows = service.read_readings(tx, found, question)
    shown, following = rows[:max_points], None
    if len(rows) > max_points and choice.thin_s is None:
        key = (shown[-1]["time"], shown[-1]["value"], choice.resolution, end)
        following = encode_cursor("readings", key)
    return Readings(
        series_id=series_id,
        channel=found["channel"],
        unit=unit_for(found["channel"]),
        resolution=choice.resolution,
        step_s=service.step_s(choice),
        items=[_point(row) for row in shown],
        next=following,
    )


def _check_range(begin: datetime, end: datetime, resolution: Resolution | None) -> None:
    if begin >= end:
        raise unprocessable("query.from", "must be before `to`")
    if end - begin > RANGE_MAX:
        raise unprocessable("query.from", f"the range is over {RANGE_MAX.days} days")
    if resolution is Resolution.RAW and end - begin > RAW_RANGE_MAX:
        raise unprocessable("query.resolution", f"raw readings are given for at most {RAW_RANGE_MAX.days} days")


def _point(row: Mapping[str, Any]) -> Point:
    return Point(**{name: row[name] for name in ("time", "value", "min", "max", "n", "quality")})
