"""One pool a process, one transaction a request, one tenant a transaction."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from types import TracebackType
from typing import Annotated, Any, Final, cast

import anyio
import psycopg
from fastapi import Depends, Request
from fastapi.concurrency import contextmanager_in_threadpool, run_in_threadpool
from psycopg.rows import DictRow, dict_row
from psycopg_pool import ConnectionPool, PoolTimeout, TooManyRequests

POOL_WAIT_S: Final = 5.0
"""A request that cannot have a connection in this time is answered 503 rather than queued."""
POOL_QUEUE_MAX: Final = 200
READY_WAIT_S: Final = 0.001
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
            "options": SESSION_OPTIONS,
            "application_name": "shelfpulse-api",
            "connect_timeout": CONNECT_TIMEOUT_S,
        },
        min_size=1,
        max_size=size_max,
        timeout=POOL_WAIT_S,
        max_waiting=POOL_QUEUE_MAX,
        open=False,
    )


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
        self._free = anyio.Semaphore(size_max)

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


async def transaction(request: Request) -> AsyncIterator[Connection]:
    """The request's transaction: committed before the response is sent, rolled back when the route raises."""
    async with a_transaction(request) as connection:
        yield connection


@asynccontextmanager
async def a_transaction(request: Request) -> AsyncIterator[Connection]:
    """One of several transactions of a request that holds none meanwhile. Raises PoolTimeout, TooManyRequests."""
    pool = cast("Pool", request.app.state.pool)
    turns = cast("Turns", request.app.state.turns)
    async with turns.take(), _lent(pool) as connection:
        yield connection


@asynccontextmanager
async def _lent(pool: Pool) -> AsyncIterator[Connection]:
    """A connection in a transaction, which ends with the block."""
    connection = _ready(pool)
    if connection is None:
        async with contextmanager_in_threadpool(pool.connection()) as waited_for:
            yield waited_for
        return
    async with AsyncExitStack() as ending:
        ending.push_async_exit(partial(_end, pool, connection))
        yield connection


def _ready(pool: Pool) -> Connection | None:
    """A connection that lies there, None when one would have to be waited for.

    Taken in the event loop: a worker thread only for this would cost more than all else that a small request does here.
    """
    if pool.get_stats().get("pool_available"):
        # Another thread may have been quicker.
        with suppress(PoolTimeout):
            return pool.getconn(timeout=READY_WAIT_S)
    return None


async def _end(
    pool: Pool,
    connection: Connection,
    kind: type[BaseException] | None,
    error: BaseException | None,
    trace: TracebackType | None,
) -> None:
    """Commit, or after an error roll back, and return the connection; a request that is cancelled does so too."""

    def give_back() -> None:
        try:
            connection.__exit__(kind, error, trace)
        finally:
            pool.putconn(connection)

    with anyio.CancelScope(shield=True):
        await run_in_threadpool(give_back)


# Without scope="function" FastAPI would commit after the response was sent: a client could be told of a write that
# then fails.
Tx = Annotated[Connection, Depends(transaction, scope="function")]
