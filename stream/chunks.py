"""Columns of one bucket while its messages are read: lists that grow, turned into one array a column at the end."""

from dataclasses import dataclass, field
from itertools import chain

import numpy as np
import numpy.typing as npt

from contracts.topics import GatewayAddress
from stream.facts import Arrival, Bundle, Chunk, Columns, Message, PlainRun, Sighting, Stray, join_columns, no_columns


@dataclass(slots=True)
class PlainColumns:
    """Plain readings of one gateway in order of receipt; entry n of the first three lists is a message.

    ``times_ms`` since 1970 UTC, ``counts`` readings; ``series`` and ``values`` have an entry a reading.
    """

    address: GatewayAddress
    once: bool
    messages: list[Message] = field(default_factory=list)
    times_ms: list[int] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    series: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)


@dataclass(slots=True)
class ChunkBuilder:
    """What was read for one bucket; ``i`` already counts into ``ids``."""

    arrivals: list[Arrival] = field(default_factory=list)
    plain: list[PlainColumns] = field(default_factory=list)
    strays: list[Stray] = field(default_factory=list)
    sightings: list[Sighting] = field(default_factory=list)
    i: list[int] = field(default_factory=list)
    d: list[int] = field(default_factory=list)
    x: list[float] = field(default_factory=list)
    ids: list[npt.NDArray[np.int32]] = field(default_factory=list)
    ids_count: int = 0
    bases: list[int] = field(default_factory=list)
    starts_ms: list[int] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    quality: list[tuple[int, int]] = field(default_factory=list)

    def add(self, ids: npt.NDArray[np.int32], t0_ms: int, columns: tuple[list[int], list[int], list[float]]) -> int:
        """Append one frame's columns; returns the position of its first reading."""
        start = len(self.x)
        i, d, x = columns
        self.i += i
        self.d += d
        self.x += x
        self.ids.append(ids)
        self.bases.append(self.ids_count)
        self.ids_count += len(ids)
        self.starts_ms.append(t0_ms)
        self.counts.append(len(x))
        return start

    def chunk(self, bucket: int) -> Chunk:
        """Everything that was added, as arrays."""
        framed = self._framed() if self.x else no_columns()
        if not self.plain:
            return Chunk(bucket, framed, self.arrivals, self.strays, self.sightings)
        columns = join_columns([framed, _plain(self.plain)])
        return Chunk(bucket, columns, self.arrivals, self.strays, self.sightings, self._runs(len(framed)))

    def _framed(self) -> Columns:
        n = len(self.x)
        counts = np.array(self.counts)
        i = np.fromiter(self.i, np.int64, n) + np.repeat(np.array(self.bases), counts)
        time_ms = np.fromiter(self.d, np.int64, n) + np.repeat(np.array(self.starts_ms), counts)
        quality = np.zeros(n, np.int16)
        for position, code in self.quality:
            quality[position] = code
        return Columns(time_ms * 1000, np.concatenate(self.ids)[i], np.fromiter(self.x, np.float64, n), quality)

    def _runs(self, lo: int) -> list[PlainRun]:
        runs = []
        for each in self.plain:
            hi = lo + len(each.series)
            runs.append(PlainRun(each.address, Bundle(each.messages, each.counts), each.once, lo, hi))
            lo = hi
        return runs


def _plain(runs: list[PlainColumns]) -> Columns:
    n = sum(len(each.series) for each in runs)
    time_ms = np.array(list(chain.from_iterable(each.times_ms for each in runs)), np.int64)
    if n != len(time_ms):
        time_ms = np.repeat(time_ms, list(chain.from_iterable(each.counts for each in runs)))
    return Columns(
        time_ms * 1000,
        np.fromiter(chain.from_iterable(each.series for each in runs), np.int32, n),
        np.fromiter(chain.from_iterable(each.values for each in runs), np.float64, n),
        np.zeros(n, np.int16),
    )
