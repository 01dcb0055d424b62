"""One worker thread a request: its dependencies, its function and the end of its transaction, at a stretch.

FastAPI hands each dependency and each function that may block to a worker thread, and the check of what it returned to
one more; a small request spent more on being handed over than on what it was about. Here the event loop keeps what
waits for a client, the body before (``kit/bodies.py``) and the answer after, and one thread does all between. So a
dependency of a ``Route`` is a coroutine function that may block and never waits: nothing else would come of waiting in
a thread that has no event loop.
"""

from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from functools import partial, wraps
from inspect import iscoroutinefunction
from typing import Any, Final, TypeVar, cast

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.routing import APIRoute

from platform_api.kit.db import Turns

T = TypeVar("T")
Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class Route(APIRoute):
    """A route whose function, a plain one, may block. It holds one of the process's turns (``kit/db.py``) meanwhile."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **more: Any) -> None:
        assert not iscoroutinefunction(endpoint), f"{endpoint.__name__} waits: it belongs in an APIRouter"
        super().__init__(path, _as_coroutine(endpoint), **more)

    def get_route_handler(self) -> Handler:
        """What answers a request, in a worker thread."""
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            async with cast("Turns", request.app.state.turns).take():
                return await run_in_threadpool(_work, handler, request)

        return handle


Router: Final = partial(APIRouter, route_class=Route)
"""A router of such routes."""


def _work(handler: Handler, request: Request) -> Response:
    with ExitStack() as ending:
        # What ``kit/db.transaction`` enters ends here: before the answer is sent, so that nobody is told of a write
        # that then fails.
        request.state.ending = ending
        return run_through(handler(request))


def run_through(coroutine: Coroutine[Any, Any, T]) -> T:
    """What a coroutine returns that never waits. Raises RuntimeError when it does."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return cast("T", end.value)
    coroutine.close()
    message = "what runs in a worker thread must not wait for the event loop"
    raise RuntimeError(message)


def _as_coroutine(endpoint: Callable[..., T]) -> Callable[..., Coroutine[Any, Any, T]]:
    """The function as FastAPI calls it where it stands, instead of handing it on."""

    @wraps(endpoint)
    async def call(**values: Any) -> T:
        return endpoint(**values)

    return call
