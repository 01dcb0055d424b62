"""Distributions of demand over a time, as tables of whole units. Pure."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import stats

Floats = npt.NDArray[np.float64]

TAIL: Final = 1e-12
"""Probability beyond the table's end."""


@dataclass(frozen=True)
class DemandLaw:
    """Probability of 0, 1, 2 … units; adds up to one but for ``TAIL``."""

    probability: Floats

    @property
    def mean(self) -> float:
        """Expected units."""
        return float((np.arange(len(self.probability)) * self.probability).sum())

    def quantile(self, share: float) -> int:
        """The smallest number of units that is enough with probability ``share``, in (0, 1)."""
        assert 0 < share < 1
        reached = np.cumsum(self.probability) >= share - TAIL
        return int(reached.argmax(axis=0)) if reached.any() else len(self.probability) - 1

    def cost(self, stock: int, holding: float, penalty: float) -> float:
        """Expected holding and penalty of a stock that meets this demand; a negative stock is a backlog."""
        units = np.arange(len(self.probability))
        left = stock - units
        money = np.where(left > 0, holding * left, -penalty * left)
        return float((money * self.probability).sum())


def poisson(mean: float) -> DemandLaw:
    """Poisson demand of ``mean`` units."""
    assert mean > 0
    units = np.arange(int(stats.poisson.isf(TAIL, mean)) + 2)
    return DemandLaw(np.asarray(stats.poisson.pmf(units, mean), dtype=np.float64))


def negative_binomial(mean: float, variance: float) -> DemandLaw:
    """Demand with a variance above its mean; Poisson where it is not."""
    if variance <= mean * (1 + 1e-6):
        return poisson(mean)
    chance = mean / variance
    count = mean * chance / (1 - chance)
    units = np.arange(int(stats.nbinom.isf(TAIL, count, chance)) + 2)
    return DemandLaw(np.asarray(stats.nbinom.pmf(units, count, chance), dtype=np.float64))
