"""The process's one LISTEN connection."""

import asyncio
import random
from typing import Final

import msgspec
import psycopg
import structlog
from psycopg import sql

from contracts.facts import LIVE_CHANNEL, LiveNotice
from platform_api.live.hub import Hub

RETRY_MIN_S: Final = 0.5
RETRY_MAX_S: Final = 15.0
PROBE_S: Final = 20.0
"""After so long without a notice the connection is tried: a dead peer is otherwise never noticed."""

_log = structlog.get_logger(__name__)
_decode = msgspec.json.Decoder(LiveNotice).decode


async def listen(dsn: str, hub: Hub) -> None:
    """Pass notices on to the hub until cancelled; a lost connection is made again, with capped, jittered waits."""
    wait_s = RETRY_MIN_S
    while True:
        try:
            connection = await psycopg.AsyncConnection.connect(
                dsn, autocommit=True, application_name="shelfpulse-api-listen", connect_timeout=5
            )
            async with connection:
                await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(LIVE_CHANNEL)))
                _log.info("live_listening")
                hub.hear_gap()
                wait_s = RETRY_MIN_S
                await _pass_on(connection, hub)
        except psycopg.OperationalError as error:
            _log.warning("live_listener_lost", detail=str(error)[:200], retry_s=round(wait_s, 1))
            await asyncio.sleep(wait_s * random.uniform(0.5, 1.0))  # noqa: S311  # spreads reconnects, no secret
            wait_s = min(wait_s * 2, RETRY_MAX_S)


async def _pass_on(connection: psycopg.AsyncConnection[tuple[object, ...]], hub: Hub) -> None:
    while True:
        async for notify in connection.notifies(timeout=PROBE_S):
            try:
                notice = _decode(notify.payload)
            except msgspec.MsgspecError:
                _log.warning("live_notice_unreadable", payload=notify.payload[:200])
                continue
            hub.hear(notice)
        await connection.execute("SELECT 1")
