"""A picture of a scored series."""

from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.figure import Figure

from contracts.errors import UserError
from deploy.detect.csv_file import Found

POINTS_MAX: Final = 4_000
"""Points drawn of a series; of more, the lowest and highest of each group."""
ALARM_COLOUR: Final = "#d62728"


def draw(found: Found, path: Path) -> None:
    """Draw each value over time, with its anomalies in red. Raises UserError."""
    figure = Figure(figsize=(12, 1 + 2.5 * len(found.names)), layout="constrained")
    times = (np.array(found.times) * 1e6).astype("datetime64[us]")
    alarms = np.array(found.alarms, bool)
    for number, (name, column) in enumerate(zip(found.names, found.values, strict=True), 1):
        axes = figure.add_subplot(len(found.names), 1, number)
        values = np.array(column)
        shown = _thinned(values)
        axes.plot(times[shown], values[shown], linewidth=0.7)
        axes.plot(times[alarms], values[alarms], ".", color=ALARM_COLOUR, markersize=4)
        axes.xaxis_date()
        axes.set_ylabel(name)
        axes.margins(x=0.01)
    figure.suptitle(f"{found.rows:,} rows, {found.anomalies} anomalies")
    try:
        figure.savefig(path, dpi=110)
    except (OSError, ValueError) as error:
        msg = f"cannot write {path}: {error}"
        raise UserError(msg) from error


def _thinned(values: np.ndarray) -> np.ndarray:
    """Places to draw: all, or the extremes of each group."""
    if len(values) <= POINTS_MAX:
        return np.arange(len(values))
    groups = np.array_split(np.nan_to_num(values), POINTS_MAX // 2)
    starts = np.cumsum([0, *(len(group) for group in groups[:-1])])
    ends = [(start + group.argmin(), start + group.argmax()) for start, group in zip(starts, groups, strict=True)]
    return np.unique(np.array(ends))
