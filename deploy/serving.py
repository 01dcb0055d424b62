"""Serves /metrics and /healthz of a process of ours."""

import json
import threading
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

from contracts.errors import UserError

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment


def serve(address: tuple[str, int], registry: CollectorRegistry, trouble: Callable[[], str]) -> None:
    """Serve at (host, port) from a daemon thread; nothing with port 0.

    ``trouble`` says what is wrong, '' when all is well. Raises UserError when the port is taken.
    """
    host, port = address
    if not port:
        return
    try:
        server = make_server(host, port, _wsgi(registry, trouble), _Server, _QuietHandler)
    except OSError as error:
        message = f"SHELFPULSE_METRICS_PORT: cannot serve on {host}:{port}: {error.strerror}"
        raise UserError(message, "choose another port, or 0 for none") from error
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()


def _wsgi(
    registry: CollectorRegistry, trouble: Callable[[], str]
) -> "Callable[[WSGIEnvironment, StartResponse], Iterable[bytes]]":
    show: Callable[[WSGIEnvironment, StartResponse], Iterable[bytes]] = make_wsgi_app(registry)

    def answer(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/healthz":
            return show(environ, start_response)
        found = trouble()
        start_response("503 Service Unavailable" if found else "200 OK", [("Content-Type", "application/json")])
        return [json.dumps({"status": found or "ok"}).encode()]

    return answer


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's own name
        """Stay silent: requests are no events of ours."""
