"""One model of all series: gradient-boosted quantiles of the next days, which knows calendar and promotions. Pure.

Learnt every night (scikit-learn). It replaces the online method of a series only where it had the lower pinball loss
on the newest days, none of which it was fitted to.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import HistGradientBoostingRegressor

from stream.demand.methods import QUANTILES, WEEK

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

LAGS: Final = (1, 2, 3, 7, 14)
HISTORY_MIN: Final = 56
"""Days of history below which no pooled model is tried."""
TRIAL_DAYS: Final = 14
ROWS_MAX: Final = 60_000
ROUNDS: Final = 60


def forecast(
    units: Floats, known: Bools, promo: Floats, first_weekday: int, horizon: int, seed: int = 0
) -> tuple[Floats, Floats] | None:
    """Quantiles of the newest ``TRIAL_DAYS`` one day ahead, and of the ``horizon`` days to come.

    ``units``, ``known``: (series, days), fair days only; ``promo``: (series, days + horizon); ``first_weekday`` of day
    0. Both results have shape (series, days, len(QUANTILES)); None where there is too little history.
    """
    days = units.shape[1]
    if days < HISTORY_MIN:
        return None
    level = _levels(units, known)
    start, trial = max(LAGS) + WEEK, days - TRIAL_DAYS
    rows = _rows(units, known, level, promo, first_weekday, [(day, day - 1) for day in range(start, trial)])
    fair = known[:, start:trial].T.reshape(-1)
    target = (units / level_at(level, start, trial))[:, start:trial].T.reshape(-1)
    weight = level[:, start - 1 : trial - 1].T.reshape(-1)
    chosen = np.flatnonzero(fair)
    if not chosen.size:
        return None
    if chosen.size > ROWS_MAX:
        chosen = np.random.default_rng(seed).choice(chosen, ROWS_MAX, replace=False)
    past_rows = _rows(units, known, level, promo, first_weekday, [(day, day - 1) for day in range(trial, days)])
    ahead_rows = _rows(
        units, known, level, promo, first_weekday, [(day, days - 1) for day in range(days, days + horizon)]
    )
    past = np.zeros((len(units), TRIAL_DAYS, len(QUANTILES)))
    ahead = np.zeros((len(units), horizon, len(QUANTILES)))
    for index, quantile in enumerate(QUANTILES):
        model = HistGradientBoostingRegressor(
            loss="quantile", quantile=quantile, max_iter=ROUNDS, max_leaf_nodes=16, min_samples_leaf=40,
            early_stopping=False, random_state=seed,
        )  # fmt: skip
        model.fit(rows[chosen], target[chosen], sample_weight=weight[chosen])
        scaled = model.predict(past_rows).reshape(TRIAL_DAYS, -1).T
        past[:, :, index] = scaled * level[:, trial - 1 : days - 1]
        ahead[:, :, index] = model.predict(ahead_rows).reshape(horizon, -1).T * level[:, [days - 1]]
    return np.maximum(np.sort(past, axis=2), 0.0), np.maximum(np.sort(ahead, axis=2), 0.0)


def level_at(level: Floats, start: int, end: int) -> Floats:
    """The level known on the eve of each day, aligned to the days; 1 outside ``start`` to ``end``."""
    eve = np.ones_like(level)
    eve[:, start:end] = level[:, start - 1 : end - 1]
    return eve


def _levels(units: Floats, known: Bools) -> Floats:
    """Exponentially weighted mean after each day, at least a tenth of a unit."""
    level = np.zeros_like(units)
    current = np.where(known[:, 0], units[:, 0], 0.0)
    for day in range(units.shape[1]):
        current = np.where(known[:, day], current + 0.07 * (units[:, day] - current), current)
        level[:, day] = current
    return np.maximum(level, 0.1)


def _rows(
    units: Floats,
    known: Bools,
    level: Floats,
    promo: Floats,
    first_weekday: int,
    days: list[tuple[int, int]],
) -> Floats:
    """Features of each (target day, last known day), day by day and within it series by series."""
    blocks = []
    fair = np.where(known, units, np.nan)
    for day, eve in days:
        scale = level[:, eve]
        lags = [fair[:, eve + 1 - lag] / scale for lag in LAGS]
        week = fair[:, max(eve + 1 - WEEK, 0) : eve + 1]
        # The same weekday before the eve, two weeks of it.
        back = [day - WEEK * weeks for weeks in range(1, 12) if 0 <= day - WEEK * weeks <= eve][:2]
        same = [fair[:, one] / scale for one in back] + [np.full(len(units), np.nan)] * (2 - len(back))
        recent = np.where(np.isnan(week), 0.0, week).sum(axis=1) / np.maximum((~np.isnan(week)).sum(axis=1), 1)
        constant = [float((first_weekday + day) % WEEK), float(day - eve)]
        columns = [*lags, *same, recent / scale, np.log(scale), promo[:, day], promo[:, max(day - 1, 0)]]
        columns += [np.full(len(units), value) for value in constant]
        blocks.append(np.stack(columns, axis=1))
    return np.concatenate(blocks, axis=0)
