"""``/metrics`` for Prometheus and ``/healthz``, on the loopback interface."""

import json
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from contracts.errors import UserError
from edge_agent.agent import Agent
from edge_agent.bus.poller import Poller

HOST = "127.0.0.1"


class AgentCollector(Collector):
    """Reads the agent's own counts when it is scraped, so that nothing is counted twice."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def collect(self) -> Iterator[Metric]:
        """Metrics of one scrape."""
        agent, counts = self._agent, self._agent.sender.counts
        depth = agent.outbox.depth()
        yield _gauge("connected", "1 while the broker is connected", float(agent.sender.is_connected))
        yield _gauge("offline", "1 while readings go to the bulk lane", float(agent.sender.is_offline))
        yield _gauge("outbox_frames", "Frames that the platform has not committed", depth.frames)
        yield _gauge("outbox_oldest_seconds", "Age of the oldest of them", depth.oldest_s)
        yield _gauge("outbox_full", "1 while the disk takes no frames", float(agent.writer.is_full))
        yield _gauge("devices_silent", "Devices that do not answer", len(agent.polling.silent))
        yield _counter("values_polled", "Values read from devices", agent.polling.polled)
        yield from _bus_metrics(agent.polling.pollers)
        yield _counter("frames_published", "Frames published, resends included", counts.published)
        yield _counter("frames_received", "Frames that the broker has taken", counts.pubacks)
        yield _counter("acks", "Acknowledgements from the platform", counts.acks)
        yield _counter("go_backs", "Lanes that went back to their watermark", counts.go_backs)
        yield _counter("frames_refused", "Frames set aside because they never passed", counts.refused)
        yield _counter("connects", "Connections to the broker", counts.connects)
        yield _counter("readings_refused", "Readings that found no room", agent.writer.refused_readings)
        written = CounterMetricFamily("shelfpulse_edge_frames_written", "Frames written to the outbox", labels=["lane"])
        for lane, account in agent.outbox.sent().items():
            written.add_metric([lane], account.seq)
        yield written


def _bus_metrics(pollers: Sequence[Poller]) -> Iterator[Metric]:
    counts = [each for poller in pollers for each in poller.counts.values()]
    yield _gauge("devices_slow", "Devices asked less often than configured", sum(len(p.slow) for p in pollers))
    yield _counter("polls", "Polls of devices", sum(poller.polls for poller in pollers))
    yield _counter("polls_missed", "Deadlines for which a bus had no time", sum(poller.missed for poller in pollers))
    yield _counter("polls_late_seconds", "Delay of polls after their deadlines", sum(p.late_s for p in pollers))
    yield _counter("requests", "Modbus requests", sum(each.requests for each in counts))
    yield _counter("requests_refused", "Answered by an exception", sum(each.refusals for each in counts))
    yield _counter("requests_garbled", "Answered by noise", sum(each.garbled for each in counts))
    yield _counter("requests_unanswered", "Not answered in time", sum(each.silences for each in counts))


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
                    body = {"status": "ok" if healthy else "failing", "connected": agent.sender.is_connected}
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


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"shelfpulse_edge_{name}", text, value=value)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(f"shelfpulse_edge_{name}", text, value=value)
