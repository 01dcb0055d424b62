"""How good forecasts were: RMSSE, bias and pinball loss, a value a series. Pure; arrays of shape (series, periods).

Never MASE: forecasting nothing wins it on intermittent demand (Kolassa 2016). NaN for a series with no known period.
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def pinball(units: Floats, forecast: Floats, quantile: float, known: Bools) -> Floats:
    """Mean pinball loss of the forecast of ``quantile``, in units a period (Koenker and Bassett 1978)."""
    error = units - forecast
    loss = np.maximum(quantile * error, (quantile - 1) * error)
    return _mean(loss, known)


def bias(units: Floats, mean: Floats, known: Bools) -> Floats:
    """Mean of forecast less demand, units a period: above 0 where too much was expected."""
    return _mean(mean - units, known)


def rmsse(units: Floats, mean: Floats, known: Bools) -> Floats:
    """Root mean squared error, scaled by that of expecting the period before (Makridakis and others 2022, M5).

    NaN where demand never changed.
    """
    both = known[:, 1:] & known[:, :-1]
    naive = _mean(np.diff(units, axis=1) ** 2, both)
    scaled = _mean((units - mean) ** 2, known) / np.where(naive > 0, naive, np.nan)
    return np.asarray(np.sqrt(scaled))


def _mean(values: Floats, known: Bools) -> Floats:
    count = known.sum(axis=1)
    total = np.where(known, values, 0.0).sum(axis=1)
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), np.nan))
