"""The promotion plan on one scale, whatever its column holds: flags, shares, depths of a discount, or prices. Pure.

Where most values are 0, 0 is no promotion. Else (prices) a series' own typical value is, and what departs from it is
one. Values are divided by the typical size of a departure over all series. Nothing later than the plan that is known
in a period (lead time + review periods) is used in it.
"""

from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from stream.demand.regression import Plan

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

ZERO_SHARE_MIN: Final = 0.2
ON_MIN: Final = 0.25
"""Departures smaller than this share of the typical one are no promotion."""
SCALED_MAX: Final = 4.0
SHARE_FLOOR: Final = 0.05
"""Added to shares of promoted series before their logarithm, so that none is a number too."""


class Calendar:
    """Plans of all periods as they are known in one of them. ``promo``: (series, periods), NaN where none is told."""

    def __init__(self, promo: Floats, horizon: int) -> None:
        assert horizon > 0
        self._promo = promo
        self._horizon = horizon

    def plans(self, period: int) -> list[Plan]:
        """Plans of ``period`` and the periods after it, ``horizon`` in all, as known in ``period``."""
        end = min(period + self._horizon, self._promo.shape[1])
        told = self._promo[:, :end]
        departure = np.nan_to_num(told - self._usual(told)[:, None])
        size = np.abs(departure)
        present = size[size > 0]
        scale = float(present.mean()) if present.size else 1.0
        crowds = _crowds(told, size >= ON_MIN * scale)[period:]
        scaled = np.clip(departure[:, max(period - 1, 0) :] / scale, -SCALED_MAX, SCALED_MAX)
        scaled = np.where(np.abs(scaled) >= ON_MIN, scaled, 0.0)
        none = np.zeros(len(scaled))
        columns = list(scaled.T) if period else [none, *scaled.T]
        columns += [none] * (self._horizon + 1 - len(columns))
        crowds += [0.0] * (self._horizon - len(crowds))
        return [
            Plan(now=now, before=before, on=now != 0, on_before=before != 0, crowd=crowd)
            for (before, now), crowd in zip(pairwise(columns), crowds, strict=True)
        ]

    def _usual(self, told: Floats) -> Floats:
        """The value without a promotion, a series."""
        values = told[~np.isnan(told)]
        if not values.size or (values == 0).mean() >= ZERO_SHARE_MIN:
            return np.zeros(len(told))
        empty = np.isnan(told).all(axis=1)
        usual = np.zeros(len(told))
        usual[~empty] = np.nanmedian(told[~empty], axis=1)
        return usual


def _crowds(told: Floats, on: Bools) -> list[float]:
    """Logarithm of the share of series that are promoted over the mean share, a period."""
    share = on.sum(axis=0) / np.maximum((~np.isnan(told)).sum(axis=0), 1)
    crowds: list[float] = np.log((share + SHARE_FLOOR) / (share.mean() + SHARE_FLOOR)).tolist()
    return crowds
