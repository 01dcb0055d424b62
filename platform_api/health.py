"""GET /healthz, the one thing that an orchestrator may ask without credentials."""

from http import HTTPStatus
from typing import cast

import anyio
import psycopg
import psycopg_pool
from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from platform_api.kit.db import Pool, Turns

router = APIRouter(tags=["health"])

PROBE_WAIT_S = 1.0


def is_healthy(pool: Pool) -> bool:
    """Whether the database answers."""
    try:
        with pool.connection(timeout=PROBE_WAIT_S) as connection:
            connection.execute("SELECT 1")
    except (psycopg.Error, psycopg_pool.PoolTimeout, psycopg_pool.TooManyRequests, psycopg_pool.PoolClosed):
        return False
    return True


@router.get("/healthz", summary="Whether the database can be reached")
async def healthz(request: Request, response: Response) -> dict[str, str]:
    """200 while the database answers, else 503."""
    turns = cast("Turns", request.app.state.turns)
    with anyio.move_on_after(PROBE_WAIT_S):
        async with turns.take():
            if await run_in_threadpool(is_healthy, request.app.state.pool):
                return {"status": "ok"}
    response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
    return {"status": "database unreachable"}
