"""What a running stack is doing, in numbers: from the stream's metrics and from the database."""

import http.client
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, LiteralString

import psycopg
from prometheus_client.parser import text_string_to_metric_families
from psycopg.rows import class_row

from deploy.local.ports import LOOPBACK

_TIMEOUT_S: Final = 2.0
_LAG: Final = "shelfpulse_lag_seconds"
_DUPLICATES: Final = "shelfpulse_duplicates_total"

COUNTS: Final[LiteralString] = """
WITH
lanes AS (SELECT * FROM ingest_watermark WHERE %(tenant)s IN ('', tenant_id)),
events AS (SELECT kind FROM shelf_event WHERE %(tenant)s IN ('', tenant_id))
SELECT
    (SELECT coalesce(sum(readings), 0)::bigint FROM lanes WHERE lane IN ('tel', 'bulk')) AS committed,
    (SELECT coalesce(sum(gap_frames), 0)::bigint FROM lanes) AS gaps,
    (SELECT count(*) FROM quarantine WHERE state = 'held') AS quarantined,
    (SELECT count(*) FROM events) AS events,
    (SELECT count(*) FROM events WHERE kind = 'sale') AS sales,
    (SELECT count(*) FROM events WHERE kind = 'restock') AS restocks,
    (SELECT count(*) FROM anomaly WHERE %(tenant)s IN ('', tenant_id)) AS anomalies,
    (SELECT count(*) FROM proposal WHERE %(tenant)s IN ('', tenant_id)) AS proposals
"""


@dataclass(frozen=True, slots=True)
class Counts:
    """Totals of the database."""

    committed: int
    gaps: int
    quarantined: int
    events: int
    sales: int
    restocks: int
    anomalies: int
    proposals: int


def read_counts(connection: psycopg.Connection, tenant: str) -> Counts:
    """Totals of a tenant ('' for all) as committed now. Raises psycopg.Error."""
    with connection.cursor(row_factory=class_row(Counts)) as cursor:
        counts = cursor.execute(COUNTS, {"tenant": tenant}).fetchone()
    assert counts is not None
    return counts


Sample = Mapping[str, float]
"""Values of one scrape: by metric name, a histogram's buckets as ``name{le}``."""


def scrape(port: int) -> Sample | None:
    """Metrics of the process at a loopback port; None while it does not answer."""
    body = _get(port, "/metrics")
    if body is None:
        return None
    values: dict[str, float] = {}
    for family in text_string_to_metric_families(body.decode()):
        for sample in family.samples:
            bound = sample.labels.get("le")
            name = sample.name if bound is None else f"{sample.name}{{{bound}}}"
            values[name] = values.get(name, 0.0) + sample.value
    return values


def is_healthy(port: int) -> bool:
    """Whether the process at a loopback port answers its /healthz with 200."""
    return _get(port, "/healthz") is not None


@dataclass
class Tally:
    """Counters of a process added up over its restarts, each of which begins at zero."""

    _before: dict[str, float] = field(default_factory=dict)
    _last: dict[str, float] = field(default_factory=dict)

    def add(self, sample: Sample) -> None:
        """Take the newest scrape."""
        for name, value in sample.items():
            last = self._last.get(name, 0.0)
            if value < last:
                self._before[name] = self._before.get(name, 0.0) + last
            self._last[name] = value

    def total(self, name: str) -> float:
        """Counted since the first scrape's process began."""
        return self._before.get(name, 0.0) + self._last.get(name, 0.0)

    @property
    def duplicates(self) -> int:
        """Frames that came again after their commit, and were dropped."""
        return int(self.total(_DUPLICATES))

    def lag_ms(self, share: float) -> float | None:
        """Quantile of the time from a frame's earliest reading to its commit, in ms; None before the first."""
        prefix = f"{_LAG}_bucket{{"
        bounds = {float(name[len(prefix) : -1]): self.total(name) for name in self._last if name.startswith(prefix)}
        quantile_s = quantile(share, bounds.items())
        return None if quantile_s is None else round(quantile_s * 1000, 1)


def quantile(share: float, buckets: Iterable[tuple[float, float]]) -> float | None:
    """Quantile of a cumulative histogram of (upper bound, count), interpolated within its bucket as Prometheus does.

    None without observations; the last finite bound when it lies beyond it.
    """
    ordered = sorted(buckets)
    if not ordered or ordered[-1][1] <= 0:
        return None
    rank = share * ordered[-1][1]
    low = below = 0.0
    for bound, count in ordered:
        if count >= rank:
            if bound == float("inf"):
                return low
            return low + (bound - low) * (rank - below) / (count - below) if count > below else bound
        low, below = bound, count
    return low


def _get(port: int, path: str) -> bytes | None:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=_TIMEOUT_S)
    with suppress(OSError, http.client.HTTPException):
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            body = response.read()
            return body if response.status == http.HTTPStatus.OK else None
        finally:
            connection.close()
    return None
