"""The search for spikes in the dataflow: readings of all buckets of a process in, rows of anomalies out. No I/O.

One search for all buckets, since it costs about as much for one of them as for sixty-four; what it learnt is kept by
bucket, since buckets move to other processes.
"""

import pickle
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from contracts.facts import AnomalyKind
from contracts.ids import bucket_of, derived_id
from stream.control_data import Snapshot
from stream.facts import AnomalyRow, Columns, join_columns
from stream.spike import Spike, SpikeFinder

GATHER: Final = timedelta(milliseconds=500)
"""Readings that come all the time are gathered so long; what comes seldom is looked at as it comes."""
GATHERED_MAX: Final = 100_000
"""Readings that are gathered at most."""


FORM: Final = "rows"
"""Of what is kept; of another release's nothing is taken over, and the series are learnt anew."""


class Names(Protocol):
    """What the search asks of the control data."""

    @property
    def snapshot(self) -> Snapshot:
        """The newest control data."""

    def name_of(self, series_id: int) -> tuple[str, str, str]:
        """Tenant, gateway and channel of a series. Raises KeyError for one that the database does not know."""


class LiveSpikes:
    """Spikes of all buckets of a process. ``join`` with each bucket before its first ``take``."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._finder = SpikeFinder()
        self._waiting: dict[int, list[Columns]] = {}
        self._count = 0
        self._due: datetime | None = None
        self._explained: dict[int, Callable[[Spike], bool]] = {}
        self._bucket_of_row = np.empty(0, np.int16)

    def join(self, bucket: int, learnt: bytes | None, is_explained: Callable[[Spike], bool]) -> None:
        """Take a bucket in. ``learnt`` is what ``snapshot`` returned for it before, or None.

        ``is_explained`` says of a spike of its series whether something else explains it.
        """
        self._explained[bucket] = is_explained
        if learnt is None:
            return
        form, *rest = pickle.loads(learnt)  # noqa: S301 - our own recovery store, which pickles anyway
        if form == FORM:
            state, waiting = rest
            self._finder.learn(state, lambda series: self._is_of(series, bucket))
            columns = Columns(*waiting)
            self._wait(bucket, columns.take(np.array([self._is_of(each, bucket) for each in columns.series.tolist()],
                                                     np.bool_)))  # fmt: skip

    def snapshot(self, bucket: int) -> bytes:
        """What was learnt of a bucket, and its readings that wait: they are committed, and do not come again."""
        waiting = join_columns(self._waiting.get(bucket, []))
        columns = waiting.time_us, waiting.series, waiting.value, waiting.quality
        return pickle.dumps((FORM, self._finder.snapshot(self._rows_of(bucket)), columns), protocol=5)

    def take(self, bucket: int, columns: Columns, now: datetime) -> tuple[AnomalyRow, ...]:
        """Anomalies that are settled by the readings, or by those of any bucket that waited."""
        self._wait(bucket, columns)
        # A clock that was set back must not let it wait for hours.
        waits = self._due is not None and self._due - GATHER <= now < self._due
        if not self._count or (waits and self._count < GATHERED_MAX):
            return ()
        ready = join_columns([each for waiting in self._waiting.values() for each in waiting])
        self._waiting, self._count, self._due = {}, 0, now + GATHER
        found = self._finder.step(ready, self._names.name_of)
        return tuple(self._row(spike) for spike in found if not self._is_explained(spike))

    def _wait(self, bucket: int, columns: Columns) -> None:
        if len(columns):
            self._waiting.setdefault(bucket, []).append(columns)
            self._count += len(columns)

    def _is_of(self, series: int, bucket: int) -> bool:
        """Whether a series still is one of a bucket's: a database that was restored forgets some, and numbers anew."""
        try:
            _, gateway, _ = self._names.name_of(series)
        except KeyError:
            return False
        return bucket_of(gateway) == bucket

    def _rows_of(self, bucket: int) -> npt.NDArray[np.int64]:
        """Rows of the finder with the series of a bucket."""
        series = self._finder.series[len(self._bucket_of_row) :]
        if len(series):
            new = np.array([bucket_of(self._names.name_of(each)[1]) for each in series.tolist()], np.int16)
            self._bucket_of_row = np.concatenate([self._bucket_of_row, new])
        return np.flatnonzero(self._bucket_of_row == bucket)

    def _is_explained(self, spike: Spike) -> bool:
        _, gateway, _ = self._names.name_of(spike.series)
        return self._explained[bucket_of(gateway)](spike)

    def _row(self, spike: Spike) -> AnomalyRow:
        tenant, gateway, channel = self._names.name_of(spike.series)
        registered = self._names.snapshot.gateways.get((tenant, gateway))
        place = f"{gateway}/{channel}"
        return AnomalyRow(
            anomaly_id=derived_id(tenant, AnomalyKind.SPIKE, place, spike.start_us),
            tenant=tenant,
            site="" if registered is None else registered.site,
            gateway=gateway,
            kind=AnomalyKind.SPIKE,
            place_kind="series",
            place=place,
            start=_from_us(spike.start_us),
            end=_from_us(spike.end_us),
            detected=_from_us(spike.detected_us),
            severity=spike.severity,
            score=spike.score,
            evidence=spike.evidence,
        )


def _from_us(us: int) -> datetime:
    return datetime.fromtimestamp(us / 1e6, UTC)
