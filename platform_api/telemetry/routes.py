"""GET /v1/readings, /v1/readings:export and /v1/gaps."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

from fastapi import Query, Request, Response
from fastapi.responses import StreamingResponse

from contracts.metrics import unit_for
from platform_api.kit.auth import Caller
from platform_api.kit.db import Tx
from platform_api.kit.errors import COMMON_RESPONSES, NOT_FOUND_RESPONSE, not_found, unprocessable
from platform_api.kit.filters import ChannelName, Name, Since, Until, bounds
from platform_api.kit.paging import CursorText, Listing, Paging, encode_cursor, seen
from platform_api.kit.times import Instant
from platform_api.kit.work import Router
from platform_api.telemetry import queries, service
from platform_api.telemetry.download import Download
from platform_api.telemetry.export import MEDIA_TYPES, ReadingsFormat, Wanted
from platform_api.telemetry.models import DeclaredGap, Point, Readings
from platform_api.telemetry.rules import RANGE_MAX, RAW_RANGE_MAX, Resolution

router = Router(tags=["telemetry"], responses=COMMON_RESPONSES)

RANGE_DEFAULT: Final = timedelta(hours=1)
POINTS_MAX: Final = 10_000
EXPORT_SERIES_MAX: Final = 200

SeriesId = Annotated[int, Query(ge=1, le=2_147_483_647)]
WithBad = Annotated[bool, Query(description="With readings of bad quality (raw only)")]
ExportSeries = Annotated[
    list[SeriesId] | None, Query(max_length=EXPORT_SERIES_MAX, description="Series to export; repeat it")
]
ExportSince = Annotated[Instant, Query(alias="from", description="From this time on (RFC 3339)")]
ExportUntil = Annotated[Instant, Query(alias="to", description="Before this time (RFC 3339)")]
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
    last = seen("readings", tuple[service.Seen, Resolution, datetime], cursor)
    after = None
    if last is not None:
        after, resolution, end = last
    question = service.Question(begin, end, max_points, resolution, include_bad, after)
    choice, rows = service.read_readings(tx, found, question)
    shown, following = rows[:max_points], None
    if len(rows) > max_points and choice.thin_s is None:
        key = (service.last_seen(shown, after), choice.resolution, end)
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


@router.get(
    "/v1/readings:export",
    summary="Download readings",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "Columns `time, gateway, channel, value, quality`, or for a rollup "
            "`time, gateway, channel, n, mean, min, max, first, last`; series by series, in order of time.",
            "content": {media: {} for media in MEDIA_TYPES.values()},
        },
        **NOT_FOUND_RESPONSE,
    },
)
def export_readings(
    caller: Caller,
    tx: Tx,
    request: Request,
    since: ExportSince,
    until: ExportUntil,
    series_id: ExportSeries = None,
    site: Name = None,
    gateway: Name = None,
    channel: ChannelName = None,
    resolution: Resolution = Resolution.RAW,
    form: Annotated[ReadingsFormat, Query(alias="format")] = ReadingsFormat.CSV,
    include_bad: WithBad = False,
) -> Response:
    """Readings of some series in a range, as CSV, an Arrow stream or Parquet.

    Name the series by id, or by site, gateway and channel; at most 200 of them.
    """
    _check_range(since, until, resolution)
    if series_id is None and site is None and gateway is None:
        raise unprocessable("query.series_id", "name series by id, or give a site or a gateway")
    conditions = {"series": series_id, "site": site, "gateway": gateway, "channel": channel}
    series = service.find_by_name(tx, caller.scope, conditions, limit=EXPORT_SERIES_MAX + 1)
    if not series:
        raise not_found("series")
    if len(series) > EXPORT_SERIES_MAX:
        raise unprocessable("query.site", f"that is more than {EXPORT_SERIES_MAX} series; name a gateway or a channel")
    wanted = Wanted(series, bounds(since, until), resolution, include_bad)
    name = f"readings-{since:%Y%m%dT%H%M%SZ}-{until:%Y%m%dT%H%M%SZ}.{form}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return Download(request, wanted, form, headers)


@router.get("/v1/gaps", summary="List what gateways had to give up")
def list_gaps(
    caller: Caller,
    tx: Tx,
    page: Paging,
    site: Name = None,
    gateway: Name = None,
    since: Since = None,
    until: Until = None,
) -> Listing[DeclaredGap]:
    """Declared losses, those noted last first; ``from`` and ``to`` bound when they were noted."""
    at, last_gateway, lane, ep, seq = page.after("gaps", tuple[datetime, str, str, str, int]) or (None,) * 5
    rows = tx.execute(
        queries.GAPS,
        {
            **caller.scope,
            **bounds(since, until),
            "site": site,
            "gateway": gateway,
            "after_at": at,
            "after_gateway": last_gateway,
            "after_lane": lane,
            "after_ep": ep,
            "after_seq": seq,
            "limit": page.limit + 1,
        },
    ).fetchall()
    return page.listing(
        "gaps",
        rows,
        key=lambda row: (row["noted_at"], row["gateway_id"], row["lane"], row["ep"], row["from_seq"]),
        item=_gap,
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


def _gap(row: Mapping[str, Any]) -> DeclaredGap:
    return DeclaredGap(
        site=row["site_id"],
        gateway=row["gateway_id"],
        lane=row["lane"],
        incarnation=row["ep"],
        first=row["from_seq"],
        last=row["to_seq"],
        reason=row["reason"],
        noted_at=row["noted_at"],
    )
