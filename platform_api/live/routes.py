"""GET /v1/live/wall and /v1/live (server-sent events)."""

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Final, cast

import anyio
from fastapi import Header, Query, Request
from sse_starlette.sse import EventSourceResponse

from platform_api.kit.auth import Caller
from platform_api.kit.db import Tx
from platform_api.kit.errors import COMMON_RESPONSES, NOT_FOUND_RESPONSE, ApiError, not_found
from platform_api.kit.work import Router
from platform_api.live import service
from platform_api.live.hub import VIEWERS_MAX, AudienceKey, Hub, Viewer
from platform_api.live.models import Wall

router = Router(tags=["live"], responses=COMMON_RESPONSES)

SERIES_MAX: Final = 8
PING_S: Final = 15
SEND_TIMEOUT_S: Final = 20.0
SHUTDOWN_GRACE_S: Final = 2.0
FAREWELL: Final = b": farewell"
"""Ends a stream; never sent."""
RETRY_MS: Final = (1_000, 4_000)
"""Browsers come back after a wait between these, so that they do not come all at once."""

CURSOR_PATTERN: Final = r"^[0-9]{1,17}$"

Watched = Annotated[
    list[Annotated[int, Query(ge=1, le=2_147_483_647)]] | None,
    Query(max_length=SERIES_MAX, description="Series whose newest readings are told as well"),
]
After = Annotated[str | None, Query(pattern=CURSOR_PATTERN, description="`cursor` of the wall that the viewer has")]
LastEventId = Annotated[str | None, Header(max_length=64, description="Sent by browsers that come back")]


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
    if len(service.visible_series(tx, caller.scope, watched)) != len(watched):
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


def _hub(request: Request) -> Hub:
    return cast("Hub", request.app.state.hub)
