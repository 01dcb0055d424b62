"""Prometheus metrics of the API, and the loopback port that serves them."""

import time
from collections.abc import Callable, Iterable
from threading import Thread
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import Counter, Gauge, Histogram, make_wsgi_app
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contracts.errors import UserError

REQUESTS: Final = Counter("shelfpulse_api_requests", "Requests answered", ["method", "route", "status"])
REQUEST_SECONDS: Final = Histogram(
    "shelfpulse_api_request_seconds",
    "Time until the response started",
    ["route"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5),
)
VIEWERS: Final = Gauge("shelfpulse_live_viewers", "Open /v1/live streams")
DELTAS: Final = Counter("shelfpulse_live_deltas", "Deltas made, one for all viewers of an audience")
RESETS: Final = Counter("shelfpulse_live_resets", "Viewers told to read the wall again")
NOTICES: Final = Counter("shelfpulse_live_notices", "Notices heard from the database")

UNMATCHED: Final = "unmatched"


class RequestMetrics:
    """ASGI middleware that counts and times requests by route pattern, never by path (unbounded)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on and note how its response starts."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()

        async def send_and_count(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", UNMATCHED)
                REQUESTS.labels(scope["method"] if route != UNMATCHED else "", route, str(message["status"])).inc()
                REQUEST_SECONDS.labels(route).observe(time.perf_counter() - began)
            await send(message)

        await self._app(scope, receive, send_and_count)


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class names it so
        """Scrapes are not worth a line."""


def serve(address: tuple[str, int], is_healthy: Callable[[], bool]) -> WSGIServer:
    """Serve /metrics and /healthz at (host, port) from a daemon thread. Raises UserError when the port is taken."""
    metrics = make_wsgi_app()

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ.get("PATH_INFO") != "/healthz":
            body: Iterable[bytes] = metrics(environ, start_response)
            return body
        ok = is_healthy()
        start_response("200 OK" if ok else "503 Service Unavailable", [("Content-Type", "text/plain")])
        return [b"ok" if ok else b"database unreachable"]

    try:
        server = make_server(*address, app, handler_class=_Quiet)
    except OSError as error:
        msg = f"SHELFPULSE_METRICS_PORT {address[1]}: {error.strerror}"
        raise UserError(msg) from error
    Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server
