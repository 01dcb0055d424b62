"""A picture of a back-test: all series together, period by period."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from contracts.errors import UserError
from stream.backtest.panel import Panel
from stream.backtest.run import History


def draw(panel: Panel, history: History, counted: npt.NDArray[np.bool_], out: Path) -> None:
    """Write a picture to ``out``, its kind by the ending. Raises UserError when it cannot be written."""
    figure = Figure(figsize=(11, 6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    labels = np.array(panel.labels)
    above.plot(labels, panel.units.sum(axis=0), label="demand", color="black", linewidth=1)
    above.plot(labels, history.end_stock.sum(axis=0), label="stock at the end", color="tab:blue", linewidth=1)
    above.plot(labels, history.ordered.sum(axis=0), label="ordered", color="tab:green", linewidth=1, alpha=0.7)
    above.set_ylabel("units, all series")
    below.bar(labels, history.lost.sum(axis=0), label="lost", color="tab:red")
    below.set_ylabel("units")
    below.set_xlabel("period")
    first = int(counted.any(axis=0).argmax(axis=0))
    for axes in (above, below):
        if first:
            axes.axvline(labels[first], color="grey", linestyle=":", label="counted from here")
        axes.legend(loc="upper left")
    try:
        figure.savefig(out, dpi=120)
    except (OSError, ValueError) as error:
        message = f"cannot write {out}: {error}"
        raise UserError(message) from error
