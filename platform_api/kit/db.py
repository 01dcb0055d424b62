"""One pool a process, one transaction a request, one tenant a transaction."""

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from typing import Annotated, Any, Final, cast

import anyio
import psycopg
from fastapi import Depends, Request
from fastapi.concurrency import contextmanager_in_threadpool
from psycopg.rows import DictRow, dict_row
from psycopg_pool import ConnectionPool, PoolTimeout, TooManyRequests

POOL_WAIT_S: Final = 5.0
"""A request that cannot have a connection in this time is answered 503 rather than queued."""
POOL_QUEUE_MAX: Final = 200
PREPARED_MAX: Final = 300
"""Statements that a connection keeps: about as many as there are."""
STATEMENT_TIMEOUT_MS: Final = 8_000
LOCK_TIMEOUT_MS: Final = 3_000
CONNECT_TIMEOUT_S: Final = 5

Connection = psycopg.Connection[DictRow]
Pool = ConnectionPool[Connection]

API_ROLE: Final = "shelfpulse_api"
"""Owns no table, and is subject to row security: taken on every connection, whoever logs in."""

SESSION_OPTIONS: Final = (
    f"-c role={API_ROLE} -c statement_timeout={STATEMENT_TIMEOUT_MS} -c lock_timeout={LOCK_TIMEOUT_MS}"
    " -c idle_in_transaction_session_timeout=15000 -c timezone=UTC"
)


def make_pool(dsn: str, size_max: int) -> Pool:
    """A closed pool; the application's lifespan opens it."""
    return ConnectionPool(
        dsn,
        connection_class=Connection,
        kwargs={
            "row_factory": dict_row,
            # At once: a connection of many sees each statement seldom, and planning costs more than most of them.
            "prepare_threshold": 0,
            "options": SESSION_OPTIONS,
            "application_name": "shelfpulse-api",
            "connect_timeout": CONNECT_TIMEOUT_S,
        },
        min_size=1,
        max_size=size_max,
        timeout=POOL_WAIT_S,
        max_waiting=POOL_QUEUE_MAX,
        configure=_keep_statements,
        open=False,
    )


def _keep_statements(connection: Connection) -> None:
    connection.prepared_max = PREPARED_MAX


ENTER_TENANT: Final = "SELECT set_config('app.tenant', %(tenant_id)s, true)"


def enter_tenant(tx: psycopg.Connection[Any], tenant_id: str) -> None:
    """Let the transaction see the rows of one tenant, and no others, until it ends."""
    tx.execute(ENTER_TENANT, {"tenant_id": tenant_id})


class Turns:
    """Who waits for a connection waits here, in the event loop.

    In the pool it would wait in a worker thread, of which there are forty: were all of them to wait, then those who
    have a connection could not go on to give it back.
    """

    def __init__(self, size_max: int) -> None:
        # Who finds one free takes it at once, without a round through the event loop.
        self._free = anyio.Semaphore(size_max, fast_acquire=True)

    @asynccontextmanager
    async def take(self) -> AsyncIterator[None]:
        """A turn. Raises PoolTimeout after POOL_WAIT_S, TooManyRequests when POOL_QUEUE_MAX wait already."""
        if self._free.statistics().tasks_waiting >= POOL_QUEUE_MAX:
            message = f"{POOL_QUEUE_MAX} requests wait for a connection already"
            raise TooManyRequests(message)
        with anyio.move_on_after(POOL_WAIT_S) as patience:
            await self._free.acquire()
        if patience.cancelled_caught:
            message = f"no connection within {POOL_WAIT_S} s"
            raise PoolTimeout(message)
        try:
            yield
        finally:
            self._free.release()


@asynccontextmanager
async def a_transaction(request: Request) -> AsyncIterator[Connection]:
    """A transaction for what waits in the event loop, with a turn of its own. Raises PoolTimeout, TooManyRequests."""
    pool = cast("Pool", request.app.state.pool)
    turns = cast("Turns", request.app.state.turns)
    async with turns.take(), contextmanager_in_threadpool(pool.connection()) as connection:
        yield connection


async def transaction(request: Request) -> Connection:
    """The request's transaction: committed before the response is sent, rolled back when the route raises.

    For routes of ``kit/work.py``, which hold a turn: a connection is there, or about to be made. Raises PoolTimeout.
    """
    pool = cast("Pool", request.app.state.pool)
    ending = cast("ExitStack", request.state.ending)
    return ending.enter_context(pool.connection())


Tx = Annotated[Connection, Depends(transaction)]
