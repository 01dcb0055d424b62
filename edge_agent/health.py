"""``/metrics`` for Prometheus and ``/healthz``, on the loopback interface."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from contracts.errors import UserError
from edge_agent.agent import Agent
from edge_agent.metrics import AgentCollector

HOST = "127.0.0.1"


class HealthServer:
    """Serves until ``stop``. Raises UserError when the port is taken."""

    def __init__(self, agent: Agent, port: int) -> None:
        registry = CollectorRegistry(auto_describe=False)
        registry.register(AgentCollector(agent))

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                """Answer a scrape or a probe."""
                if self.path == "/metrics":
                    self._answer(200, CONTENT_TYPE_LATEST, generate_latest(registry))
                elif self.path == "/healthz":
                    healthy = agent.is_healthy()
                    body = {
                        "status": "ok" if healthy else "failing",
                        "alive": agent.is_alive(),
                        "outbox_full": agent.writer.is_full,
                        "outbox_set_aside": agent.outbox.set_aside,
                        "connected": agent.sender.is_connected,
                        "offline": agent.sender.is_offline,
                        "alarms": {alarm.value: text for alarm, text in agent.sender.alarms.items()},
                        "devices_silent": sorted(agent.polling.silent),
                        "config": agent.remote.configurator.version,
                    }
                    self._answer(200 if healthy else 503, "application/json", json.dumps(body).encode())
                else:
                    self.send_error(404)

            def _answer(self, code: int, kind: str, body: bytes) -> None:
                self.send_response(code)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
                """Say nothing: a scrape is no event."""

        try:
            self._server = ThreadingHTTPServer((HOST, port), Handler)
        except OSError as error:
            msg = f"SHELFPULSE_METRICS_PORT: cannot listen on {HOST}:{port}: {error.strerror}"
            raise UserError(msg) from error
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="health", daemon=True)

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
