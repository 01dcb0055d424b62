"""What a stream process counts for Prometheus, and the port that shows it."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

LAG_BUCKETS_S: Final = (
    0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.5, 3.0, 4.0, 5.0, 7.5, 10.0,
    15.0, 20.0, 30.0, 45.0, 60.0,
)  # fmt: skip
_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0, 60.0)

REGISTRY: Final = CollectorRegistry()

READINGS: Final = Counter("shelfpulse_readings", "Readings committed", registry=REGISTRY)
FRAMES: Final = Counter("shelfpulse_frames", "Frames settled, by what became of them", ["outcome"], registry=REGISTRY)
DUPLICATES: Final = Counter(
    "shelfpulse_duplicates", "Frames dropped because they are committed already", registry=REGISTRY
)
AHEAD: Final = Counter("shelfpulse_ahead", "Frames dropped because one before them is missing", registry=REGISTRY)
GAP_FRAMES: Final = Counter("shelfpulse_gap_frames", "Frames that gateways declared lost", registry=REGISTRY)
LATE: Final = Counter(
    "shelfpulse_late_frames",
    "Frames settled before their content could be stored: held, released, quarantined, retried, held_back",
    ["outcome"],
    registry=REGISTRY,
)
QUARANTINED: Final = Counter("shelfpulse_quarantined", "Messages in quarantine", ["reason"], registry=REGISTRY)
ANOMALIES: Final = Counter("shelfpulse_anomalies", "Anomalies opened", ["kind"], registry=REGISTRY)
PROPOSALS: Final = Counter("shelfpulse_proposals", "Replenishment proposals made", registry=REGISTRY)
COMMIT_S: Final = Histogram(
    "shelfpulse_commit_seconds", "Time of an epoch's transaction", buckets=_SECONDS, registry=REGISTRY
)
EPOCH_S: Final = Histogram(
    "shelfpulse_epoch_seconds", "Time from one commit to the next under load", buckets=_SECONDS, registry=REGISTRY
)
RETRIES: Final = Counter("shelfpulse_commit_retries", "Transactions tried again", registry=REGISTRY)
LAG_S: Final = Histogram(
    "shelfpulse_lag_seconds",
    "From a live frame's earliest reading to its commit",
    buckets=LAG_BUCKETS_S,
    registry=REGISTRY,
)
QUEUE: Final = Gauge(
    "shelfpulse_queue_messages", "Messages received, not yet in the dataflow", ["partition"], registry=REGISTRY
)
UNSEALED: Final = Gauge(
    "shelfpulse_unsealed_messages", "Messages in the dataflow, not yet committed", ["partition"], registry=REGISTRY
)
CONNECTED: Final = Gauge("shelfpulse_mqtt_connected", "1 while connected", ["partition"], registry=REGISTRY)
ACKS: Final = Counter("shelfpulse_acks", "Watermarks published to gateways", registry=REGISTRY)


class Health:
    """Whether the process can take frames: every source partition is connected and subscribed."""

    def __init__(self) -> None:
        self._ready: dict[str, bool] = {}

    def report(self, partition: str, *, ready: bool) -> None:
        """Note how a partition is; before its first report the process is starting."""
        self._ready[partition] = ready
        CONNECTED.labels(partition).set(ready)

    @property
    def ok(self) -> bool:
        """Whether all partitions are ready, and there is one."""
        return bool(self._ready) and all(self._ready.values())


HEALTH: Final = Health()


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """Answer /metrics and /healthz."""
        if self.path == "/metrics":
            self._answer(200, generate_latest(REGISTRY), "text/plain; version=0.0.4; charset=utf-8")
        elif self.path == "/healthz":
            code, status = (200, b'{"status":"ok"}') if HEALTH.ok else (503, b'{"status":"not connected"}')
            self._answer(code, status, "application/json")
        else:
            self._answer(404, b"", "text/plain")

    def _answer(self, code: int, body: bytes, kind: str) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's own name
        """Stay silent: requests are no events of ours."""


def serve(port: int, host: str) -> ThreadingHTTPServer:
    """Show /metrics and /healthz from a daemon thread. Raises OSError when the port is taken."""
    server = ThreadingHTTPServer((host, port), _Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server
