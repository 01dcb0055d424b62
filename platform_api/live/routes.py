"""GET /v1/readings, /v1/live/wall and /v1/live (server-sent events)."""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Any, Final, cast

import anyio
from fastapi import APIRouter, Header, Query, Request
from sse_starlette.sse import EventSourceResponse

from contracts.metrics import unit_for
from platform_api.kit.auth import Caller
from platform_api.kit.db import Tx
from platform_api.kit.errors import COMMON_RESPONSES, NOT_FOUND_RESPONSE, ApiError, not_found, unprocessable
from platform_api.kit.filters import Since, Until
from platform_api.kit.paging import CursorText, encode_cursor, seen
from platform_api.live import service
from platform_api.live.hub import VIEWERS_MAX, AudienceKey, Hub, Viewer
from platform_api.live.models import Point, Readings, Wall
from platform_api.live.rules import RANGE_MAX, RAW_RANGE_MAX, Resolution

router = APIRouter(tags=["live"], responses=COMMON_RESPONSES)

RANGE_DEFAULT: Final = timedelta(hours=1)
POINTS_MAX: Final = 10_000
SERIES_MAX: Final = 8
PING_S: Final = 15
SEND_TIMEOUT_S: Final = 20.0
SHUTDOWN_GRACE_S: Final = 2.0
FAREWELL: Final = b": farewell"
"""Ends a stream; never sent."""
RETRY_MS: Final = (1_000, 4_000)
"""Browsers come back after a wait between these, so that they do not come all at once."""

CURSOR_PATTERN: Final = r"^[0-9]{1,17}$"

SeriesId = Annotated[int, Query(ge=1, le=2_147_483_647)]
Watched = Annotated[
    list[Annotated[int, Query(ge=1, le=2_147_483_647)]] | None,
    Query(max_length=SERIES_MAX, description="Series whose newest readings are told as well"),
]
After = Annotated[str | None, Query(pattern=CURSOR_PATTERN, description="`cursor` of the wall that the viewer has")]
LastEventId = Annotated[str | None, Header(max_length=64, description="Sent by browsers that come back")]
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


@router.get("/v1/live/wall", summary="Read the wall")
def read_wall(request: Request, caller: Caller, tx: Tx) -> Wall:
    """Everything that the live page shows, and the cursor from which /v1/live goes on."""
    return service.read_wall(tx, caller, readings_per_s=_hub(request).readings_per_s(caller.tenant_id))


@router.get(
    "/v1/live",
    summary="Follow what changes",
    response_class=EventSourceResponse,
    responses={
        200: {
            "description": "Events `delta` (positions, events, anomalies, proposals: those that changed), "
            "`totals`, `values` ([[series, ms, value], …]) and `reset` (read /v1/live/wall again).",
            "content": {
                "text/event-stream": {
                    "example": 'id: 1767600751000000\nevent: delta\ndata: {"positions":[{"slot":"gw-sh-001/s01-b1",'
                    '"on_shelf":11,"at":1767600751000}]}\n\n'
                }
            },
        },
        **NOT_FOUND_RESPONSE,
    },
)
def follow(
    request: Request,
    caller: Caller,
    tx: Tx,
    series: Watched = None,
    after: After = None,
    last_event_id: LastEventId = None,
) -> EventSourceResponse:
    """Server-sent events, at most two a second. The stream ends with the credential; come back with a new one."""
    watched = tuple(sorted(set(series or ())))
    if len(service.find_series(tx, caller.scope, watched)) != len(watched):
        raise not_found("series")
    hub = _hub(request)
    if hub.viewers >= VIEWERS_MAX:
        raise ApiError(HTTPStatus.SERVICE_UNAVAILABLE, "too many viewers", headers={"Retry-After": "30"})
    key = AudienceKey(caller.tenant_id, caller.sites)
    ending = anyio.Event()
    return EventSourceResponse(
        _told(hub, key, watched, _cursor(last_event_id or after), caller.expires_at, ending),
        ping=PING_S,
        sep="\n",
        send_timeout=SEND_TIMEOUT_S,
        shutdown_event=ending,
        shutdown_grace_period=SHUTDOWN_GRACE_S,
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _told(  # who watches what, from where, until when
    hub: Hub,
    key: AudienceKey,
    series: tuple[int, ...],
    after: int | None,
    expires_at: datetime | None,
    ending: anyio.Event,
) -> AsyncIterator[bytes]:
    viewer = hub.join(key, series, after)
    farewell = asyncio.create_task(_say_farewell(ending, viewer))
    try:
        yield b"retry: %d\n\n" % random.randint(*RETRY_MS)  # noqa: S311  # spreads reconnects, no secret
        async with asyncio.timeout(_seconds_until(expires_at)):
            while FAREWELL not in (messages := await viewer.next()):
                yield b"".join(messages)
    except TimeoutError:
        return
    finally:
        farewell.cancel()
        hub.leave(key, viewer)


async def _say_farewell(ending: anyio.Event, viewer: Viewer) -> None:
    """End the stream properly when the server stops: browsers then come back to its successor."""
    await ending.wait()
    viewer.tell(FAREWELL)


def _seconds_until(expires_at: datetime | None) -> float | None:
    return None if expires_at is None else max((expires_at - datetime.now(UTC)).total_seconds(), 0.0)


def _cursor(text: str | None) -> int | None:
    """A cursor; one that is none of ours is as good as an old one."""
    if text is None:
        return None
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 17 else 0  # noqa: PLR2004  # CURSOR_PATTERN


def _check_range(begin: datetime, end: datetime, resolution: Resolution | None) -> None:
    if begin >= end:
        raise unprocessable("query.from", "must be before `to`")
    if end - begin > RANGE_MAX:
        raise unprocessable("query.from", f"the range is over {RANGE_MAX.days} days")
    if resolution is Resolution.RAW and end - begin > RAW_RANGE_MAX:
        raise unprocessable("query.resolution", f"raw readings are given for at most {RAW_RANGE_MAX.days} days")


def _point(row: Mapping[str, Any]) -> Point:
    return Point(**{name: row[name] for name in ("time", "value", "min", "max", "n", "quality")})


def _hub(request: Request) -> Hub:
    return cast("Hub", request.app.state.hub)
