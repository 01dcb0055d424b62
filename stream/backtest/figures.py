"""What a back-test comes to. Pure."""

import msgspec
import numpy as np
import numpy.typing as npt

from stream.backtest.panel import Panel
from stream.backtest.run import History
from stream.backtest.simulation import Terms

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


class Figures(msgspec.Struct, frozen=True):
    """Costs are money a counted series-period. The names are an interface.

    ``periods``: counted series-periods. ``bullwhip_median``: median over series of var(orders) / var(demand) in the
    counted periods, null where no series' demand varies.
    """

    series: int
    periods: int
    cost_per_period: float
    holding: float
    lost: float
    fill_rate: float
    orders_per_period: float
    bullwhip_median: float | None


def summarise(panel: Panel, history: History, terms: Terms, counted: Bools) -> Figures:
    """Figures of the ``counted`` periods, shape (series, periods), of which there is at least one."""
    periods = int(counted.sum())
    assert periods > 0
    holding = terms.holding * float(history.end_stock[counted].sum()) / periods
    lost_units = float(history.lost[counted].sum())
    lost = terms.penalty * lost_units / periods
    orders = float((history.ordered[counted] > 0).sum()) / periods
    demand = float(panel.units[counted].sum())
    return Figures(
        series=int(counted.any(axis=1).sum()),
        periods=periods,
        cost_per_period=holding + lost + terms.order_cost * orders,
        holding=holding,
        lost=lost,
        fill_rate=1.0 if demand == 0 else 1.0 - lost_units / demand,
        orders_per_period=orders,
        bullwhip_median=_bullwhip(panel.units, history.ordered, counted),
    )


def _bullwhip(units: Floats, ordered: Floats, counted: Bools) -> float | None:
    periods = np.maximum(counted.sum(axis=1), 1)

    def variance(values: Floats) -> Floats:
        kept = np.where(counted, values, 0.0)
        mean = kept.sum(axis=1) / periods
        spread: Floats = (np.where(counted, values - mean[:, None], 0.0) ** 2).sum(axis=1) / periods
        return spread

    demand = variance(units)
    varied = demand > 0
    if not varied.any():
        return None
    return float(np.median(variance(ordered)[varied] / demand[varied]))
