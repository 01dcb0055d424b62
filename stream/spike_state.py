"""What the search for spikes knows of each series: arrays over all of them. Pure."""

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from contracts.ids import metric_of
from contracts.metrics import metric_for

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]
NameOf = Callable[[int], tuple[str, str, str]]
"""Tenant, gateway and channel of a series."""

HISTORY: Final = 4
"""Readings carried from chunk to chunk: what a spike of two readings and the learning behind it look back on."""
# What a jump must exceed at least, in the metric's unit: changes that people and doors make by themselves. A hand on a
# shelf of several kilograms is some hundred grams.
FLOORS: Final = {
    "weight_g": 1_500.0,
    "temp_c": 8.0,
    "humidity_pct": 30.0,
    "battery_v": 1.0,
    "supply_v": 4.0,
    "door_count": 1_000.0,
    "portal_count": 1_000.0,
}
"""Other metrics have none: there only what was learnt counts."""
_ROW: Final = np.dtype([
    ("series", np.int32), ("values", np.float64, HISTORY), ("times", np.int64, HISTORY), ("flags", np.bool_, HISTORY),
    ("count", np.int64), ("noise", np.float64), ("jump", np.float64), ("rest_until", np.int64),
    ("low", np.float64), ("high", np.float64), ("floor", np.float64), ("step", np.float64),
], align=True)  # fmt: skip
_BLANK: Final = np.array(
    [(0, [np.nan] * HISTORY, [0] * HISTORY, [False] * HISTORY, 0, 0.0, 0.0, 0, -np.inf, np.inf, np.nan, np.inf)], _ROW
)
"""A series that nothing is known of."""
_ROWS_FIRST: Final = 16


class SpikeState:
    """Arrays of shape (rows,) or (rows, HISTORY), all views of one; rows from ``len(state)`` on are blank.

    ``values``, ``times`` (µs since 1970), ``flags`` (part of a spike): the last readings. ``count``: readings seen.
    ``noise``, ``jump``: mean change, mean believable jump. ``rest_until``: µs. ``low``, ``high``, ``floor``, ``step``:
    of the metric.
    """

    def __init__(self) -> None:
        self._row_of: dict[int, int] = {}
        self._take(np.repeat(_BLANK, _ROWS_FIRST))

    def __len__(self) -> int:
        """Number of series."""
        return len(self._row_of)

    @property
    def series(self) -> npt.NDArray[np.int32]:
        """Series by row, shape (len(state),)."""
        series: npt.NDArray[np.int32] = self._rows["series"][: len(self)]
        return series

    def rows(self, ids: npt.NDArray[np.int32], name_of: NameOf) -> Rows:
        """Rows of these series, made where they are new."""
        return np.array([self._row(series, name_of) for series in ids.tolist()], np.int64)

    def snapshot(self, rows: Rows | None = None) -> bytes:
        """All series, or those in ``rows``, for the recovery store."""
        return bytes(self._rows[: len(self)] if rows is None else self._rows[rows])

    def learn(self, snapshot: bytes, is_known: Callable[[int], bool] = lambda _: True) -> None:
        """Take in the series of a snapshot that are new here, and that ``is_known`` does not leave out."""
        for known in np.frombuffer(snapshot, _ROW):
            series = int(known["series"])
            if series not in self._row_of and is_known(series):
                row = self._add(series)
                self._rows[row] = known

    def _row(self, series: int, name_of: NameOf) -> int:
        row = self._row_of.get(series)
        if row is None:
            row = self._add(series)
            channel = name_of(series)[2]
            metric = metric_for(channel)
            if metric is not None:
                self.low[row], self.high[row] = metric.low, metric.high
                self.step[row] = np.inf if metric.step is None else metric.step
            self.floor[row] = FLOORS.get(metric_of(channel), np.nan)
        return row

    def _add(self, series: int) -> int:
        row = self._row_of[series] = len(self._row_of)
        if row >= len(self._rows):
            self._take(np.concatenate([self._rows, np.repeat(_BLANK, row)]))
        self._rows["series"][row] = series
        return row

    def _take(self, rows: npt.NDArray[np.void]) -> None:
        self._rows = rows
        self.values: Floats = rows["values"]
        self.times: npt.NDArray[np.int64] = rows["times"]
        self.flags: npt.NDArray[np.bool_] = rows["flags"]
        self.count: npt.NDArray[np.int64] = rows["count"]
        self.noise: Floats = rows["noise"]
        self.jump: Floats = rows["jump"]
        self.rest_until: npt.NDArray[np.int64] = rows["rest_until"]
        self.low: Floats = rows["low"]
        self.high: Floats = rows["high"]
        self.floor: Floats = rows["floor"]
        self.step: Floats = rows["step"]
